"""A prompt is computed once: packed rows with shared prefixes, for training and for scoring."""

from .forward import core_model
from .plan import (
    MIN_SHARED_TOKENS,
    Layout,
    Segment,
    SharedPrefixPlan,
    build_plan,
    common_prefix_length,
    pack_rows,
    unpack_sequences,
)
from .support import (
    SharedPrefixReport,
    active_dropout,
    disable_shared_prefix,
    enable_shared_prefix,
    self_check,
    unsupported_reason,
)


__all__ = [
    "MIN_SHARED_TOKENS",
    "Layout",
    "Segment",
    "SharedPrefixPlan",
    "SharedPrefixReport",
    "active_dropout",
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
