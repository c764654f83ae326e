"""What one check found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..privacy import hide_private


OK, MISSING, IMPOSSIBLE, UNKNOWN = "ok", "missing", "not possible here", "not checked"


@dataclass(frozen=True)
class Finding:
    """
    What one check found.

    Args:
        name (`str`): What was looked at.
        state (`str`): `OK`; `MISSING`, which `fix` changes; `IMPOSSIBLE` on this machine; `UNKNOWN`: it could not be checked.
        detail (`str`): What is there, or what is used instead.
        fix (`str`, *optional*): The command that fixes it, or what to do.
        needed (`bool`, *optional*, defaults to `True`): Whether the feature does without it.
    """

    name: str
    state: str
    detail: str
    fix: str = ""
    needed: bool = True

    @property
    def passes(self) -> bool:
        """Whether the feature can work as far as this goes."""
        return self.state == OK or not self.needed


Check = Callable[[], Finding | Sequence[Finding] | None]


def run_checks(*checks: Check) -> list[Finding]:
    """
    Run checks one after another. One that fails says so as a finding.

    Args:
        checks (`Callable`): Each returns a finding, several, or `None`, where there is nothing to say.

    Returns:
        `list[Finding]`: Without private content.
    """
    found: list[Finding] = []
    for check in checks:
        try:
            result = check()
        except Exception as error:  # whatever is broken on a machine is what the doctor is for
            name = getattr(check, "__name__", "check").strip("_").replace("_", " ")
            fix = "trl-ext doctor --for packages" if isinstance(error, ModuleNotFoundError) else ""
            detail = f"could not be checked: {type(error).__name__}: {error}".splitlines()[0]
            result = Finding(name, MISSING, detail, fix)
        results = [] if result is None else [result] if isinstance(result, Finding) else list(result)
        found += [
            Finding(one.name, one.state, hide_private(one.detail), hide_private(one.fix), one.needed)
            for one in results
        ]
    return found
