"""Sacred records without credentials and without the path of the home directory."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sacred import Experiment
from sacred.observers import FileStorageObserver
from sacred.utils import apply_backspaces_and_linefeeds

from tasks.json_files import write_json
from trl_ext.privacy import hide_private


logger = logging.getLogger("tasks.train")

_RECORDS = {
    "queued_event",
    "started_event",
    "heartbeat_event",
    "completed_event",
    "interrupted_event",
    "failed_event",
}


def filter_output(text: str) -> str:
    """What is recorded of the standard output: progress bars as they ended, nothing private."""
    return hide_private(apply_backspaces_and_linefeeds(text))


LOCK_FILE = ".running.lock"  # held by the process of a run, and free when it has ended, in whatever way


class PrivateFileStorageObserver(FileStorageObserver):
    """
    Sacred's records in files: complete at any moment, without private content, and true of runs that were killed.

    Content is hidden in the JSON files themselves, so that source files are still found by their real paths.
    """

    def started_event(self, *args, **kwargs):
        mark_killed_runs(self.basedir)
        run_id = super().started_event(*args, **kwargs)
        self.lock = FileLock(os.path.join(self.dir, LOCK_FILE))
        self.lock.acquire(timeout=0)
        return run_id

    def save_json(self, obj, filename):
        temporary = f".{filename}.tmp"
        super().save_json(hide_private(obj), temporary)
        os.replace(os.path.join(self.dir, temporary), os.path.join(self.dir, filename))


def mark_killed_runs(basedir: str | Path) -> None:
    """
    Set the status of records from RUNNING to INTERRUPTED, if the process of the run has ended.

    A process that was killed could not do so itself.
    """
    for path in Path(basedir).glob(f"*/{LOCK_FILE}"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            record = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))
            if record["status"] == "RUNNING":
                write_json(
                    path.parent / "run.json", record | {"status": "INTERRUPTED", "stop_time": record["heartbeat"]}
                )
        except (OSError, ValueError, KeyError) as error:
            logger.warning("The record %s can't be read, and stays as it is: %s", path.parent, error)
        finally:
            lock.release()


class PrivateObserver:
    """
    Any observer, in front of which private content is hidden from what it records.

    Args:
        observer ([`~sacred.observers.RunObserver`]): Where to record.
    """

    def __init__(self, observer):
        self.observer = observer

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.observer, name)
        if name not in _RECORDS:
            return attribute

        def event(**record):
            hidden = hide_private(record)
            if "ex_info" in record:  # the source files are opened below `base_dir`, to which a relative path leads too
                hidden["ex_info"]["base_dir"] = os.path.relpath(record["ex_info"]["base_dir"])
            return attribute(**hidden)

        return event


class PrivateExperiment(Experiment):
    """
    An experiment whose observers, those of the command line included, get nothing private.

    Of several processes, the first one records: each would record a run of its own.
    """

    def _create_run(self, *args, **kwargs):
        run = super()._create_run(*args, **kwargs)
        first = int(os.environ.get("RANK", 0)) == 0
        run.observers = [
            observer if isinstance(observer, PrivateFileStorageObserver) else PrivateObserver(observer)
            for observer in run.observers
            if first
        ]
        return run
