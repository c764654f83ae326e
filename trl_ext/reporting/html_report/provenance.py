"""How the evidence was made: commands, versions, hashes, seeds."""

import shlex
from collections.abc import Mapping
from typing import Any

from ...privacy import without_folders
from ..run_folder import RunEvidence
from .blocks import Table, Text


def provenance_blocks(run: RunEvidence) -> list[Any]:
    """A table of how each part was made, and the versions of the packages."""
    rows: list[tuple[str, ...]] = []
    trained = (run.results or {}).get("provenance") or {}
    if trained:
        model = trained.get("model") or {}
        rows += [
            ("training", "command", command_line(trained.get("command"))),
            ("training", "base model", str(model.get("name", "–"))),
        ]
        rows += [
            ("training", f"weights, {file}", f"sha256 {digest}")
            for file, digest in (model.get("sha256") or {}).items()
        ]
        if model.get("commit"):
            rows.append(("training", "commit", str(model["commit"])))
        rows += [
            ("training", f"data, {split}", f"sha256 {digest}")
            for split, digest in (trained.get("data_sha256") or {}).items()
        ]
        config = trained.get("config") or {}
        for name in ("seed", "data_seed", "learning_rate", "num_train_epochs"):
            if config.get(name) is not None:
                rows.append(("training", name.replace("_", " "), str(config[name])))
        rows += [
            ("training", name, str(trained[name])) for name in ("dtype", "attention", "processes") if name in trained
        ]
    trip = (run.results or {}).get("round_trip")
    if trip:
        rows.append(
            (
                "training",
                "reloaded and compared",
                f"largest difference of {trip['rows']} rewards {float(trip['max_difference']):.1e}",
            )
        )
    for part, record in _records(run):
        if record.get("command"):
            rows.append((part, "command", command_line(record["command"])))
        rows += [(part, f"data, {name}", f"sha256 {digest}") for name, digest in _hashes(record)]
        if isinstance(record.get("seed"), int):
            rows.append((part, "seed", str(record["seed"])))
    blocks: list[Any] = []
    if rows:
        blocks.append(Table(("part", "what", "value"), tuple(rows), (False, False, False), "How each part was made"))
    versions = trained.get("versions") or {}
    if versions:
        blocks.append(
            Text("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", "note")
        )
    return blocks or [Text("Nothing says how this was made.")]


def _records(run: RunEvidence) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    if run.calibration is not None:
        found.append(("calibration", run.calibration.get("provenance") or {}))
    if run.mislabels is not None:
        found.append(("mislabels", run.mislabels.summary.get("provenance") or {}))
    found += [(f"benchmark {result.benchmark}", result.record | {"data_sha256": {"rows": result.data_hash}} if result.data_hash else result.record)
              for result in run.evaluations]  # fmt: skip
    if run.rate is not None:
        found.append(("RATE", run.rate.provenance))
    found += [(f"mismatch, {evidence.name}", evidence.provenance) for evidence in run.mismatch]
    if run.monitoring is not None:
        found.append(("monitoring", run.monitoring.summary.get("provenance") or {}))
    return [(part, record) for part, record in found if isinstance(record, Mapping)]


def _hashes(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for key in ("data_sha256", "rewards_sha256", "labels_sha256", "files_sha256", "hashes"):
        content = record.get(key)
        if isinstance(content, Mapping):
            found += [(str(name), str(digest)) for name, digest in content.items() if isinstance(digest, str)]
        elif isinstance(content, str):
            found.append((key.removesuffix("_sha256"), content))
    return found


def command_line(command: Any) -> str:
    """A recorded command as one line, without the folders of the machine it ran on."""
    line = shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command or "–")
    return without_folders(line)
