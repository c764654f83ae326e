"""Configuration of [`ReliabilityRewardTrainer`]."""

from dataclasses import dataclass

from .reliability_arguments import ReliabilityArguments
from .reward_config import PairwiseRewardConfig


@dataclass
class ReliabilityRewardConfig(ReliabilityArguments, PairwiseRewardConfig):
    r"""
    Configuration class for the [`ReliabilityRewardTrainer`].

    Has every field of [`PairwiseRewardConfig`], and these:

    Parameters:
        > Parameters that control the use of reliability

        rapl_method (`str`, *optional*, defaults to `"beta"`):
            `"beta"` scales the reward difference, `"p"` mixes the likelihood with chance, `"margin"` subtracts a
            margin, `"smoothing"` makes P(correct) the soft label of the pair, `"backward"` corrects the loss for the
            expected noise, with \( \eta = 2\,P(\text{correct}) - 1 \), `"none"` is plain Bradley–Terry (useful with
            `min_reliability` and `on_below_half`).
        reliability_kind (`str`, *optional*, defaults to `"probability"`):
            `"probability"`: the column holds P(annotator is correct) and is converted to the column of the loss. `"raw"`:
            the column is used as beta, p, margin, label or eta as it is.
        on_below_half (`str`, *optional*, defaults to `"zero"`):
            What happens to pairs with P(correct) below one half: `"zero"` takes nothing from them, as in the paper
            (with `rapl_method="none"`, nothing happens); `"flip"` believes the opposite label with 1 − P(correct);
            `"error"` refuses. Metrics and predictions are about the labels as they were given, flipped or not.
        constant_reliability (`float` or `"mean"`, *optional*):
            Use this value for every training pair instead of the column: the constant baselines. `"mean"` is the mean of
            the column over the training pairs that `min_reliability` leaves.
        min_reliability (`float`, *optional*):
            Drop training pairs whose reliability is below this threshold (hard filtering); the count is logged.
        normalize_beta (`bool`, *optional*, defaults to `False`):
            Divide beta by its mean over the training pairs, before those over `max_length` are dropped, so that weights
            change the share of each pair but not the scale of the rewards. Not in the original.
        min_eta (`float`, *optional*, defaults to `0.01`):
            Smallest eta above 0 that `rapl_method="backward"` accepts; a training pair below it is an error. Pairs at
            exactly 0, i.e. at chance, get weight 0.
    """
