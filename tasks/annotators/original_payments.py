"""The setting of the original's plot of payments: a bonus for passing a test, against effort."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from tasks.annotators.probability_sets import load_probabilities
from trl_ext.annotators import agreement_probability, expert_c, self_consistency_c
from trl_ext.annotators.contracts.legacy_curves import legacy_decision_mean


EFFORTS = np.linspace(0.0, 1.0, 101)
SIZES = (100, 500, 1000)
TARGET = 0.9  # effort whose mean agreement is the threshold of the test


def bonus_by_effort(datasets: Sequence[str], monitors: Sequence[str]) -> pd.DataFrame:
    """
    Probability of the bonus by effort, exactly where the original draws bootstrap samples.

    Args:
        datasets (`Sequence[str]`):
            As for [`load_probabilities`].
        monitors (`Sequence[str]`):
            `"self"` and `"expert"`. The former does not depend on the dataset.

    Returns:
        `pandas.DataFrame`: columns `dataset`, `monitor`, `convention` (`original`: two answers of one annotator agree
        with probability (1 + η²)/2; `consistent`: (1 + η)/2, as everywhere else), `n`, `effort`, `agreement`,
        `pass_probability`. The test asks for at least the mean agreement at effort `TARGET`.
    """
    rows = []
    for source in datasets:
        p = load_probabilities(source)
        mean = float(np.maximum(p, 1 - p).mean())
        for monitor in monitors:
            c = self_consistency_c(0.0) if monitor == "self" else expert_c(p)
            for convention in ("original", "consistent"):

                def agreement(effort: float, original=convention == "original", monitor=monitor, mean=mean, c=c):
                    if original:
                        return legacy_decision_mean(effort, monitor=monitor, mean_probability=mean)
                    return agreement_probability(effort, c)

                for n in SIZES:
                    threshold = int(np.ceil(n * agreement(TARGET) - 1e-9))  # 95.00000000000001 is 95
                    for effort in EFFORTS:
                        q = agreement(effort)
                        passed = binom.sf(threshold - 1, n, q)
                        rows.append((Path(source).name, monitor, convention, n, effort, q, passed))
    names = ["dataset", "monitor", "convention", "n", "effort", "agreement", "pass_probability"]
    return pd.DataFrame(rows, columns=names)
