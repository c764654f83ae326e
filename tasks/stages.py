"""Stages of an experiment, one after another in this process."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.json_files import write_json


def run_in_order(stages: Mapping[str, Callable[[], object]], stop_after: str, root: Path) -> dict[str, float]:
    """
    Run stages up to one of them, tell which, and write how long each took to `stages.json`.

    Args:
        stages (`Mapping[str, Callable]`): All stages in their order.
        stop_after (`str`): The last one to run.
        root (`Path`): Folder of the results.

    Returns:
        `dict[str, float]`: Seconds that each stage took in this run.
    """
    seconds: dict[str, float] = {}
    for number, (stage, run) in enumerate(stages.items(), start=1):
        print(f"\n[{number}/{len(stages)}] {stage}", flush=True)
        start = time.monotonic()
        run()
        seconds[stage] = round(time.monotonic() - start, 1)
        if stage == stop_after:
            break
    write_json(root / "stages.json", {"seconds": seconds})
    print("\n" + "  ".join(f"{stage} {taken:.0f} s" for stage, taken in seconds.items()))
    return seconds
