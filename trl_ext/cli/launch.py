"""How `trl-ext train` starts: in this process, or by `accelerate launch` with a configuration that fits the machine."""

import os
import sys
from collections.abc import Mapping, Sequence

from .arguments import SACRED_SWITCHES, SACRED_WITH_VALUE, option_name
from .programs import accelerate_config
from .usage import UsageError, did_you_mean


# Options of `accelerate launch` that are taken here; what else it knows can be said in a --config_file
LAUNCH_OPTIONS = (
    *("--config_file", "--num_processes", "--num_machines", "--machine_rank", "--main_process_ip"),
    *("--main_process_port", "--gpu_ids", "--mixed_precision"),
)
# Linux without any of these has no GPU, and there is no need to ask torch, which takes seconds
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/dri")


def split_launch_options(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """
    Part the options of `accelerate launch` from those of the script.

    Raises:
        UsageError: An option is unknown, has no value, or a wrong one.

    Example:
        ```python
        >>> from trl_ext.cli.launch import split_launch_options
        >>> split_launch_options(["--num_processes", "2", "with", "rapl_method=p", "--unobserved"])
        ({'--num_processes': '2'}, ['with', 'rapl_method=p', '--unobserved'])

        ```
    """
    launch: dict[str, str] = {}
    script: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name = option_name(argument).replace("-", "_").replace("__", "--", 1)
        if name in LAUNCH_OPTIONS:
            if "=" not in argument and not remaining:
                raise UsageError(f"{name} needs a value")
            launch[name] = argument.partition("=")[2] if "=" in argument else remaining.pop(0)
        elif argument.startswith("--") and option_name(argument) not in SACRED_SWITCHES | SACRED_WITH_VALUE:
            raise UsageError(
                f"there is no option {option_name(argument)}.{did_you_mean(name, LAUNCH_OPTIONS)} Options of accelerate that "
                f"are taken: {', '.join(LAUNCH_OPTIONS)}; others can be said in a --config_file"
            )
        else:
            script.append(argument)
            if argument in SACRED_WITH_VALUE:
                script += remaining[:1]
                del remaining[:1]
    for name in ("--num_processes", "--num_machines"):
        if name in launch and not (launch[name].isdecimal() and int(launch[name]) > 0):
            raise UsageError(f"{name} must be a positive whole number, got {launch[name]!r}")
    return launch, script


def count_gpus() -> int:
    """GPUs that PyTorch can use."""
    if sys.platform.startswith("linux") and not any(map(os.path.exists, _GPU_DEVICES)):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def launch_command(
    script: Sequence[str], launch: Mapping[str, str], gpus: int, arguments: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """
    The command that trains, and what it needs in the environment.

    What the user chose holds. Otherwise: one process per GPU, or one on the CPU. A single process needs no launcher,
    whose death by SIGTERM would leave the training behind alone.

    Args:
        script (sequence of `str`): Python, and the script.
        launch (mapping of `str` to `str`): Of [`split_launch_options`].
        gpus (`int`): Number of GPUs.
        arguments (sequence of `str`): Of the script.

    Returns:
        `tuple[list[str], dict[str, str]]`: Command and environment variables.
    """
    options = dict(launch)
    processes = int(options.get("--num_processes", max(gpus, 1)))
    if "--config_file" in options:
        options["--config_file"] = accelerate_config(options["--config_file"])
    elif not options.keys() - {"--num_processes"} and processes == 1:
        return [*script, *arguments], _one_process(gpus)
    else:
        kind = ("multi_gpu" if gpus else "cpu_2proc") if processes > 1 else ("single_gpu" if gpus else "cpu")
        options |= {"--config_file": accelerate_config(kind), "--num_processes": str(processes)}
    flags = [part for name in LAUNCH_OPTIONS if name in options for part in (name, options[name])]
    python, path = script
    return [python, "-m", "accelerate.commands.launch", *flags, path, *arguments], {}


def _one_process(gpus: int) -> dict[str, str]:
    if not gpus:
        return {"ACCELERATE_USE_CPU": "true"}  # as cpu.yaml says
    # With several, the trainer would divide batches among them by threads (DataParallel)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {"CUDA_VISIBLE_DEVICES": visible} if gpus > 1 else {}
