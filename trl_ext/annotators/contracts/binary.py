"""Binary contracts: a base, and a bonus if at least k of the n checks agree."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .monitor import agreement, efforts_around, fail_probability, pass_slope
from .problem import ContractProblem
from .search import RESOLUTION, all_maxima, local_maxima, refine


INCENTIVE_CHECK = (
    "the annotator's utility at every local maximum over effort (grid of 129 efforts and 129 around the threshold, each "
    "maximum refined to 1e-9 of effort) is at most the tolerance above that of the effort"
)


@dataclass(frozen=True)
class BinaryTerms:
    """Cheapest binary contracts for thresholds (R, 1) and efforts (R, M); shapes (R, M)."""

    spread: np.ndarray  # utility of the bonus
    base: np.ndarray
    bonus: np.ndarray
    expected_wage: np.ndarray
    temptation: np.ndarray  # utility of the best known other effort less that of the effort
    affordable: np.ndarray
    in_bounds: np.ndarray


@dataclass
class BinarySearch:
    """
    Search over threshold and effort.

    For a threshold k and an effort η the utility of the bonus follows from the first-order condition, and the base
    from acceptance (or its lower bound): what remains is a search in k and η. The best value per threshold is a smooth
    function of k, so that a grid of thresholds is refined around its largest values. The condition that no other
    effort is better is imposed for a finite set of rivals first; the best reply to the contract found joins the set
    until it is no better than the effort asked for.
    """

    problem: ContractProblem
    c: float
    n: int
    wage_bounds: tuple[float, float]
    tolerance: float
    score: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __post_init__(self):
        utility, (base_low, bonus_high) = self.problem.utility, self.wage_bounds
        self.base_low = max(base_low, utility.lower)
        self.lowest_utility = float(utility.value(self.base_low))
        # Utility is concave: the bonus is worth most on top of the lowest base.
        most = float(utility.value(min(self.base_low + bonus_high, utility.upper))) - self.lowest_utility
        # A bonus pays for an effort only if dP/dη times its utility reaches the marginal cost (here that of an effort of
        # 0.01: smaller ones are left to the flat wage). dP/dη is at most n c/2 exp(-n KL), and KL at least the squared
        # distance of the probabilities' arcsin(sqrt()).
        ratio = self.n * self.c / 2 * min(most, 1e300) / float(self.problem.cost.derivative(0.01))
        self.reach = np.sqrt(np.log(max(ratio, 1.0)) / self.n) + 0.5 / np.sqrt(self.n)
        self.rivals = np.array([0.0, 0.01, 0.04, 0.16, 0.36, 0.64, 1.0])

    def solve(self, effort: float | None = None) -> tuple[int, float] | None:
        """Best threshold and effort (or threshold for the given effort); `None` where no contract is allowed."""
        thresholds = self._promising_thresholds() if effort is None else np.array([], dtype=int)
        for _ in range(60):
            found = self._search(thresholds) if effort is None else self._search_thresholds(effort)
            if found is None:
                return None
            reply, temptation = self.best_reply(*found)
            if temptation <= self.tolerance * (1 + 1e-3):
                return found
            self.rivals = np.append(self.rivals, reply)
            if temptation > 1e-4 and effort is None:  # the first rivals were too few to see the problem
                thresholds = self._promising_thresholds()
        raise RuntimeError(
            f"the incentive constraint did not settle: c={self.c}, n={self.n}, threshold and effort {found}, "
            f"temptation {temptation}"
        )

    def terms(self, k: np.ndarray, effort: np.ndarray, rival_fail: np.ndarray | None = None) -> BinaryTerms:
        problem, n = self.problem, self.n
        if rival_fail is None:
            rival_fail = self._rival_fail(k)
        q = agreement(effort, self.c)
        with np.errstate(all="ignore"):
            fail = fail_probability(k, n, q)
            cost = problem.cost.value(effort)
            spread = problem.cost.derivative(effort) / (self.c / 2 * pass_slope(k, n, q))
            spread = np.where(np.isnan(spread), np.inf, spread)
            gained = fail - rival_fail[:, :, None]
            saved = cost - problem.cost.value(self.rivals)[:, None, None]
            if (effort == 1.0).any():  # nobody can exceed full effort: the bonus may be larger than the condition says
                needed = np.where(saved > 0, np.where(gained < 0, -saved / gained, np.inf), 0.0).max(axis=0)
                spread = np.where((effort == 1.0) & (spread < needed), needed, spread)
            temptation = (spread * gained + saved).max(axis=0)
            top = np.maximum(problem.reservation + cost + spread * fail, self.lowest_utility + spread)
            held = top - spread <= self.lowest_utility
            base = np.where(held, self.base_low, problem.utility.inverse(top - spread))
            high = problem.utility.inverse(top)
            bonus = high - base
            wage = high - fail * bonus
        affordable = np.isfinite(wage)
        in_bounds = affordable & (bonus <= self.wage_bounds[1])
        return BinaryTerms(spread, base, bonus, wage, temptation, affordable, in_bounds)

    def best_reply(self, k: int, effort: float) -> tuple[float, float]:
        """The annotator's best effort under the contract for (k, effort), and what it gains him."""
        spread = float(self.terms(np.array([[k]]), np.array([[effort]])).spread[0, 0])
        reply, utility = best_replies(self.problem, self.c, self.n, k, spread)
        own = -spread * fail_probability(k, self.n, agreement(effort, self.c)) - self.problem.cost.value(effort)
        return float(reply[0]), float(utility[0] - own)

    def _rival_fail(self, k: np.ndarray) -> np.ndarray:
        """(rivals, thresholds) for thresholds of shape (R, 1)."""
        return fail_probability(k[:, 0], self.n, agreement(self.rivals, self.c)[:, None])

    def _values(self, k: np.ndarray, rival_fail: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def values(effort: np.ndarray) -> np.ndarray:
            terms = self.terms(k, effort, rival_fail)
            allowed = terms.in_bounds & (terms.temptation <= self.tolerance)
            return np.where(allowed, self.score(effort, terms.expected_wage), -np.inf)

        return values

    def thresholds(self, low_effort: float, high_effort: float) -> tuple[int, int]:
        """No threshold outside can pay for an effort in between."""
        low, high = np.arcsin(np.sqrt(agreement(np.array([low_effort, high_effort]), self.c)))
        first = np.floor(self.n * np.sin(max(low - self.reach, 0.0)) ** 2)
        last = np.ceil(self.n * np.sin(min(high + self.reach, np.pi / 2)) ** 2) + 1
        return max(int(first), 1), min(int(last), self.n)

    def _effort_grid(self, k: np.ndarray, points: int) -> np.ndarray:
        """Per threshold (K,), the efforts it can pay for: even steps of arcsin(sqrt(q)), ends exact."""
        angle = np.arcsin(np.sqrt((k - 0.5) / self.n))[:, None]
        ends = np.arcsin(np.sqrt(agreement(np.array([0.0, 1.0]), self.c)))
        low, high = np.clip(angle - self.reach, *ends), np.clip(angle + self.reach, *ends)
        steps = np.linspace(0.0, 1.0, points)
        angles = low * (1 - steps) + high * steps
        effort = np.clip((2 * np.sin(angles) ** 2 - 1) / self.c, 0.0, 1.0)
        return np.where(angles == ends[0], 0.0, np.where(angles == ends[1], 1.0, effort))

    def _best_of(self, k: np.ndarray, enough: int) -> tuple[np.ndarray, np.ndarray]:
        """
        The best thresholds of `k` (K,) and their best efforts, best first. The two largest maxima over effort of each
        threshold are refined, and left as soon as they can't win, until `enough` thresholds are left or efforts are
        exact.
        """
        column = k[:, None].astype(np.float64)
        rival_fail = self._rival_fail(column)
        grid = self._effort_grid(k, 41)
        values = self._values(column, rival_fail)(grid)
        peaks = local_maxima(values, 2)
        rows = np.repeat(np.arange(len(k)), 2)
        low = grid[rows, np.maximum(peaks - 1, 0).ravel()]
        high = grid[rows, np.minimum(peaks + 1, grid.shape[1] - 1).ravel()]
        allowed = values[rows, peaks.ravel()] > -np.inf
        rows, low, high = rows[allowed], low[allowed], high[allowed]
        if not rows.size:
            return np.array([], dtype=int), np.array([])
        while True:
            found = refine(self._values(column[rows], rival_fail[:, rows]), low, high, 13)
            most = found.value.max()
            kept = (found.value + found.room >= most) & (found.value > -np.inf)
            exact = (found.high - found.low)[kept].max(initial=0.0) < 2 * RESOLUTION
            if exact or found.room[kept].max(initial=0.0) < 1e-16 or len(np.unique(rows[kept])) <= enough:
                order = np.flatnonzero(kept)[np.argsort(-found.value[kept])]
                return k[rows[order]], found.argument[order]
            rows, low, high = rows[kept], found.low[kept], found.high[kept]

    def _promising_thresholds(self) -> np.ndarray:
        """Every threshold near the best ones of a grid that is refined around them; empty if none is allowed."""
        first, last = self.thresholds(0.0, 1.0)
        k = np.unique(np.linspace(first, last, 33).astype(int))
        spacing = int(np.diff(k).max(initial=1))
        while spacing > 1 and k.size:
            best = np.unique(self._best_of(k, enough=3)[0][:3])
            steps = np.arange(-spacing, spacing + 1) if spacing <= 8 else np.linspace(-spacing, spacing, 9).astype(int)
            spacing = int(np.diff(steps).max())
            k = np.unique(np.clip(best[:, None] + steps, first, last))
        return k

    def _search(self, thresholds: np.ndarray) -> tuple[int, float] | None:
        k, effort = self._best_of(thresholds, enough=0)
        return (int(k[0]), float(effort[0])) if k.size else None

    def _search_thresholds(self, effort: float) -> tuple[int, float] | None:
        first, last = self.thresholds(effort, effort)
        k = np.arange(first, last + 1)[:, None].astype(np.float64)
        values = self._values(k, self._rival_fail(k))(np.full(k.shape, effort))[:, 0]
        best = int(np.argmax(values))
        return None if values[best] == -np.inf else (first + best, effort)


def best_replies(problem: ContractProblem, c: float, n: int, k: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Local maxima over effort of −spread · P(X < k) − cost, the annotator's utility less that of the bonus, best first:
    efforts and values. Written with the probability of failure, which is tiny where the spread is huge.
    """

    def utility(effort: np.ndarray) -> np.ndarray:
        return -spread * fail_probability(k, n, agreement(effort, c)) - problem.cost.value(effort)

    grid = np.union1d(np.linspace(0.0, 1.0, 129), efforts_around(k, n, c, points=129))
    return all_maxima(utility, grid)
