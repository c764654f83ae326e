"""The genuine rewardbench 0.1.4, run in an environment of its own on a copy of a model, and compared with ours."""

from .comparison import GenuineComparison, compare_rewards, compare_with_genuine
from .environment import RewardBenchEnvironment
from .export import export_legacy_copy
from .genuine import GenuineResult, GenuineSettings, run_genuine
from .inputs import BridgeRow, read_bridge_rows
from .legacy_config import legacy_config, legacy_tokenizer_config


__all__ = [
    "BridgeRow",
    "GenuineComparison",
    "GenuineResult",
    "GenuineSettings",
    "RewardBenchEnvironment",
    "compare_rewards",
    "compare_with_genuine",
    "export_legacy_copy",
    "legacy_config",
    "legacy_tokenizer_config",
    "read_bridge_rows",
    "run_genuine",
]
