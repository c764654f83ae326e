"""Whether a model gives padded sequences the rewards that they have one by one."""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ..shared_prefix import core_model, unsupported_reason
from ..shared_prefix.support import TOLERANCES
from .batching import padded_batches
from .inference import compute_rewards
from .reduction import Reduction


_LENGTHS = (2, 5, 11, 24)


def padding_problem(model: nn.Module, pad_token_id: int, reduction: Reduction | None = None) -> str | None:
    """
    Why sequences of different lengths can't be in one batch of a model, by a check on the model itself; `None` if they
    can. Some read the last column, some mix what pads into the rest, some turn positions by the longest sequence.
    """
    reason = unsupported_reason(model)
    if reason is not None and "longest sequence" in reason:
        return reason
    core = core_model(model)
    sequences = _check_sequences(core, pad_token_id)
    alone, _ = compute_rewards(model, padded_batches(sequences, 1, pad_token_id), len(sequences), reduction)
    try:
        padded, _ = compute_rewards(
            model, padded_batches(sequences, len(sequences) * max(_LENGTHS), pad_token_id), len(sequences), reduction
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model makes of padding: it is the reason, and equal lengths still work
        return f"it failed on a padded batch ({type(error).__name__}: {error})"
    difference = np.abs(padded - alone).max() / max(np.abs(alone).max(), 1e-6)
    if not difference <= TOLERANCES[core.dtype]:
        return f"padded and one-by-one rewards differ by {difference:.1e} of the largest"
    return None


def _check_sequences(model: PreTrainedModel, pad_token_id: int) -> list[list[int]]:
    """Random tokens without those that pad, and at the end the EOS token, which some heads look for."""
    config = model.config.get_text_config()
    eos_token_id = getattr(config, "eos_token_id", None)
    special = {
        pad_token_id,
        getattr(config, "pad_token_id", None),
        eos_token_id if isinstance(eos_token_id, int) else None,
    }
    tokens = [token for token in range(min(config.vocab_size, 1000)) if token not in special]
    generator = np.random.default_rng(0)
    end = [eos_token_id] if isinstance(eos_token_id, int) and 0 <= eos_token_id < config.vocab_size else []
    return [generator.choice(tokens, length - len(end)).tolist() + end for length in _LENGTHS]
