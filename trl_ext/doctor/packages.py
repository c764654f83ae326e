"""Python and the packages, against what this package requires."""

import importlib.metadata
import platform
import sys

from .finding import MISSING, OK, Finding, run_checks
from .probes import PACKAGE, as_requirement, has_module, installed_version, pip_install, requirement_of, requirements


MINIMUM_PYTHON = (3, 11)
SETUPTOOLS = "setuptools>=77.0.3,<82"  # sacred imports pkg_resources, which 82 removed; torch needs 77.0.3


def check_packages(deep: bool) -> list[Finding]:
    """Python, the required packages, and Sacred's need of an older setuptools."""
    return run_checks(_python, _package_versions, _sacred)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] < MINIMUM_PYTHON:
        wanted = ".".join(map(str, MINIMUM_PYTHON))
        return Finding("Python", MISSING, f"{version}, older than {wanted}", f"python{wanted} -m venv .venv")
    return Finding("Python", OK, version)


def _package_versions() -> list[Finding]:
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        return [
            Finding("packages", MISSING, f"{PACKAGE} is not installed: its bounds are unknown", pip_install("-e", "."))
        ]
    bad: list[Finding] = []
    for one in wanted:
        version = installed_version(one.name)
        if version is None:
            bad.append(
                Finding(
                    one.name,
                    MISSING,
                    f"not installed, needs {one.specifier}",
                    pip_install(f"{one.name}{one.specifier}"),
                )
            )
        elif not one.specifier.contains(version, prereleases=True):
            bad.append(
                Finding(
                    one.name, MISSING, f"{version}, needs {one.specifier}", pip_install(f"{one.name}{one.specifier}")
                )
            )
    if len(bad) > 1:
        every = (f"{one.name}{one.specifier}" for one in wanted if one.name in {found.name for found in bad})
        bad.append(Finding("all of these", MISSING, f"{len(bad)} packages", pip_install(*every)))
    names = ("torch", "trl", "transformers", "accelerate", "datasets", "huggingface_hub")
    versions = ", ".join(f"{name} {installed_version(name)}" for name in names if installed_version(name))
    return bad or [Finding("packages", OK, f"all {len(wanted)} in their bounds: {versions}")]


def _sacred() -> Finding | None:
    if installed_version("sacred") is None:
        return None  # said among the packages
    if not has_module("pkg_resources"):
        return Finding(
            "sacred",
            MISSING,
            f"imports pkg_resources, which setuptools {installed_version('setuptools') or '(not installed)'} does not have",
            pip_install(SETUPTOOLS),
        )
    return Finding("sacred", OK, f"{installed_version('sacred')} with setuptools {installed_version('setuptools')}")


def check_plots(deep: bool) -> list[Finding]:
    """Matplotlib, for figures and reports."""
    return run_checks(lambda: _optional("matplotlib", "matplotlib", "report"), _browser)


def _browser() -> Finding:
    return Finding("browser", OK, "not needed: reports are written without one, and opened in any", needed=False)


def check_trackers(deep: bool) -> list[Finding]:
    """Trackers beside Sacred, of which one is enough."""
    names = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow-skinny"}
    found = run_checks(*(lambda m=module, p=package: _optional(m, p, "trackers") for module, package in names.items()))
    enough = any(one.state == OK for one in found)
    return [Finding(one.name, one.state, one.detail, one.fix, needed=not enough) for one in found]


def check_rewriters(deep: bool) -> list[Finding]:
    """The client of OpenAI-compatible servers, for rewriters and judges."""
    return run_checks(lambda: _optional("openai", "openai", "rewriters"), _openai_key)


def _openai_key() -> Finding:
    import os

    if os.environ.get("OPENAI_API_KEY"):
        return Finding("OPENAI_API_KEY", OK, "set", needed=False)
    return Finding(
        "OPENAI_API_KEY",
        MISSING,
        "not set; a server without keys needs none (api_key_env='')",
        "export OPENAI_API_KEY=...",
        needed=False,
    )


def check_mongo(deep: bool) -> list[Finding]:
    """The driver of Sacred's MongoObserver."""
    return run_checks(lambda: _optional("pymongo", "pymongo", "mongo"))


def _optional(module: str, package: str, extra: str) -> Finding:
    requirement = requirement_of(package, extra)
    version = installed_version(package) or installed_version(module)
    if version is None or not has_module(module):
        return Finding(module, MISSING, "not installed", pip_install(requirement))
    wanted = as_requirement(requirement).specifier
    # mlflow itself is as good as mlflow-skinny
    if not wanted.contains(version, prereleases=True):
        return Finding(module, MISSING, f"{version}, needs {wanted}", pip_install(requirement))
    return Finding(module, OK, version)
