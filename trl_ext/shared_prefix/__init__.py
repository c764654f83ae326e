"""A prompt is computed once: packed rows with shared prefixes, for training and for scoring."""

from .forward import core_model
from .plan import Layout, Segment, SharedPrefixPlan, build_plan, common_prefix_length, pack_rows, unpack_sequences
from .support import (
    SharedPrefixReport,
    disable_shared_prefix,
    enable_shared_prefix,
    self_check,
    unsupported_reason,
)


__all__ = [
    "Layout",
    "Segment",
    "SharedPrefixPlan",
    "SharedPrefixReport",
    "build_plan",
    "common_prefix_length",
    "core_model",
    "disable_shared_prefix",
    "enable_shared_prefix",
    "pack_rows",
    "self_check",
    "unpack_sequences",
    "unsupported_reason",
]
