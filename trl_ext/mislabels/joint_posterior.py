"""The posterior of all that decides which labels are wrong: scale of the margins, commitments, and what people share."""

import numpy as np
from scipy.special import betaln, log_expit, logsumexp


LOGIT_PRIOR = (np.log(2.0), 1.25)  # mean and sd of the log of the median |scaled margin|: from 0.17 to 23 in 95 %
CONCENTRATIONS = np.array([1.0, 3.0, 10.0, 30.0, 80.0, 200.0])
_SCALES, _SHARES, _MEANS, _ZOOMS = 25, 64, 20, 3
_NATS = 16.0  # grids leave out what is less likely than the best by more
_BATCH = 4_000_000  # numbers in memory at once


class JointPosterior:
    r"""
    Grid of the joint posterior of the labels' model.

    A committed judge prefers the chosen response with probability \( \sigma(s d_i) \), annotator a says the same with
    probability \( q_a \sim \text{Beta}(1 + mk, 1 + (1-m)k) \). s (common), the mode m (Beta prior), k (one of `CONCENTRATIONS`) and all
    \( q_a \) are unknown; the prior of \( \log(s\,\text{median}|d|) \) is the normal `LOGIT_PRIOR`. The sums over the
    grids are numerical integrals; the grids are narrowed to where the posterior is.

    Args:
        margins (`np.ndarray` of shape `(N,)`): Reward differences d, chosen minus rejected.
        codes (`np.ndarray` of shape `(N,)`): Annotator of each label, 0 to A − 1; each occurs.
        prior (`tuple[float, float]`): Beta prior of m.
    """

    def __init__(self, margins: np.ndarray, codes: np.ndarray, prior: tuple[float, float]):
        order = np.argsort(codes, kind="stable")
        self.count = int(codes.max()) + 1
        self._margins, self._codes = margins[order], codes[order]
        self._starts = np.searchsorted(self._codes, np.arange(self.count))
        self._prior = prior
        self._size = np.median(np.abs(margins)) or 1.0
        reach = LOGIT_PRIOR[0] - np.log(self._size) + 4.5 * LOGIT_PRIOR[1] * np.array([-1, 1])
        everywhere = np.tile([0.0, np.pi], (self.count, 1))
        self._place(reach, np.array([0.0, np.pi]), everywhere)
        for _ in range(_ZOOMS):
            self._place(*self._occupied())

    def _place(self, scales: np.ndarray, means: np.ndarray, shares: np.ndarray) -> None:
        """Grids between the ends `(2,)`, `(2,)` and `(A, 2)`: log scales, and angles of m and q = (1 - cos(angle))/2."""
        middles = [(np.arange(size) + 0.5) / size for size in (_SCALES, _MEANS, _SHARES)]
        self.log_scales = scales[0] + middles[0] * (scales[1] - scales[0])
        self._mean_angles = means[0] + middles[1] * (means[1] - means[0])
        self._angles = shares[:, :1] + middles[2] * (shares[:, 1:] - shares[:, :1])
        self._ends = scales, means, shares
        self.q = (1 - np.cos(self._angles)) / 2
        eta = 2 * self.q - 1
        self._likelihood = np.empty((self.count, _SHARES, _SCALES))
        for s, log_scale in enumerate(self.log_scales):
            t = np.tanh(np.exp(log_scale) * self._margins / 2)
            for j in range(_SHARES):
                self._likelihood[:, j, s] = np.add.reduceat(np.log1p(eta[self._codes, j] * t), self._starts)

        m = (1 - np.cos(self._mean_angles)) / 2
        a, b = self._prior  # with the half of the angle's Jacobian, sqrt(m (1 - m))
        log_m = (a - 0.5) * np.log(m) + (b - 0.5) * np.log1p(-m)
        self._hyper = np.array([(1 + mean * k, 1 + (1 - mean) * k) for k in CONCENTRATIONS for mean in m])
        z = (self.log_scales + np.log(self._size) - LOGIT_PRIOR[0]) / LOGIT_PRIOR[1]
        self._evidence = np.empty((self.count, _SCALES, len(self._hyper)))  # log marginal likelihood of each annotator
        for rows in self._batches(_SHARES * len(self._hyper)):
            likelihood, density = self._likelihood[rows], self._density(rows)
            peaks = likelihood.max(axis=1, keepdims=True), density.max(axis=1, keepdims=True)
            inner = np.exp(likelihood - peaks[0]).transpose(0, 2, 1) @ np.exp(density - peaks[1])
            self._evidence[rows] = np.log(np.maximum(inner, 1e-300)) + peaks[0].transpose(0, 2, 1) + peaks[1]
        log_h = self._evidence.sum(axis=0) + np.tile(log_m, len(CONCENTRATIONS)) - z[:, None] ** 2 / 2
        self.log_h = log_h - logsumexp(log_h)  # (S, K): scale, and m with k

    def _batches(self, each: int) -> list[slice]:
        size = max(1, _BATCH // each)
        return [slice(start, start + size) for start in range(0, self.count, size)]

    def _density(self, rows: slice) -> np.ndarray:
        """Log prior `(a, Q, K)` of q, with the width of its cell."""
        log_q, log_not = np.log(self.q[rows, :, None]), np.log1p(-self.q[rows, :, None])
        width = np.log(self._angles[rows, 1] - self._angles[rows, 0])[:, None, None]
        a, b = self._hyper.T
        return log_q * (a - 0.5) + log_not * (b - 0.5) - betaln(a, b) + width

    def log_weights(self, rows: slice) -> np.ndarray:
        """Log posterior `(a, Q, S)` of q and scale of some annotators, all else integrated out; sums to 1 for each."""
        ratio, density = self.log_h - self._evidence[rows], self._density(rows)
        peaks = ratio.max(axis=2, keepdims=True), density.max(axis=1, keepdims=True)
        ratio = ratio + peaks[1]
        top = ratio.max(axis=2, keepdims=True)
        mixed = np.exp(density - peaks[1]) @ np.exp(ratio - top).transpose(0, 2, 1)
        found = self._likelihood[rows] + np.log(np.maximum(mixed, 1e-300)) + top.transpose(0, 2, 1)
        return found - logsumexp(found, axis=(1, 2), keepdims=True)

    def _occupied(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ends of the parts of all grids where the posterior is, a cell wider on each side."""

        def ends(log_weight: np.ndarray, old: np.ndarray) -> np.ndarray:
            inside = np.flatnonzero(log_weight >= log_weight.max() - _NATS)
            cells = np.array([max(inside[0] - 1, 0), min(inside[-1] + 2, len(log_weight))]) / len(log_weight)
            return old[0] + cells * (old[1] - old[0])

        scales, means, shares = self._ends
        by_mean = logsumexp(self.log_h.reshape(_SCALES, len(CONCENTRATIONS), _MEANS), axis=(0, 1))
        marginal = np.concatenate([logsumexp(self.log_weights(rows), axis=2) for rows in self._batches_of_weights()])
        return (
            ends(logsumexp(self.log_h, axis=1), scales),
            ends(by_mean, means),
            np.stack([ends(one, old) for one, old in zip(marginal, shares, strict=True)]),
        )

    def _batches_of_weights(self) -> list[slice]:
        return self._batches(_SHARES * max(len(self._hyper), _SCALES))

    def log_probabilities(self, margins: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log probabilities `(N,)` that the labels are wrong, and that they are right."""
        wrong, right = np.empty(len(margins)), np.empty(len(margins))
        scale = np.exp(self.log_scales)
        for rows in self._batches_of_weights():
            weights = self.log_weights(rows)
            inside = np.flatnonzero((codes >= rows.start) & (codes < rows.stop))
            for own in np.array_split(inside, len(inside) * _SHARES * _SCALES // _BATCH + 1):
                q = self.q[codes[own]]
                logit = np.log(q) - np.log1p(-q)
                x = margins[own, None, None] * scale + logit[:, :, None]
                weight = weights[codes[own] - rows.start]
                wrong[own] = logsumexp(weight + log_expit(-x), axis=(1, 2))
                right[own] = logsumexp(weight + log_expit(x), axis=(1, 2))
        return wrong, right

    def draw(self, draws: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws of the scale `(draws,)` and of all q `(draws, A)` from the joint posterior."""
        flat = np.exp(self.log_h).ravel()
        chosen = generator.choice(len(flat), size=draws, p=flat / flat.sum())
        s, k = np.divmod(chosen, len(self._hyper))
        q = np.empty((draws, self.count))
        for rows in self._batches(_SHARES * len(self._hyper)):
            density, uniform = self._density(rows), generator.random((draws, len(self.q[rows]), 1))
            for i in range(draws):
                log_weight = self._likelihood[rows][:, :, s[i]] + density[:, :, k[i]]
                cumulated = np.exp(log_weight - log_weight.max(axis=1, keepdims=True)).cumsum(axis=1)
                place = (cumulated < uniform[i] * cumulated[:, -1:]).sum(axis=1)
                q[i, rows] = self.q[rows][np.arange(len(place)), place]
        return np.exp(self.log_scales[s]), q
