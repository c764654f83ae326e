"""What the known annotator reliability metrics (ARMs) measure, in which unit, and in which direction."""

import logging
from dataclasses import dataclass


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arm:
    """
    A column that may say how far to believe an annotator.

    Args:
        family (`str`):
            Dataset family the column belongs to: `"LIE"`, `"TRUE"`, `"scale_LIE"`, `"scale_TRUE"`, or `"LLM"` for scores
            that a language model wrote.
        column (`str`):
            Name of the column.
        definition (`str`):
            What was measured, in words. Two columns of the same name with different definitions are different metrics.
        unit (`str`):
            Unit of the column, or of the raw values behind a normalised one.
        high_is_reliable (`bool`):
            Direction: whether a high value **of this column** speaks for the annotator. Taken from how the metric is
            meant; that it does so in the data is for the calibrator to show.
        raw_column (`str` or `None`, *optional*):
            Column it is normalised from.
        normalization (`str` or `None`, *optional*):
            Kind of normaliser (a key of [`~trl_ext.reliability.normalizers.NORMALIZERS`]) between the two.
    """

    family: str
    column: str
    definition: str
    unit: str
    high_is_reliable: bool
    raw_column: str | None = None
    normalization: str | None = None

    @property
    def key(self) -> str:
        """`"family/column"`, under which it is registered and recorded."""
        return f"{self.family}/{self.column}"


DIFFICULTY_CRITERIA = (
    "knowledge_requirements",
    "cognitive_demand",
    "bias_and_social_pressure",
    "response_clarity",
    "meaningful_differences",
    "value_conflicts",
    "overall_difficulty",
)

_LIE_TIME = "time from the first to the last click on the page; 0 after a single click"
_TRUE_TIME = "time from the first click on the page to its submission; never 0"
_SCALE_TIME = "time spent on the item, as shipped (start and end are not documented)"
_CLICKS = "number of clicks on the page"
_SURENESS = "distance of the answer from the middle of the 8-point scale (1 to 4 one response, 5 to 8 the other), of 3"
_SCALE_SURENESS = "sureness of an answer aggregated over three annotators, in steps of 1/7, 3/7, 5/7 and 1"


def _survey_arms(family: str, time: str) -> list[Arm]:
    return [
        Arm(family, "confidence_scores", _SURENESS, "1", True),
        Arm(family, "raw_decision_time", time, "s", False),
        Arm(family, "decision_time", time, "s", True, "raw_decision_time", "log_min_max"),
        Arm(family, "raw_number_of_clicks", _CLICKS, "clicks", False),
        Arm(family, "number_of_clicks", _CLICKS, "clicks", True, "raw_number_of_clicks", "log_min_max"),
    ]


def _scale_arms(family: str) -> list[Arm]:
    return [
        Arm(family, "confidence_scores", _SCALE_SURENESS, "1", True),
        Arm(family, "raw_decision_time", _SCALE_TIME, "s", False),
        # not inverted in the original: opposite to the columns of the same name in LIE and TRUE
        Arm(family, "decision_time", _SCALE_TIME, "s", False, "raw_decision_time", "min_max"),
    ]


ARMS = {
    arm.key: arm
    for arm in (
        *_survey_arms("LIE", _LIE_TIME),
        *_survey_arms("TRUE", _TRUE_TIME),
        *_scale_arms("scale_LIE"),
        *_scale_arms("scale_TRUE"),
        *(Arm("LLM", name, f"{name} of a pair, by a language model", "1 to 5", False) for name in DIFFICULTY_CRITERIA),
    )
}


def get_arm(key: str) -> Arm:
    """
    A registered metric.

    Args:
        key (`str`):
            `"family/column"`.

    Returns:
        [`Arm`]

    Raises:
        ValueError: no metric is registered under this key; the known ones are listed.

    Example:
        ```python
        >>> get_arm("LIE/decision_time").high_is_reliable, get_arm("scale_LIE/decision_time").high_is_reliable
        (True, False)
        ```
    """
    if key not in ARMS:
        raise ValueError(f"no reliability metric {key!r}; known are {', '.join(sorted(ARMS))}")
    return ARMS[key]


def check_same_definition(fitted_on: Arm, applied_to: Arm, *, allow_definition_mismatch: bool = False) -> None:
    """
    Refuses to apply what was fitted on one metric to another: another definition, normalisation or direction.

    The decision times of LIE and TRUE share a name and nothing else; the released `TRUE_calibrated_decision_time` of LIE
    comes from a calibrator of the one applied to the other.

    Args:
        fitted_on ([`Arm`]):
            Metric the calibrator was fitted on.
        applied_to ([`Arm`]):
            Metric it is about to be applied to.
        allow_definition_mismatch (`bool`, *optional*, defaults to `False`):
            Log a warning instead: the caller knows.

    Raises:
        ValueError: they differ.
    """
    differences = [
        f"{field} {getattr(fitted_on, field)!r} against {getattr(applied_to, field)!r}"
        for field in ("definition", "normalization", "high_is_reliable", "unit")
        if getattr(fitted_on, field) != getattr(applied_to, field)
    ]
    if not differences:
        return
    message = f"fitted on {fitted_on.key}, applied to {applied_to.key}: {'; '.join(differences)}"
    if not allow_definition_mismatch:
        raise ValueError(f"{message}. Pass allow_definition_mismatch=True if this is what you want.")
    logger.warning("%s", message)
