"""Whether what a model computes of a sequence depends on how long the others of its batch are."""

from transformers import PreTrainedModel

from ..shared_prefix.support import _LENGTH_DEPENDENT_ROPE, _rope_types


def needs_equal_lengths(model: PreTrainedModel) -> bool:
    """Whether a model turns positions by the longest sequence of the batch, so that only equal lengths may share one."""
    config = model.config.get_text_config()
    return bool(_rope_types(getattr(config, "rope_parameters", None) or {}) & _LENGTH_DEPENDENT_ROPE)
