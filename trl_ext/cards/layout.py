"""The layout that every model card shares, and the sections that follow from what a trainer knows of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCardData

from ..privacy import hide_private
from ..version import __version__
from .generated import sign
from .text import cell, code, one_line, rows_table, table


TRL_CITATION = """\
@software{vonwerra2020trl,
    title = {{TRL: Transformers Reinforcement Learning}},
    author = {von Werra, Leandro and Belkada, Younes and Tunstall, Lewis and Beeching, Edward and Thrush, Tristan and Lambert, Nathan and Huang, Shengyi and Rasul, Kashif and Gallouédec, Quentin},
    license = {Apache-2.0},
    url = {https://github.com/huggingface/trl},
    year = {2020}
}"""

_OURS = {"SourceOffsetLoss", "WinRateMatchingLoss", "WithinSourceAnchorLoss"}
_MEANING = (
    "It maps a prompt with a response, laid out as in training, to a reward; only differences between responses to the "
    "same prompt mean something."
)


@dataclass(frozen=True)
class Section:
    """
    A section of a card.

    Args:
        title (`str`): Its heading.
        body (`str`): Markdown.
    """

    title: str
    body: str


def render_card(data: ModelCardData, introduction: str, usage: str, sections: Sequence[Section] = ()) -> str:
    """
    A model card, marked as generated.

    Args:
        data ([`~huggingface_hub.ModelCardData`]): Its metadata; `model_name` is the title.
        introduction (`str`): A sentence on where the model comes from.
        usage (`str`): Code that loads the model.
        sections (`Sequence[Section]`, *optional*): What else is known.

    Returns:
        `str`: `README.md`, without the home directory and without credentials.
    """
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# {one_line(data.model_name)}\n\n{introduction}\n{_MEANING}",
        f"## Use\n\n```python\n{usage}\n```",
        *(f"## {section.title}\n\n{section.body.strip()}" for section in sections),
    ]
    return sign(hide_private("\n\n".join(parts) + "\n"), __version__)


def facts_sections(facts: Mapping[str, Any]) -> list[Section]:
    """
    Sections of what a trainer knows: training, losses, and what is special about its method.

    Args:
        facts (`Mapping[str, Any]`): `training_facts.json`, see [`~trl_ext.trainer.model_card.training_facts`].
    """
    losses = table(
        ("loss", "settings"),
        (
            (
                code(loss["name"]),
                ", ".join(f"{name} = {cell(value)}" for name, value in loss["settings"].items()) or "–",
            )
            for loss in facts["losses"]
        ),
    )
    return [
        Section("Training", f"{rows_table(facts['training'])}\n{losses}"),
        *(Section(title, rows_table(rows)) for title, rows in facts["tables"].items()),
    ]


def citation_section(facts: Mapping[str, Any] | None) -> list[Section]:
    """BibTeX of the losses and of TRL; nothing where the losses are not known."""
    if not facts:
        return []
    cited = [*(loss["citation"] for loss in facts["losses"] if loss["citation"]), *(facts.get("citations") or ())]
    # a loss may cite several works, and two losses the same one
    entries = dict.fromkeys(entry for text in cited for entry in text.split("\n\n"))
    paper = facts.get("paper") or {}
    lead = f"Method: [{one_line(paper['title'])}]({paper['url']})\n\n" if paper else ""
    ours = sorted({loss["name"] for loss in facts["losses"]} & _OURS)
    if ours:
        lead += f"{', '.join(map(code, ours))}: of trl_ext; cited is the work that it builds on.\n\n"
    return [Section("Citation", lead + "```bibtex\n" + "\n\n".join([*entries, TRL_CITATION]) + "\n```")]
