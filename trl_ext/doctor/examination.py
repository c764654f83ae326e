"""What can be examined, and in which order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .finding import Finding
from .flash_attention import check_flash_attention
from .hub import check_hub
from .machine import check_machine, check_torch
from .models import check_models
from .packages import check_mongo, check_packages, check_plots, check_rewriters, check_trackers
from .rewardbench import check_rewardbench
from .zero import check_zero, check_zero_offload


@dataclass(frozen=True)
class Feature:
    """
    Something that works or not.

    Args:
        title (`str`): What it is for.
        check (`Callable`): Given `deep`, returns the findings.
        required (`bool`): Whether nothing works without it.
        after (`tuple[str, ...]`): Features that it needs.
    """

    title: str
    check: Callable[[bool], list[Finding]]
    required: bool = False
    after: tuple[str, ...] = ()


FEATURES: dict[str, Feature] = {
    "packages": Feature("Python and required packages", check_packages, required=True),
    "torch": Feature("PyTorch", check_torch, required=True),
    "machine": Feature("this machine", check_machine),
    "models": Feature("bundled models: train and try without a hub", check_models),
    "plots": Feature("figures and reports", check_plots),
    "zero": Feature("ZeRO (DeepSpeed): models that don't fit on one GPU", check_zero),
    "zero-offload": Feature("ZeRO with the optimizer on the CPU", check_zero_offload, after=("zero",)),
    "flash-attn": Feature("flash-attn: faster attention on GPUs", check_flash_attention),
    "hub": Feature("model hub: download, push", check_hub),
    "rewardbench": Feature("bridge to the genuine rewardbench", check_rewardbench),
    "rewriters": Feature("rewriters and judges behind a server", check_rewriters),
    "trackers": Feature("trackers beside Sacred (report_to)", check_trackers),
    "mongo": Feature("Sacred records in MongoDB", check_mongo),
}


def examine(names: Iterable[str] | None = None, *, deep: bool = False) -> dict[str, list[Finding]]:
    """
    Examine features, with those that they need.

    Args:
        names (iterable of `str`, *optional*):
            Names of [`FEATURES`]. By default all.
        deep (`bool`, *optional*, defaults to `False`):
            Also try what takes a minute: compiling.

    Returns:
        `dict[str, list[Finding]]`: Findings by feature.

    Example:
        ```python
        >>> from trl_ext.doctor import examine
        >>> [finding.name for finding in examine(["plots"])["plots"]]
        ['matplotlib', 'browser']

        ```
    """
    wanted: list[str] = []
    for name in FEATURES if names is None else names:
        wanted += [one for one in (*FEATURES[name].after, name) if one not in wanted]
    return {name: FEATURES[name].check(deep) for name in wanted}


def works(found: dict[str, list[Finding]], required_only: bool) -> bool:
    """Whether all features, or the required ones, have what they need."""
    return all(
        finding.passes
        for name, findings in found.items()
        if FEATURES[name].required or not required_only
        for finding in findings
    )
