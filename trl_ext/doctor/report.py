"""Findings for people and for programs."""

import json

from ..version import __version__
from .examination import FEATURES, works
from .finding import MISSING, OK, Finding


def as_text(found: dict[str, list[Finding]]) -> str:
    """A table, with the fix below what is missing."""
    every = [finding for findings in found.values() for finding in findings]
    states = max((len(one.state) for one in every), default=0)
    names = max((len(one.name) for one in every), default=0)
    lines = [f"trl_ext {__version__}"]
    for name, findings in found.items():
        feature = FEATURES[name]
        lines += ["", f"{name}: {feature.title}" + (" (required)" if feature.required else "")]
        for one in findings:
            lines.append(f"  {one.state:<{states}}  {one.name:<{names}}  {one.detail}".rstrip())
            if one.fix and one.state != OK:
                lines.append(f"  {'':<{states}}  {'':<{names}}  fix: {one.fix}")
    broken = [name for name, findings in found.items() if not all(one.passes for one in findings)]
    required = [name for name in broken if FEATURES[name].required]
    optional = [one.name for one in every if one.state == MISSING and one.passes]
    ready = (
        f"What is needed is ready. Not needed, and missing: {', '.join(optional)}."
        if optional
        else "Everything is ready."
    )
    lines += ["", f"Not ready: {', '.join(broken)}." if broken else ready]
    if broken and not required and any(FEATURES[name].required for name in found):
        lines[-1] += " What is required works."
    return "\n".join(lines)


def as_json(found: dict[str, list[Finding]]) -> str:
    """All findings: `ok` of what is required, and by feature whether it `works`, and its `findings`."""
    features = {
        name: {
            "required": FEATURES[name].required,
            "works": all(one.passes for one in findings),
            "findings": [vars(one) for one in findings],
        }
        for name, findings in found.items()
    }
    return json.dumps({"version": __version__, "ok": works(found, required_only=True), "features": features}, indent=2)
