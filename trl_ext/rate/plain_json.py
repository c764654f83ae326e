"""Results as plain types for JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation.statistics import Estimate


def plain(value: Any) -> Any:
    """Plain types for JSON, with `None` for NaN and `"inf"` for infinity."""
    if isinstance(value, Estimate):
        return plain(value.to_dict())
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
