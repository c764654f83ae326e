"""The result of solving for a contract."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class ContractSolution:
    """
    The best contract of a kind, or why there is none.

    Args:
        contract (`str`):
            `"linear"`: wage = base + slope · (share of checks that agree); `"binary"`: base, and bonus on top if at
            least `threshold` of the `n` checks agree.
        regime (`str`):
            `"second_best"` (the best effort to ask for) or `"restricted"` (the effort was given).
        c, n (`float`, `int`):
            Information of one check, P(agree) = (1 + c η)/2, and number of checks.
        feasible (`bool`), reason (`str`):
            Whether there is such a contract; if not, why not, and all numbers are `nan`. If so, `reason` says what is
            special about it, mostly nothing.
        value (`float`):
            The employer's expected benefit less wage.
        effort (`float`):
            The effort in [0, 1] that the annotator chooses under the contract.
        expected_wage (`float`):
            At that effort.
        agent_utility (`float`):
            The annotator's expected utility of the wage less cost of effort.
        gap (`float`):
            Value of the first best less `value`: what not seeing the effort costs.
        base (`float`), slope (`float`), bonus (`float`), threshold (`int` or `None`):
            Terms of the contract; those of the other kind are `nan` or `None`.
        pass_probability (`float`):
            Probability of the bonus (binary).
        participation_binds, wage_bound_binds, global_incentive_binds (`bool`):
            Which constraints hold with equality: the annotator just accepts; a bound on wages is met; the annotator
            is indifferent to an effort far away, so that a marginal incentive would not have sufficed.
        incentive_check (`str`):
            How it was made sure that no other effort is better for the annotator.
    """

    contract: str
    regime: str
    c: float
    n: int
    feasible: bool
    reason: str
    value: float = np.nan
    effort: float = np.nan
    expected_wage: float = np.nan
    agent_utility: float = np.nan
    gap: float = np.nan
    base: float = np.nan
    slope: float = np.nan
    bonus: float = np.nan
    threshold: int | None = None
    pass_probability: float = np.nan
    participation_binds: bool = False
    wage_bound_binds: bool = False
    global_incentive_binds: bool = False
    incentive_check: str = field(default="none: no contract", repr=False)

    def terms(self) -> dict[str, float]:
        """Base and slope, or base, bonus and threshold: the arguments of [`check_contract`] of the same names."""
        if self.contract == "linear":
            return {"base": self.base, "slope": self.slope}
        return {"base": self.base, "bonus": self.bonus, "threshold": self.threshold}
