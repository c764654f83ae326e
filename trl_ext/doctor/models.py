"""The bundled models, which need no hub."""

from ..data.bundled import (
    DEFAULT_MODEL,
    ENCODER,
    ENCODER_INSTALL_COMMAND,
    ENCODER_PACKAGE,
    ENCODER_VERSION,
    INSTALL_COMMAND,
    PACKAGE,
    PACKAGE_VERSION,
)
from .finding import MISSING, OK, Finding, run_checks
from .probes import has_module, installed_version, of_this_python


def check_models(deep: bool) -> list[Finding]:
    """The language model of the demo, and the encoder."""
    return run_checks(_language_model, _encoder)


def _language_model() -> Finding:
    version, install = installed_version(PACKAGE), of_this_python(INSTALL_COMMAND)
    missing = [name for name, there in ((PACKAGE, version), ("gguf", has_module("gguf"))) if not there]
    if missing:
        return Finding(DEFAULT_MODEL, MISSING, f"needs the package(s) {', '.join(missing)}", install)
    if version != PACKAGE_VERSION:
        return Finding(DEFAULT_MODEL, MISSING, f"{PACKAGE} {version}, needs {PACKAGE_VERSION}", install)
    return Finding(DEFAULT_MODEL, OK, f"{PACKAGE} {version}; made ready at its first use, once")


def _encoder() -> Finding:
    version = installed_version(ENCODER_PACKAGE)
    if version != ENCODER_VERSION:
        detail = "not installed" if version is None else f"{version}, needs {ENCODER_VERSION}"
        return Finding(ENCODER, MISSING, detail, of_this_python(ENCODER_INSTALL_COMMAND))
    return Finding(ENCODER, OK, f"{ENCODER_PACKAGE} {version}")
