"""The pages a newcomer follows, and what is in them: blocks of commands in order, and which of them are not run, and why."""

import re
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/guides/*.md")), *sorted(ROOT.glob("docs/migration/*.md"))]

# Why a block is not run. A comment in the page above the block says which: <!-- not run: needs a GPU -->
REASONS = {
    "needs a GPU",
    "needs the Hub",  # models, data or an account that are not on this machine
    "needs a server",  # a language model behind an OpenAI-compatible server
    "needs your data",
    "downloads packages",
    "trains for minutes",  # slow tests start it all the same, for one step
    "runs the tests",
}
# What is shown of the output of the block above, and how far a test compares it: <!-- printed: as it stands -->
PRINTED = {
    "as it stands",  # these lines, in this order, with any blanks; others may stand between them
    "with other figures",  # the same, with other numbers: of a larger model than that of the tests, which the page names
    "with other rows",  # which rows there are depends on the model; not compared
}
_COMMENT = re.compile(r"<!-- (?P<key>[a-z ]+): (?P<value>.+?) -->")
_FENCE = re.compile(r"```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """
    A fenced block: its language, its text, its line in the page, why it is not run (`None`: it is), and, for an output, how it is
    compared.
    """

    language: str
    code: str
    line: int
    reason: str | None
    printed: str | None = None

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python") and self.reason is None

    @property
    def trains(self) -> bool:
        return self.reason == "trains for minutes"


@dataclass(frozen=True)
class Page:
    """
    A page: its blocks in order, the runs of `tasks/train.py` that it starts from, whether it takes minutes, and whether it
    pushes to a hub.

    Comments in the page say so: `<!-- starts from: outputs/demo-beta -->`, `<!-- test: slow -->`, `<!-- hub: loopback -->`.
    """

    path: Path
    blocks: tuple[Block, ...]
    starts_from: tuple[str, ...]
    is_slow: bool
    needs_hub: bool

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


def read_page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    comments = [(match["key"], match["value"]) for match in _COMMENT.finditer(text)]
    if unknown := {key for key, _ in comments} - {"not run", "printed", "starts from", "test", "hub"}:
        raise ValueError(f"{path.name}: unknown comments {sorted(unknown)}")
    blocks = []
    for match in _FENCE.finditer(text):
        above = _COMMENT.fullmatch(text[: match.start()].rstrip().rpartition("\n")[2])
        said = {above["key"]: above["value"]} if above else {}
        line = text.count("\n", 0, match.start()) + 1
        blocks.append(Block(match["language"], match["code"], line, said.get("not run"), said.get("printed")))
    for key, found in (("not run", "reason"), ("printed", "printed")):
        if sum(other == key for other, _ in comments) != sum(getattr(block, found) is not None for block in blocks):
            raise ValueError(f"{path.name}: a comment {key!r} is not directly above a block")
    values = {key: [value for other, value in comments if other == key] for key, _ in comments}
    is_slow, needs_hub = values.get("test") == ["slow"], values.get("hub") == ["loopback"]
    return Page(path, tuple(blocks), tuple(values.get("starts from", ())), is_slow, needs_hub)


def placeholders(code: str) -> list[str]:
    """What a reader has to replace, or to fetch from elsewhere: such a block can't run as printed."""
    names = re.findall(r"<[^<>\n]+>|…|\b(?:MODEL|RM|RM1|RM2|RUN|PATH|NAME|ORG)\b", code)
    hub = re.findall(r"(?<![\w./])(?:Qwen|Skywork|meta-llama|allenai|google|stanfordnlp|me|org)/[\w.-]+", code)
    return names + hub


def missing_lines(block: Block, output: str) -> list[str]:
    """Lines of a block of output that a command did not print, in the order of the block."""
    rest = [_form(line, block.printed) for line in output.splitlines()]
    missing = []
    for line in filter(str.strip, block.code.splitlines()):
        if (form := _form(line, block.printed)) in rest:
            rest = rest[rest.index(form) + 1 :]
        else:
            missing.append(line)
    return missing


def _form(line: str, printed: str) -> str:
    if printed == "with other figures":
        line = re.sub(r"[-+−]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?\binf\b|\bnan\b", "#", line)
    return " ".join(line.split())
