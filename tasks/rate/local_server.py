"""An OpenAI-compatible server of a local model, for as long as it is needed: `transformers serve` on the loopback."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.train_config import ConfigError
from trl_ext.data import resolve_model


_NEEDED = ("fastapi", "uvicorn")
_SECONDS_TO_START = 300


@dataclass(frozen=True)
class LocalServer:
    """
    A running server.

    Args:
        base_url (`str`): Its address, for clients.
        model (`str`): Name of its only model.
    """

    base_url: str
    model: str


def check_can_serve() -> None:
    """Raise a `ConfigError` if packages of the server are missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"a local server needs {' and '.join(missing)}: pip install 'transformers[serving]', or leave 'server' out of "
            "`rewriters`"
        )


@contextmanager
def serve_model(model: str, log: Path, device: str | None = None) -> Iterator[LocalServer]:
    """
    Serve a model while the block runs.

    Args:
        model (`str`): Hub id, path, or `bundled:...`.
        log (`Path`): File for what the server says.
        device (`str`, *optional*): Its device. By default its own choice.

    Yields:
        `LocalServer`

    Raises:
        ConfigError: Packages are missing, or the server does not start; the log is named.
    """
    check_can_serve()
    path = Path(resolve_model(model))
    # A model in a folder is served from the folder above, so that its name says nothing of this machine
    folder, name = (path.parent, path.name) if path.is_dir() else (Path.cwd(), model)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", name, "--host", "127.0.0.1"]
    port = _free_port()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), *(["--device", device] if device else [])],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}/health", log)
            yield LocalServer(f"http://127.0.0.1:{port}/v1", name)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _wait_until_ready(process: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ConfigError(f"the local server ended with exit status {process.returncode}; it says why in {log}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ConfigError(f"the local server did not start within {_SECONDS_TO_START} seconds; see {log}")
