"""How well a reward model orders pairs, as a metric of the `evaluate` library."""

import datasets
import evaluate
import numpy as np


class PairwiseRewardMetric(evaluate.Metric):
    """
    Metrics of rewards of (chosen, rejected) pairs, for [`evaluate`](https://huggingface.co/docs/evaluate).

    - `accuracy`: share of pairs with reward_chosen > reward_rejected; a tie is not correct;
    - `tie_rate`: share of pairs with equal rewards;
    - `margin`: mean of reward_chosen − reward_rejected;
    - `log_loss`: mean Bradley–Terry negative log-likelihood, −log σ(reward_chosen − reward_rejected).

    Example:
        ```python
        >>> PairwiseRewardMetric().compute(predictions=[[1.0, 0.0], [0.0, 2.0]])["accuracy"]
        0.5
        ```
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, ties, margin and Bradley-Terry log-loss of pairwise rewards",
            citation="",
            features=datasets.Features({"predictions": datasets.Sequence(datasets.Value("float64"))}),
            inputs_description="predictions: rewards (chosen, rejected) of every pair, shape (N, 2)",
        )

    def _compute(self, predictions) -> dict[str, float]:
        rewards = np.asarray(predictions, dtype=np.float64)
        if rewards.ndim != 2 or rewards.shape[1] != 2:
            raise ValueError(f"predictions must have shape (N, 2), got {rewards.shape}")
        difference = rewards[:, 0] - rewards[:, 1]
        return {
            "accuracy": float(np.mean(difference > 0)),
            "tie_rate": float(np.mean(difference == 0)),
            "margin": float(difference.mean()),
            "log_loss": float(np.logaddexp(0, -difference).mean()),
        }


def pairwise_metrics(rewards: np.ndarray) -> dict[str, float]:
    """Compute [`PairwiseRewardMetric`] of an array of rewards `(N, 2)` in memory (no cache file, any process)."""
    return PairwiseRewardMetric(keep_in_memory=True).compute(predictions=rewards)
