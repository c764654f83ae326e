"""A folder as a newcomer has it after `git clone` and `make`: the tracked files and a `.venv`, in which pages are run."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.docs.pages import ROOT, Block, Page, missing_lines
from tests.servers.hub import LoopbackHub


# Reads the name of a file with Python code from each line, runs it in one namespace for all, and says how it went
_PYTHON = """
import sys, traceback
names = {"__name__": "__main__"}
for path in sys.stdin:
    try:
        exec(compile(open(path.strip()).read(), path.strip(), "exec"), names)
    except BaseException:
        traceback.print_exc()
        print("<<failed>>", flush=True)
    else:
        print("<<done>>", flush=True)
"""


def make_workspace(folder: Path) -> Path:
    """Copy what git knows of the tree, new files included, and make a `.venv` that is this environment."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        raise RuntimeError(f"the list of files comes from git, which says: {listing.stderr.strip()}")
    for name in listing.stdout.splitlines():
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    venv = folder / ".venv"
    venv.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name not in ("bin", ".ready"):
            (venv / path.name).symlink_to(path)
    (venv / "bin").mkdir()
    for path in Path(sys.executable).parent.iterdir():
        (venv / "bin" / path.name).symlink_to(path)
    # An environment made before the console script was there, or made of another clone
    script = venv / "bin" / "trl-ext"
    script.unlink(missing_ok=True)
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m trl_ext \"$@\"\n", encoding="utf-8")
    script.chmod(0o755)
    if not (activate := venv / "bin" / "activate").exists():
        activate.write_text(f"export PATH='{venv / 'bin'}':$PATH\n", encoding="utf-8")
    (venv / ".ready").touch()  # newer than setup.py: make installs nothing
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Of the commands: this environment first on the path, the copied tree as `trl_ext`, no Hub, no credentials."""
    variables = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "HF_ENDPOINT")}
    return variables | {
        "PATH": os.pathsep.join([str(folder / ".venv" / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(folder),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
    }


class Failed(AssertionError):
    """A block of a page did not run, or did not print what stands there."""


# A command of a page that takes longer hangs
_SECONDS = 1800
_TRAINING = re.compile(
    r"^(?P<command>.*(?:trl-ext train|tasks/(?P<charm>charm/)?train\.py with)\b.*?)(?=\s+#|$)", re.MULTILINE
)


def shortened(code: str, keys: str) -> str:
    """The commands of a block, with `keys` for each that trains; tasks/charm/train.py takes them as `train.<key>`."""

    def with_keys(match: re.Match) -> str:
        prefix = "train." if match["charm"] else ""
        return " ".join([match["command"], *(prefix + key for key in keys.split())])

    return _TRAINING.sub(with_keys, code.replace("\\\n", " "))


def run_page(page: Page, folder: Path, trainings: str | None = None) -> list[tuple[int, float]]:
    """
    Run the blocks of a page in order, as printed: shell blocks by `bash -e`, Python blocks in one namespace. A page that pushes
    finds a hub on the loopback interface. What stands there as output is compared with what was printed.

    With `trainings`, keys of `tasks/train.py` that make a training short, those that the page doesn't run are started too.

    Returns:
        `list[tuple[int, float]]`: line in the page and seconds of each block that was run.

    Raises:
        Failed: At the first that fails, with the end of what it printed.
    """
    if not page.needs_hub:
        return _run_blocks(page, folder, environment(folder), trainings)
    with LoopbackHub() as hub:
        client = hub.environment(folder / ".hub-cache")
        ours = {name: value for name, value in environment(folder).items() if not name.startswith("HF_")}
        return _run_blocks(
            page, folder, ours | {name: client[name] for name in client if name.startswith("HF_")}, trainings
        )


def _run_blocks(page: Page, folder: Path, variables: dict[str, str], trainings: str | None) -> list[tuple[int, float]]:
    seconds = []
    python, output = None, ""
    try:
        for block in page.blocks:
            if block.printed not in (None, "with other rows") and (missing := missing_lines(block, output)):
                raise Failed(f"{page.name}, line {block.line}, not printed: {missing}\nbut\n{output[-4000:]}")
            if not (block.runs or (block.trains and trainings)):
                continue
            start = time.perf_counter()
            if block.language == "bash":
                code = shortened(block.code, trainings) if block.trains else block.code
                succeeded, output = _run_bash(code, folder, variables)
            else:
                python = python or _start_python(folder, variables)
                succeeded, output = _run_python(python, block, folder)
            if not succeeded:
                raise Failed(f"{page.name}, line {block.line}:\n{block.code}\n{output[-4000:]}")
            seconds.append((block.line, time.perf_counter() - start))
    finally:
        if python is not None:
            python.stdin.close()
            python.wait()
            python.stdout.close()
    return seconds


def _run_bash(code: str, folder: Path, variables: dict[str, str]) -> tuple[bool, str]:
    try:
        ran = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", code],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        return False, f"{(error.stdout or b'').decode(errors='replace')}\nafter {_SECONDS} seconds"
    return ran.returncode == 0, ran.stdout


def _start_python(folder: Path, variables: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [str(folder / ".venv" / "bin" / "python"), "-c", _PYTHON],
        cwd=folder,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _run_python(python: subprocess.Popen, block: Block, folder: Path) -> tuple[bool, str]:
    path = folder / f".block-{block.line}.py"
    path.write_text(block.code, encoding="utf-8")
    python.stdin.write(f"{path}\n")
    python.stdin.flush()
    lines = []
    for line in python.stdout:
        if line.strip() in ("<<done>>", "<<failed>>"):
            return line.strip() == "<<done>>", "".join(lines)
        lines.append(line)
    return False, "".join(lines) + f"\nPython ended with status {python.wait()}"
