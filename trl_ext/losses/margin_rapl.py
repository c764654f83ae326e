"""Margin-RAPL: the reliability of a label shifts the reward difference that is asked for."""

import math

from .beta_rapl import RAPL_CITATION
from .bradley_terry import BradleyTerryLoss


class MarginRAPLLoss(BradleyTerryLoss):
    r"""
    Bradley–Terry with a required margin: \( -\log\sigma(r_c - r_r - m) \).

    Choose it to compare with the released RAPL code, which has this method but no paper text about it. Mind the sign:
    [`~trl_ext.reliability.reliability_to_margin`] follows that code and gives the *least* reliable labels the largest
    margin, 1, so they pull hardest. For reliable training use [`EpsilonRAPLLoss`] or [`BetaRAPLLoss`].

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models, code only:
          https://github.com/shivamsinghal001/reliability-aware-preference-learning

    Requirements:
        - column `margin`, any finite value

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `margin` (B,) |

    Relations:
        - [`BradleyTerryLoss`] is the same formula with an optional margin; `margin = 0` is plain Bradley–Terry.
        - [`ScaledBradleyTerryLoss`] multiplies the loss by the margin.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import MarginRAPLLoss
        >>> MarginRAPLLoss()(torch.tensor([2.0]), torch.tensor([0.0]), margin=torch.tensor([1.0]))
        tensor([0.3133])
        ```
    """

    columns = {"margin": (-math.inf, math.inf)}
    optional_columns = {}

    @property
    def citation(self) -> str:
        return RAPL_CITATION
