"""Metrics as local modules of the `evaluate` library."""

from pathlib import Path


METRICS = ("pairwise_accuracy", "expected_calibration_error", "brier_score", "log_loss")


def metric_path(name: str) -> str:
    """
    Folder of a metric, for [`evaluate.load`](https://huggingface.co/docs/evaluate): nothing is downloaded.

    Args:
        name (`str`):
            `"pairwise_accuracy"`, `"expected_calibration_error"`, `"brier_score"` or `"log_loss"`.

    Returns:
        `str`: where it is installed.

    Example:
        ```python
        >>> import evaluate
        >>> metric = evaluate.load(metric_path("brier_score"))
        >>> round(metric.compute(predictions=[0.9, 0.4], references=[1, 0])["brier_score"], 4)
        0.085
        ```
    """
    if name not in METRICS:
        raise ValueError(f"name must be one of {', '.join(METRICS)}, got {name!r}")
    return str(Path(__file__).parent / name)
