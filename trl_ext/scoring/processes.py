"""The processes that accelerate started."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env


Result = TypeVar("Result")


def process_state() -> PartialState:
    """
    This process among those that were launched; on the CPU if the launcher was told so or there is nothing else, where
    `PartialState` by itself takes every process for the only one.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())


def on_main_process(function: Callable[[], Result]) -> Result:
    """Result of a function that only the main process runs, for all; what it raises, all raise."""
    result = None
    if process_state().is_main_process:
        try:
            result = function()
        except Exception as error:  # the others wait for the result
            result = error
    result = broadcast_object_list([result])[0]
    if isinstance(result, Exception):
        raise result
    return result


def gathered(items: list[Any]) -> list[Any]:
    """Items of all processes, for every process."""
    process_state()  # before accelerate makes one that takes every process for the only one
    return gather_object(items)
