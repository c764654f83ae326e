"""Environment and fixtures shared by all tests."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings


# Before torch and the Hugging Face libraries are imported, which read them once
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


# The first call into torch takes longer than the 200 ms that hypothesis allows an example
settings.register_profile("trl_ext", deadline=None)
settings.load_profile("trl_ext")


_ENVIRONMENT = os.environ


@pytest.fixture(autouse=True)
def process_as_it_was():
    """
    What would make a test depend on those before it: a task sets the threads of torch, on which last digits depend, and
    `datasets` leaves a copy in place of `os.environ` when it has mapped in several processes.
    """
    yield
    os.environ = _ENVIRONMENT  # noqa: B003  the object that was there, not new content
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with golden numbers and public data files: `TRL_EXT_SHARED_DIR`, else `../shared` beside the checkout."""
    path = Path(os.environ.get("TRL_EXT_SHARED_DIR", Path(__file__).resolve().parents[2] / "shared"))
    if not (path / "golden").is_dir():
        pytest.skip(f"no golden numbers in {path}; set TRL_EXT_SHARED_DIR to the folder that contains golden/")
    return path
