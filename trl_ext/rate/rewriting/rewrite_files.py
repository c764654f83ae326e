"""The file of chains of rewrites, and the record beside it of how they were made."""

import hashlib
import importlib.metadata
import json
import platform
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...atomic_files import write_text_atomically
from ...json_lines import as_lines
from ...privacy import hide_private
from ..attributes.attribute import Attribute
from ..chains.steps import step_names
from ..chains.text_chains import TextChains
from .rewriter import Rewriter, RewriteRequest


_COUNTS = ("stripped", "replaced")  # what a ChatRewriter changed in answers


def record_path(path: str | Path) -> Path:
    """The record beside a file of chains."""
    path = Path(path)
    return path.with_name(f"{path.stem}.meta.json")


class RewriteFile:
    """
    The JSONL file of chains that one attribute, one rewriter and one list of originals lead to.

    The record is written first: it has the hash of the file that is about to be written, and of the one before. So a kill
    between the two is told from a file that was changed.

    Args:
        path (`str` or `Path`): The file.
        chains ([`TextChains`]): The originals, perhaps with rewrites that are there already.
        attribute ([`Attribute`]): What is changed.
        rewriter ([`Rewriter`]): What rewrites.
    """

    def __init__(self, path: str | Path, chains: TextChains, attribute: Attribute, rewriter: Rewriter):
        self.path = Path(path)
        self.record_path = record_path(path)
        self.chains = chains
        self.rewriter = rewriter
        self.settings = json.loads(
            json.dumps(
                hide_private(
                    {
                        "attribute": attribute.name,
                        "treated": attribute.treated,
                        "untreated": attribute.untreated,
                        "instruction_sha256": _hash(attribute.instruction),
                        "rewriter": rewriter.settings(),
                        "originals_sha256": _hash(as_lines(chains.cut(0).rows())),
                    }
                )
            )
        )
        self._before: dict[str, Any] | None = None

    def read(self, *, overwrite: bool = False) -> TextChains | None:
        """
        The chains that are there; `None` if there are none, or others that are to be replaced.

        Raises:
            ValueError: They were made with other settings or changed since.
        """
        record = self._record()
        if not self.path.exists():
            return None
        if record is None:
            if overwrite:
                return None
            raise ValueError(
                f"{self.path} exists, but not the record {self.record_path.name} of how it was made. Give another path, or "
                "replace the file with overwrite=True."
            )
        differences = [
            f"{name} was {record['settings'].get(name)!r} and is {self.settings.get(name)!r}"
            for name in sorted(self.settings.keys() | record["settings"].keys())
            if record["settings"].get(name) != self.settings.get(name)
        ]
        found = hashlib.sha256(self.path.read_bytes()).hexdigest()
        version = next((v for v in (record["file"], record["before"]) if v and v["sha256"] == found), None)
        if version is None and not overwrite:
            raise ValueError(
                f"{self.path} was changed after it was written (its SHA-256 is not that of {self.record_path.name}). Restore "
                "it, give another path, or replace it with overwrite=True."
            )
        if differences and not overwrite:
            raise ValueError(
                f"{self.path} was made with other settings: {'; '.join(differences)}. Give another path, or replace the "
                "file with overwrite=True."
            )
        if differences or version is None:
            return None
        known = TextChains.read(self.path)
        common = min(known.steps, self.chains.steps)
        if common and known.cut(common).rows() != self.chains.cut(common).rows():
            raise ValueError(
                f"{self.path} has other rewrites than those that are given: give the originals alone, or another path"
            )
        self._before = version
        return known

    def write(self, chains: TextChains) -> None:
        """Write chains and the record of how they were made."""
        content = as_lines(chains.rows())
        version = {"steps": chains.steps, "sha256": _hash(content)}
        record = {
            "settings": self.settings,
            "rows": len(chains),
            "complete_rows": int(chains.complete.sum()),
            "steps": count_steps(chains),
            "ledger": self._ledger(chains),
            "this_run": {name: getattr(self.rewriter, name) for name in _COUNTS if hasattr(self.rewriter, name)},
            "file": version,
            "before": self._before,
            "versions": _versions(),
        }
        write_text_atomically(self.record_path, json.dumps(hide_private(record), indent=2, ensure_ascii=False) + "\n")
        write_text_atomically(self.path, content)
        self._before = version

    def _ledger(self, chains: TextChains) -> dict[str, Any] | None:
        if not hasattr(self.rewriter, "ledger_of"):
            return None
        return self.rewriter.ledger_of(past_requests(chains)).to_dict()

    def _record(self) -> dict[str, Any] | None:
        if not self.record_path.is_file():
            return None
        try:
            record = json.loads(self.record_path.read_text(encoding="utf-8"))
        except ValueError:
            record = None
        if not isinstance(record, Mapping) or not {"settings", "file", "before"} <= set(record):
            raise ValueError(
                f"{self.record_path} is no record of rewrites: remove it and {self.path.name}, or give another path"
            )
        return dict(record)


def past_requests(chains: TextChains) -> list[RewriteRequest]:
    """What was asked for the rewrites that chains have, or that failed."""
    return [
        RewriteRequest(chains.ids[row], chains.prompts[row], text, bool(chains.w[row] ^ (step % 2)), step)
        for step in range(1, chains.steps + 1)
        for row, text in enumerate(chains.of(step - 1))
        if text is not None
    ]


def count_steps(chains: TextChains) -> dict[str, dict[str, Any]]:
    """
    Rewrites and failures of every step, by reason.

    Args:
        chains ([`TextChains`]): Chains with K rewrites.

    Returns:
        `dict[str, dict]`: For each of the K steps, by its name, `texts`, `failures` and `finish_reasons`.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import TextChains
        >>> from trl_ext.rate.rewriting.rewrite_files import count_steps
        >>> chains = TextChains("length", ("a",), ("Hi",), np.array([True]), (("Hello.", None),), (("empty",),))
        >>> count_steps(chains)
        {'rewrite': {'texts': 0, 'failures': {'empty': 1}, 'finish_reasons': {}}}

        ```
    """
    counts = {}
    for k, name in enumerate(step_names(chains.steps + 1)[1:]):
        counts[name] = {
            "texts": sum(text is not None for text in chains.of(k + 1)),
            "failures": dict(Counter(row[k] for row in chains.failures if row[k] is not None)),
            "finish_reasons": dict(Counter(row[k] for row in chains.finish_reasons if row[k] is not None)),
        }
    return counts


def _versions() -> dict[str, str]:
    packages = ["trl_ext", *(name for name in ("openai", "torch", "transformers") if name in sys.modules)]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
