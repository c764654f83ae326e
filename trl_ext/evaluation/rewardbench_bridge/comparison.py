"""Rewards of ours against those of the genuine rewardbench, row by row."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from .environment import RewardBenchEnvironment
from .export import export_legacy_copy
from .genuine import GenuineResult, GenuineSettings, run_genuine
from .inputs import BridgeRow, read_bridge_rows


# Largest relative difference that is rounding: float32 sums in another order; in formats of 8 and 11 bits the rewards
# of a two-layer model with large weights differ by a tenth from batch to batch
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.2, "float16": 0.03}


@dataclass(frozen=True)
class GenuineComparison:
    """
    How far our rewards are from those of the genuine rewardbench.

    Differences are relative to the reward, or to the median absolute reward where that is larger: a reward near 0 has no
    relative accuracy. A row is decided for the right responses if the lowest of their rewards is above the highest of
    the others, so that a tie is lost. A row whose margin is within the tolerance is undecided: batching alone turns it.

    Args:
        rows, responses (`int`): What was compared.
        max_relative_difference (`float`): Largest relative difference of rewards.
        max_absolute_difference (`float`): Largest difference of rewards.
        worst_row (`str`): Its row's id.
        tolerance (`float`): Largest relative difference that is rounding.
        different_decisions (`tuple[str, ...]`): Ids of rows that the two decide differently.
        undecided (`tuple[str, ...]`): Ids of rows whose margin is within the tolerance in either.
        accuracy_genuine, accuracy_ours (`float`): Share of rows decided for the right responses.
        genuine_figures (`dict[str, float]`): Figures as the genuine program reports them.
        genuine_sections (`dict[str, float]`): Sections of the core set as it reports them.
    """

    rows: int
    responses: int
    max_relative_difference: float
    max_absolute_difference: float
    worst_row: str
    tolerance: float
    different_decisions: tuple[str, ...]
    undecided: tuple[str, ...]
    accuracy_genuine: float
    accuracy_ours: float
    genuine_figures: dict[str, float]
    genuine_sections: dict[str, float]

    @property
    def agrees(self) -> bool:
        """Whether rewards differ by rounding only, and no decision beyond it."""
        return self.max_relative_difference <= self.tolerance and not set(self.different_decisions) - set(
            self.undecided
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {"agrees": self.agrees, **asdict(self)}

    def report(self) -> str:
        """A few lines for people."""
        decided = set(self.different_decisions) - set(self.undecided)
        lines = [
            f"{self.rows} rows, {self.responses} responses",
            f"largest difference of rewards: {self.max_relative_difference:.2g} relative (rounding is up to "
            f"{self.tolerance:g}), {self.max_absolute_difference:.3g} absolute, in row {self.worst_row}",
            f"rows decided differently: {len(decided)}, and {len(self.different_decisions) - len(decided)} of "
            f"{len(self.undecided)} within rounding of a tie",
            f"accuracy: {self.accuracy_genuine:.4f} genuine, {self.accuracy_ours:.4f} ours",
        ]
        for name, value in (self.genuine_figures | self.genuine_sections).items():
            lines.append(f"  {name}: {value:.4f} (genuine)")
        if self.agrees:
            lines.append("The two agree.")
        else:
            lines.append(
                "THE TWO DIFFER. One of them does not compute what the model is: look for settings that one ignores (rotary "
                "embedding, attention, chat template, truncation, precision), and trust neither until it is found."
            )
        return "\n".join(lines)


def compare_rewards(
    rows: Sequence[BridgeRow],
    genuine: GenuineResult,
    ours: Sequence[np.ndarray],
    tolerance: float = TOLERANCES["float32"],
) -> GenuineComparison:
    """
    Compare rewards of the same responses.

    Args:
        rows (`Sequence[BridgeRow]`):
            Rows.
        genuine ([`GenuineResult`]):
            What the genuine program gave for them.
        ours (`Sequence[np.ndarray]`):
            For each row our rewards of its responses.
        tolerance (`float`, *optional*, defaults to `1e-4`):
            Largest relative difference that is rounding.

    Returns:
        [`GenuineComparison`]

    Raises:
        ValueError: Rewards are missing, too many, or not finite; the row is named.
    """
    for name, rewards in (("genuine", genuine.rewards), ("our", ours)):
        if len(rewards) != len(rows):
            raise ValueError(f"there are {len(rows)} rows, but {name} rewards of {len(rewards)}")
        for row, values in zip(rows, rewards, strict=True):
            if np.shape(values) != (len(row.responses),) or not np.isfinite(values).all():
                raise ValueError(
                    f"row {row.id!r}: {name} rewards must be {len(row.responses)} finite numbers, got {values}"
                )
    theirs = np.concatenate(genuine.rewards).astype(np.float64)
    mine = np.concatenate(ours).astype(np.float64)
    absolute = np.abs(mine - theirs)
    typical = float(np.median(np.abs(theirs)))
    scale = np.maximum(np.abs(theirs), typical)
    relative = np.divide(absolute, scale, out=np.where(absolute > 0, np.inf, 0.0), where=scale > 0)
    ids = np.repeat([row.id for row in rows], [len(row.responses) for row in rows])

    margins = [_margins(rows, rewards) for rewards in (genuine.rewards, ours)]
    largest = np.array([max(np.abs(values).max(), typical) for values in genuine.rewards])
    undecided = np.any([np.abs(margin) <= 2 * tolerance * largest for margin in margins], axis=0)
    right = [margin > 0 for margin in margins]
    return GenuineComparison(
        rows=len(rows),
        responses=len(theirs),
        max_relative_difference=float(relative.max()),
        max_absolute_difference=float(absolute.max()),
        worst_row=str(ids[relative.argmax()]),
        tolerance=tolerance,
        different_decisions=_ids(rows, right[0] != right[1]),
        undecided=_ids(rows, undecided),
        accuracy_genuine=float(right[0].mean()),
        accuracy_ours=float(right[1].mean()),
        genuine_figures=genuine.figures,
        genuine_sections=genuine.sections,
    )


def _margins(rows: Sequence[BridgeRow], rewards: Sequence[np.ndarray]) -> np.ndarray:
    """Lowest reward of a right response minus highest of a wrong one, (rows,)."""
    pairs = zip(rows, rewards, strict=True)
    return np.array(
        [np.min(values[: row.num_correct]) - np.max(values[row.num_correct :]) for row, values in pairs],
        dtype=np.float64,
    )


def _ids(rows: Sequence[BridgeRow], mask: np.ndarray) -> tuple[str, ...]:
    return tuple(row.id for row, is_in in zip(rows, mask, strict=True) if is_in)


def compare_with_genuine(
    model: str,
    dataset: Any,
    environment: RewardBenchEnvironment,
    settings: GenuineSettings | None = None,
    *,
    reference: str | None = None,
    adapter: str | None = None,
    revision: str | None = None,
    folder: str | Path | None = None,
    device: str = "cpu",
    timeout: float | None = None,
    tolerance: float | None = None,
) -> tuple[GenuineComparison, GenuineResult]:
    """
    Score rows with the genuine rewardbench and with ours, and compare.

    The genuine program reads a copy of the model ([`export_legacy_copy`]); ours reads the model itself, so that what a
    copy or the old transformers gets wrong shows.

    Args:
        model (`str`):
            Hub id or path of a reward model, of a causal language model for DPO, or of an adapter.
        dataset (`str` or `Path` or [`~datasets.Dataset`] or `Iterable[dict]`):
            Rows as in [`read_bridge_rows`].
        environment ([`RewardBenchEnvironment`]):
            Environment with rewardbench.
        settings ([`GenuineSettings`], *optional*):
            Program and options.
        reference (`str`, *optional*):
            Reference model of DPO.
        adapter, revision (`str`, *optional*):
            PEFT adapter on the model, and revision of the model.
        folder (`str` or `Path`, *optional*):
            Folder to make, where the copy, the inputs, the outputs and the log stay. By default a temporary one.
        device (`str`, *optional*, defaults to `"cpu"`):
            `"cpu"` or `"cuda"`, for both.
        timeout (`float`, *optional*):
            Seconds after which the genuine program is ended.
        tolerance (`float`, *optional*):
            Largest relative difference that is rounding. By default that of the precision.

    Returns:
        `tuple[GenuineComparison, GenuineResult]`
    """
    settings = GenuineSettings() if settings is None else settings
    rows = read_bridge_rows(dataset)
    settings.arguments(reference is not None)  # refuses what does not fit together before anything is computed
    environment.versions()
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="rewardbench-") as temporary:
            return compare_with_genuine(
                model,
                rows,
                environment,
                settings,
                reference=reference,
                adapter=adapter,
                revision=revision,
                folder=Path(temporary, "run"),
                device=device,
                timeout=timeout,
                tolerance=tolerance,
            )
    folder = Path(folder)
    is_dpo = reference is not None or settings.program == "run_dpo"
    copied = export_legacy_copy(
        model, folder / "copy", kind="language" if is_dpo else "reward", adapter=adapter, revision=revision
    )
    copied_reference = None
    if reference is not None:
        copied_reference = export_legacy_copy(reference, folder / "reference_copy", kind="language")
    genuine = run_genuine(
        copied,
        rows,
        folder / "genuine",
        environment,
        settings,
        reference=copied_reference,
        device=device,
        timeout=timeout,
    )
    scorer = _our_scorer(model, reference, copied, settings, adapter=adapter, revision=revision, device=device)
    ours = scorer.score([row.prompt for row in rows], [row.responses for row in rows])
    if tolerance is None:
        tolerance = TOLERANCES[settings.dtype]
    return compare_rewards(rows, genuine, ours, tolerance), genuine


def _our_scorer(model: str, reference: str | None, copied: Path, settings: GenuineSettings, **loading: Any) -> Any:
    # The copy's tokenizer: rewardbench adds an EOS token where a tokenizer of class Llama has no chat template
    tokenizer = PreTrainedTokenizerFast.from_pretrained(copied)
    common = {"dtype": settings.dtype, "attn_implementation": settings.attn_implementation, **loading}
    if reference is not None or settings.program == "run_dpo":
        from ...scoring import DPOImplicitRewardScorer

        return DPOImplicitRewardScorer(
            model,
            reference,
            tokenizer,
            reference_free=settings.ref_free_type,
            encoding="rewardbench",
            chat_template=settings.chat_template,
            **common,
        )
    from ...scoring import RewardScorer

    max_length = settings.max_length
    if max_length is None and settings.program in ("run_rm", "run_v2"):
        max_length = 2048
    # run_v2 leaves the side of truncation as tokenizers have it
    policy = "truncate_right" if settings.program == "run_v2" else "truncate_left"
    return RewardScorer(
        model,
        tokenizer,
        encoding="rewardbench",
        chat_template=settings.chat_template,
        max_length=max_length,
        max_length_policy=policy,
        require_trained_head=True,
        **common,
    )
