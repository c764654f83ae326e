"""Sections of a model card from the evidence of a run: data, evaluation, calibration, audit, and how to repeat it."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..cards import Section, cell, code, interval, json_block, one_line, rows_table, table
from ..evaluation import Estimate, ModelResult
from ..privacy import map_text, without_folder
from ..scoring import read_calibration
from .card_limits import verdict
from .card_metadata import data_of_figure, figures_after
from .run_files import as_estimate, is_estimate
from .run_folder import RunEvidence


# Configuration keys that name a place of the training machine, or how it was used
_NOT_SHOWN = (
    "output_dir",
    "frozen_cache_dir",
    "cpu_threads",
    "num_proc",
    "hub_model_id",
    "hub_private",
    "push_to_hub",
)


_PAIRED = {"l": "detailed", "s": "concise"}
_MEANINGS = {
    "length_weight": "reward for a detailed answer over a concise one, W_length",
    "correctness_weight": "reward for a correct answer over a wrong one, W_correct",
    "ratio": "W_correct / W_length",
    "length_weight_per_sd": "W_length in standard deviations of reward",
    "correctness_weight_per_sd": "W_correct in standard deviations of reward",
    **{
        f"{right}c_over_{wrong}i": f"share of questions in which a {_PAIRED[right]} correct answer beats a {_PAIRED[wrong]} wrong one"
        for right in "ls"
        for wrong in "ls"
    },
}


def evidence_sections(evidence: RunEvidence, location: str) -> list[Section]:
    """
    What was measured, in the order of the card; a part that nobody measured is left out (the limits say so).

    Args:
        evidence ([`RunEvidence`]): What is known of the run.
        location (`str`): Where the model is loaded from.
    """
    sections = (data_section(evidence), evaluation_section(evidence), calibration_section(evidence, location))
    return [section for section in (*sections, audit_section(evidence)) if section is not None]


def data_section(evidence: RunEvidence) -> Section | None:
    """Which data the model was trained on: names and hashes, never paths."""
    provenance = _provenance(evidence)
    if not provenance:
        return None
    names, hashes = provenance.get("data_names") or {}, provenance.get("data_sha256") or {}
    length = (provenance.get("length") or {}).get("train") or {}
    health = evidence.data_health or {}
    rows = {
        "training data": _data_name(names.get("train")),
        "human pairs mixed in": _data_name(names.get("human")),
        "pairs": length.get("rows"),
        "dropped for length": length.get("dropped"),
        "shortened prompts": length.get("truncated"),
        "SHA-256 of the training texts": hashes.get("train"),
        "test data": _data_name(names.get("test")),
        "SHA-256 of the test texts": hashes.get("test"),
    }
    rows |= {
        "annotators": (health.get("annotators") or {}).get("count"),
        "distinct pairs": health.get("distinct_pairs"),
        "pairs of which either response was chosen by somebody": health.get("contradicted_pairs"),
    }
    longer = health.get("longer_chosen")
    share = (
        f"\nThe longer response was chosen in {interval(as_estimate(longer))} of the pairs.\n"
        if is_estimate(longer)
        else ""
    )
    return Section("Training data", rows_table(rows) + share)


def evaluation_section(evidence: RunEvidence) -> Section | None:
    """Figures after training and of benchmarks with their intervals."""
    parts = []
    after = figures_after(evidence)
    if after:
        rows = []
        for name, figure in after.items():
            before = evidence.figures.get(f"before_{name}")
            shown = interval(before) if isinstance(before, Estimate) else "–"
            data = _data_name(data_of_figure(evidence, name)) or "test pairs"
            rows.append((cell(name.replace("_", " ")), cell(data), shown, interval(figure), str(figure.n)))
        known = [f"{name.replace('_', ' ')}: {meaning}" for name, meaning in _MEANINGS.items() if name in after]
        if known:
            parts.append("; ".join(known) + ". W = 0 pays for neither; of shares, more is better and chance is 0.5.")
        methods = sorted({figure.method for figure in after.values()})
        parts.append(table(("figure", "data", "before training", "after training", "rows"), rows))
        parts.append("Intervals: " + "; ".join(map(one_line, methods)) + ".")
    parts += [_benchmark(result) for result in evidence.evaluations]
    return Section("Evaluation", "\n\n".join(parts)) if parts else None


def calibration_section(evidence: RunEvidence, location: str) -> Section | None:
    """How good probabilities are before and after the calibration, the plots, and how to apply it."""
    content = evidence.calibration
    if content is None:
        return None
    rows = []
    for key, title in (("ece", "ECE"), ("ece_if_calibrated", "ECE if calibrated"), ("brier", "Brier score"), ("log_loss", "log-loss")):  # fmt: skip
        cells = [content[side].get(key) for side in ("raw", "calibrated")]
        if any(map(is_estimate, cells)):
            rows.append((title, *(interval(as_estimate(one)) if is_estimate(one) else "–" for one in cells)))
    figures = table(("", "raw", "calibrated"), rows)
    change = content.get("ece_change")
    facts = {
        "method": content.get("method"),
        "fitted on": _pairs_of(content.get("fitted_on")),
        "measured on": _pairs_of(content.get("measured_on")),
    }
    about = [(name, cell(value)) for name, value in facts.items() if value is not None]
    about += _parameters(content.get("parameters"))
    if is_estimate(change):
        about.append(("change of the ECE", interval(as_estimate(change))))
    plots = [
        f"![Reliability diagram, {side} rewards](calibration/{side}.png)"
        for side in ("raw", "calibrated")
        if (evidence.folder / "calibration" / f"{side}.png").is_file()
    ]
    apply = (
        "```python\nfrom trl_ext.scoring import CalibratedScorer\n\n"
        f"scorer = CalibratedScorer.from_pretrained({_quoted(location)})\n"
        'scorer.preference_probability(["Is water wet?"], ["Yes."], ["No."])  # P(the first response is preferred)\n```'
    )
    if is_estimate(change) and verdict(as_estimate(change)) == "higher":
        apply = "It makes probabilities worse: don't apply it."
    elif not _is_stored(evidence.folder):
        apply = "It is not stored with the model, so that nothing applies it."
    return Section("Calibration", "\n\n".join([figures, table(("", ""), about), *plots, apply]))


def _is_stored(folder: Path) -> bool:
    """Whether the model in a folder brings a calibration of preferences; true if there is no model."""
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        return True
    try:
        return read_calibration(folder).preference is not None
    except ValueError:
        return False


def audit_section(evidence: RunEvidence) -> Section | None:
    """What the model pays for, and suspected errors in its training labels."""
    parts = [*_rate(evidence), *_probes(evidence), *_mislabels(evidence), *_mismatch(evidence)]
    return Section("Audit", "\n\n".join(parts)) if parts else None


def reproduce_section(evidence: RunEvidence, facts: Mapping[str, Any] | None) -> Section | None:
    """Command, configuration, seed, versions and hashes."""
    provenance = _provenance(evidence)
    if not provenance:
        versions = (facts or {}).get("versions")
        return None if not versions else Section("Reproduce", rows_table({"versions": _list(versions)}))
    command = provenance.get("command") or []
    command = command if isinstance(command, list) else shlex.split(str(command))
    command = [without_folder(str(word)) for word in command if not _names_a_place(str(word))]
    config = provenance.get("config") or {}
    config = map_text({key: value for key, value in config.items() if key not in _NOT_SHOWN}, without_folder)
    model = provenance.get("model") or {}
    hashes = model.get("sha256") or {}
    rows = {
        "seed": config.get("seed"),
        "base model": without_folder(str(model.get("name") or "")) or None,
        "commit of the base model": model.get("commit"),
        "SHA-256 of the base model": ", ".join(map(str, hashes.values())) or None,
        "precision": provenance.get("dtype"),
        "processes": provenance.get("processes"),
        "versions": _list(provenance.get("versions") or {}),
    }
    processes = provenance.get("processes")
    several = isinstance(processes, int) and processes > 1
    launch = f"accelerate launch --num_processes {processes} " if several else "python "
    shown = launch + shlex.join(command).replace("`", "'").replace("\n", " ")
    version = (provenance.get("versions") or {}).get("trl_ext")
    lead = (
        f"In a checkout of trl_ext{'' if version is None else ' ' + one_line(version)}, with its versions of the libraries. "
        "Local models and files are named by their last part alone; hashes say which they were."
    )
    folded = f"<details><summary>Configuration</summary>\n\n{json_block(config)}\n</details>"
    return Section("Reproduce", f"{lead}\n\n```bash\n{shown}\n```\n\n{rows_table(rows)}\n{folded}")


def _provenance(evidence: RunEvidence) -> dict[str, Any]:
    return (evidence.results or {}).get("provenance") or {}


def _names_a_place(word: str) -> bool:
    return word.split("=", 1)[0] in _NOT_SHOWN


def _list(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _data_name(data: Any) -> str | None:
    return without_folder(str(data["name"])) if isinstance(data, Mapping) and data.get("name") else None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "'") + '"'


def _pairs_of(data: Any) -> str | None:
    if not isinstance(data, Mapping):
        return None
    name = without_folder(str(data.get("data") or "pairs"))
    return f"{name}, {data['pairs']} pairs" if data.get("pairs") is not None else name


def _parameters(parameters: Any) -> list[tuple[str, str]]:
    """Rows of the parameters of a calibration: numbers, and estimates with their intervals."""
    if not isinstance(parameters, Mapping):
        return []
    shown = {
        name: interval(as_estimate(value)) if is_estimate(value) else cell(value)
        for name, value in parameters.items()
        if is_estimate(value) or isinstance(value, int | float | str)
    }
    return [(cell(name), value) for name, value in shown.items()]


def _benchmark(result: ModelResult) -> str:
    named = ({} if result.overall is None else {"overall": result.overall}) | result.sections
    rows = [(cell(name), interval(figure), str(figure.n)) for name, figure in named.items()]
    return f"### {one_line(result.benchmark)}\n\n{table(('figure', 'value', 'rows'), rows)}"


def _rate(evidence: RunEvidence) -> Iterator[str]:
    if evidence.rate is None:
        return
    lines = [*evidence.rate.sentences, *(f"Note: {note}" for note in evidence.rate.notes)]
    yield "### Causal effects of attributes (RATE)\n\n" + "\n".join(f"- {one_line(line)}" for line in lines)


def _probes(evidence: RunEvidence) -> Iterator[str]:
    for name, figures in evidence.probes.items():
        rows = [
            (cell(key.replace("_", " ")), interval(as_estimate(figure)), str(figure["n"]))
            for key, figure in figures.items()
            if is_estimate(figure)
        ]
        if rows:
            yield f"### {one_line(name)}\n\n{table(('figure', 'value', 'rows'), rows)}"


def _mislabels(evidence: RunEvidence) -> Iterator[str]:
    if evidence.mislabels is None:
        return
    pairs, figures = evidence.mislabels.pairs, evidence.mislabels.summary.get("figures") or {}
    rows = [("labels that were looked at", str(len(pairs)))]
    if "flagged" in pairs:
        rows.append(("labels that were flagged", str(int(pairs["flagged"].astype(bool).sum()))))
    rows += [
        (cell(name.replace("_", " ")), interval(as_estimate(value)))
        for name, value in figures.items()
        if is_estimate(value)
    ]
    notes = [f"- {one_line(note)}" for note in evidence.mislabels.summary.get("notes") or ()]
    yield "\n\n".join([f"### Suspected mislabels\n\n{table(('', ''), rows)}", *(["\n".join(notes)] if notes else [])])


def _mismatch(evidence: RunEvidence) -> Iterator[str]:
    for found in evidence.mismatch:
        rows = {}
        for when, pairs in found.tables.items():
            if len(pairs):
                rows[f"mean |mismatch degree|, {when}"] = (
                    f"{pairs['mismatch'].abs().mean():.3f}, {len(pairs)} pairs of models"
                )
        if rows:
            yield f"### Mismatch with ratings: {code(found.name)}\n\n{rows_table(rows)}"
