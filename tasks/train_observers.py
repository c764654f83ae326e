"""Sacred records without credentials and without the path of the home directory."""

import os
from typing import Any

from sacred import Experiment
from sacred.observers import FileStorageObserver
from sacred.utils import apply_backspaces_and_linefeeds

from trl_ext.privacy import hide_private


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


class PrivateFileStorageObserver(FileStorageObserver):
    """Hide private content in the JSON files themselves, so that source files are still found by their real paths."""

    def save_json(self, obj, filename):
        super().save_json(hide_private(obj), filename)


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
    """An experiment whose observers, those of the command line included, get nothing private."""

    def _create_run(self, *args, **kwargs):
        run = super()._create_run(*args, **kwargs)
        run.observers = [
            observer if isinstance(observer, PrivateFileStorageObserver) else PrivateObserver(observer)
            for observer in run.observers
        ]
        return run
