"""The quality of rewrites as text for the command line."""

from typing import TYPE_CHECKING

from ...evaluation.statistics import Estimate


if TYPE_CHECKING:
    from .rewrite_quality import RewriteQuality


def quality_text(quality: "RewriteQuality") -> str:
    """
    Verdict, what was left out, compliance and drift, as lines.

    Args:
        quality ([`RewriteQuality`]): The quality.

    Returns:
        `str`: Text without a line break at its end.
    """
    kept = int(quality.keep.sum())
    lines = [
        f"Rewrites of {quality.attribute}: {quality.verdict.upper()}",
        *(f"  - {note}" for note in quality.notes),
        f"Rows kept: {kept} of {len(quality)}",
        *_exclusions(quality),
        *_faults(quality),
    ]
    if quality.steps > 1:
        lines.append(f"Rewritten rewrites that are the original again: {quality.identical_to_original} of {kept}")
    return "\n".join([*lines, *_compliance(quality), *_drift(quality)])


def _exclusions(quality: "RewriteQuality") -> list[str]:
    return [
        f"  {reason:<14} {part.rows:>6} rows ({part.w_1} with the attribute, {part.w_0} without)"
        + (f", {part.all_rows} with other reasons too" if part.all_rows > part.rows else "")
        for reason, part in quality.exclusions.items()
    ]


def _faults(quality: "RewriteQuality") -> list[str]:
    counts = (
        (step, ", ".join(f"{count} {fault}" for fault, count in sorted(part.items())))
        for step, part in quality.faults.items()
    )
    return [f"Faults, {step}: {text or 'none'}" for step, text in counts]


def _compliance(quality: "RewriteQuality") -> list[str]:
    if not quality.compliance:
        return ["Compliance: not measured"]
    lines = ["Compliance (texts with the value they should have):"]
    for part in quality.compliance:
        side = {None: "both", True: "with", False: "without"}[part.target]
        unknown = f", {part.unknown} unknown" if part.unknown else ""
        lines.append(f"  {part.step:<18} {side:<8} {_share(part.share):<23} {part.complied} of {part.known}{unknown}")
    return lines


def _drift(quality: "RewriteQuality") -> list[str]:
    if not quality.drift or quality.steps < 2:
        return ["Off-target drift: not measured"]
    lines = [
        "Drift in standard deviations (! flagged, * meant to change):",
        f"  {'feature':<20} {'ATE':>8} {'ATT':>8} {'ATU':>8} {'repetition':>11} {'into':>8} {'out of':>8}",
    ]
    still = []
    for part in quality.drift:
        numbers = [part.standardised(name) for name in _SHOWN]
        if not any(numbers):  # nan is true
            still.append(part.feature)
            continue
        mark = "*" if part.on_target else "!" if part.flags else " "
        shown = [f"{number:+.2f}" if number == number else "-" for number in numbers]
        lines.append(
            f"{mark} {part.feature:<20} " + " ".join(f"{t:>{w}}" for t, w in zip(shown, _WIDTHS, strict=True))
        )
    return [*lines, f"  no change at all: {', '.join(still)}"] if still else lines


_SHOWN = ("asymmetry", "asymmetry_w_1", "asymmetry_w_0", "repetition", "to_1", "to_0")
_WIDTHS = (8, 8, 8, 11, 8, 8)


def _share(share: Estimate | None) -> str:
    if share is None:
        return "-"
    interval = "" if share.ci_low != share.ci_low else f" [{share.ci_low:.1%}, {share.ci_high:.1%}]"  # nan: one row
    return f"{share.value:.1%}{interval}"
