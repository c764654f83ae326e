"""
The last layer computes only what the head reads: the last token of every sequence.

Nothing that follows looks at any other row of the last layer. Its attention therefore runs on one query per segment, and
its MLP on the same rows: exact, and about two thirds of a layer saved.
"""

import types
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


# From the attention of the last layer to the MLP right behind it, which takes the rows away. Not set around the model: a
# checkpointed layer runs again in backward, its attention first, long after the forward pass.
_scored_rows: ContextVar[Tensor | None] = ContextVar("scored_rows", default=None)


def announce_scored_rows(rows: Tensor | None) -> None:
    """Say which rows the next call of the last MLP has to compute; `None` is all."""
    _scored_rows.set(rows)


def rows_left_over() -> bool:
    """Whether rows were announced that no MLP has taken: the layer is built in another order."""
    return _scored_rows.get() is not None


def _mlp_forward(self: nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
    rows = None if torch.compiler.is_compiling() else _scored_rows.get()
    if rows is None:
        return self._forward_of_all_rows(hidden_states, *args, **kwargs)
    _scored_rows.set(None)
    output = self._forward_of_all_rows(hidden_states[:, rows], *args, **kwargs)
    if isinstance(output, tuple):  # mixtures of experts also return what the router said
        return _in_place(output[0], rows, hidden_states), *output[1:]
    return _in_place(output, rows, hidden_states)


def _in_place(values: Tensor, rows: Tensor, like: Tensor) -> Tensor:
    """Rows of a tensor at their places among zeros."""
    values = values.reshape(1, len(rows), -1)
    return values.new_zeros((*like.shape[:-1], values.shape[-1])).index_copy(1, rows, values)


def _last_mlp(model: PreTrainedModel) -> nn.Module | None:
    """The MLP of the last decoder layer, if the model keeps it where most do."""
    for name in ("layers", "h"):
        layers = getattr(model.base_model, name, None)
        if isinstance(layers, nn.ModuleList):
            mlp = getattr(layers[-1], "mlp", None)
            return mlp if isinstance(mlp, nn.Module) else None
    return None


def skips_unscored_rows(model: PreTrainedModel) -> bool:
    """Whether [`skip_unscored_rows`] is in force."""
    mlp = _last_mlp(model)
    return mlp is not None and "_forward_of_all_rows" in vars(mlp)


def skip_unscored_rows(model: PreTrainedModel) -> None:
    """Let the MLP of the last layer compute the scored rows of a plan only; ordinary inputs are not affected."""
    mlp = _last_mlp(model)
    if mlp is not None:
        mlp._forward_of_all_rows = mlp.forward
        mlp.forward = types.MethodType(_mlp_forward, mlp)


def compute_all_rows(model: PreTrainedModel) -> None:
    """Undo [`skip_unscored_rows`]."""
    mlp = _last_mlp(model)
    original = None if mlp is None else vars(mlp).pop("_forward_of_all_rows", None)
    if original is None:
        return
    if getattr(original, "__func__", None) is type(mlp).forward:
        del mlp.forward
    else:
        mlp.forward = original
