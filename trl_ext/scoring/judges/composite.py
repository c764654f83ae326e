"""What judges that consist of other scorers have in common."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..base import WindowScorer
from ..groups import Group
from ..results import ScoredWindow
from .base import Judge


class CompositeJudge(WindowScorer):
    """
    A scorer made of judges.

    Args:
        judges (`Mapping[str, Judge]`):
            The judges by name.
    """

    window_size = Judge.window_size
    has_report = True

    def __init__(self, judges: Mapping[str, Judge]):
        for name, judge in judges.items():
            if not isinstance(judge, Judge):
                raise TypeError(f"judge {name!r} must be a Judge, got {type(judge).__name__}")
        self.judges = dict(judges)

    def score_windows(self, groups: Callable[[], Iterable[Group]], **kwargs: Any) -> Iterator[ScoredWindow]:
        """See [`Scorer.score_windows`]."""
        yield from super().score_windows(groups, **kwargs)
        for judge in self.judges.values():
            judge.finish()

    def prepare(self) -> None:
        """Make the stores ready."""
        for judge in self.judges.values():
            judge.prepare()

    def reset_report(self) -> None:
        """Forget the judgements of earlier calls."""
        for judge in self.judges.values():
            judge.reset_report()

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        return {
            "scorer": type(self).__name__,
            "judges": {name: judge.settings() for name, judge in self.judges.items()},
        }

    def provenance(self) -> dict[str, Any]:
        """See [`Scorer.provenance`]."""
        return {
            "model": " + ".join(dict.fromkeys(judge.backend.model_id for judge in self.judges.values())),
            "judges": {name: judge.provenance() for name, judge in self.judges.items()},
        }

    def report(self) -> dict[str, Any]:
        """See [`Scorer.report`]: that of every judge."""
        return {"judges": {name: judge.report() for name, judge in self.judges.items()}}
