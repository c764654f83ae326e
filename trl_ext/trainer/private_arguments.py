"""Training arguments without private content where they are recorded."""

import copy
from pathlib import Path
from typing import Any

from ..privacy import hide_home


class PrivateArguments:
    """
    What trackers record of training arguments, and what is pickled into `training_args.bin` of every checkpoint: no
    token, and `~` for the home directory.
    """

    def to_dict(self) -> dict[str, Any]:
        return hide_home(super().to_dict())

    def __getstate__(self) -> dict[str, Any]:
        return hide_home(self.__dict__ | {"hub_token": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.output_dir = str(Path(self.output_dir).expanduser())

    def __deepcopy__(self, memo: dict) -> "PrivateArguments":
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        clone.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return clone
