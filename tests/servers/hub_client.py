"""
A client process of the loopback hub that stays, as importing the libraries takes seconds and they read the environment once.

`client.run(code)` executes code there and returns the value of `result`; what is defined stays for the next call.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


ROOT = Path(__file__).resolve().parents[2]


class ClientError(Exception):
    """An exception in the client process; `type_name` is its class."""

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name


@dataclass
class HubClient:
    environment: dict[str, str] = field(repr=False)

    def __enter__(self) -> "HubClient":
        command = [sys.executable, "-u", __file__]
        environment = self.environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.log = ""
        return self

    def __exit__(self, *exception) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def run(self, code: str, **names: Any) -> Any:
        """Execute `code` with `names` defined; `self.log` is what was logged and printed meanwhile."""
        self._process.stdin.write(json.dumps({"code": code, "names": names}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client process ended with status {self._process.wait()}")
        answer = json.loads(line)
        self.log = answer["log"]
        if "error" in answer:
            raise ClientError(*answer["error"])
        return answer["result"]


def _serve() -> None:
    import contextlib
    import io
    import logging

    answers, sys.stdout = sys.stdout, sys.stderr
    namespace: dict[str, Any] = {}
    stream = io.StringIO()
    logging.basicConfig(level=logging.DEBUG, stream=stream)
    for line in sys.stdin:
        request = json.loads(line)
        stream.seek(0)
        stream.truncate()
        namespace.update(request["names"], result=None)
        answer = {}
        try:
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                exec(request["code"], namespace)
            answer["result"] = namespace["result"]
        except Exception as error:
            answer["error"] = [type(error).__name__, str(error)]
        answer["log"] = stream.getvalue()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    _serve()
