"""Trackers beside the Sacred record: the same names, steps and numbers, and nothing private that we tell them."""

import importlib.util
import json
import re
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.train_config import TRACKERS, ConfigError, check_trackers
from tests.tasks.secret_run import Home


RUN = ("merge_adapter=False", "eval_strategy=steps", "trainer.eval_steps=2")
BLOCK, FULL, LAST = 32768, 1, 4  # of a LevelDB log, in which wandb keeps its records
WANDB_HEADER = 7
Scalars = dict[tuple[str, int], float]


def sacred_scalars(home: Home) -> Scalars:
    metrics = json.loads((home.cwd / "runs" / "1" / "metrics.json").read_text())
    return {
        (name, step): value
        for name, series in metrics.items()
        for step, value in zip(series["steps"], series["values"], strict=True)
    }


def without_totals(scalars: Scalars) -> Scalars:
    """Without the totals of the run, which transformers gives to wandb as a summary and to trackio not at all."""
    totals = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"}
    return {key: value for key, value in scalars.items() if key[0] not in totals}


def with_prefixes(scalars: Scalars) -> Scalars:
    """Under the names that transformers gives to all trackers but MLflow."""
    return {
        (re.sub(r"^(eval_|test_|)", lambda m: f"{m[1][:-1] or 'train'}/", name, count=1), step): value
        for (name, step), value in scalars.items()
    }


def assert_same(found: Scalars, expected: Scalars) -> None:
    assert any(name.endswith("loss") and "eval" in name for name, _ in expected) and len(expected) > 40
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-12), key


def run(path: Path, tracker: str, **env: str) -> Home:
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed: pip install {TRACKERS[tracker]}")
    home = Home(path / "unmistakable-home")
    result = home.train(*RUN, f"report_to={tracker}", env=env)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return home


def leveldb_records(content: bytes, offset: int) -> Iterator[bytes]:
    """Records of a LevelDB log, in blocks of 32 KiB of which the first has `offset` bytes less."""
    position, parts = 0, []
    while position + 7 <= len(content):
        left = BLOCK - (position + offset) % BLOCK
        if left < 7:  # no place for a header: zeros
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts.append(content[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


def test_tensorboard(tmp_path):
    home = run(tmp_path, "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (home.cwd / "out" / "runs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    found = {(name, event.step): event.value for name in events.Tags()["scalars"] for event in events.Scalars(name)}
    assert_same(found, with_prefixes(sacred_scalars(home)))
    texts = {name.removesuffix("/text_summary"): events.Tensors(name)[0] for name in events.Tags()["tensors"]}
    assert b'"output_dir": "~/project/out"' in texts["args"].tensor_proto.string_val[0]
    assert b"LlamaForCausalLM" in texts["model_config"].tensor_proto.string_val[0]
    assert home.leaks() == []


@pytest.mark.slow
def test_trackio(tmp_path):
    home = run(tmp_path, "trackio")
    (database,) = (home.path / ".cache" / "huggingface" / "trackio").glob("*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run_name, metrics FROM metrics").fetchall()
        ((config,),) = connection.execute("SELECT config FROM configs").fetchall()
    assert database.stem == "trl_ext" and {name for name, _ in rows} == {"out"}
    found = {}
    for _, content in rows:
        metrics = json.loads(content)
        step = metrics.pop("train/global_step", None)
        found |= {(name, step): value for name, value in metrics.items() if not name.startswith("test/")}
    assert_same(found, with_prefixes(without_totals(sacred_scalars(home))))
    assert json.loads(config)["peft_config"]["default"]["base_model_name_or_path"] == "~/models/tiny"
    assert home.leaks() == []


@pytest.mark.slow
def test_mlflow(tmp_path):
    home = run(tmp_path, "mlflow", MLFLOW_TRACKING_URI="file:mlruns", MLFLOW_ALLOW_FILE_STORE="true")
    (folder,) = [path.parent for path in (home.cwd / "mlruns").glob("*/*/metrics")]
    found = {}
    for file in (folder / "metrics").rglob("*"):
        if file.is_file():
            for line in file.read_text().splitlines():
                _, value, step = line.split()
                found[str(file.relative_to(folder / "metrics")), int(step)] = float(value)
    assert_same(found, sacred_scalars(home))
    assert (folder / "params" / "output_dir").read_text() == "~/project/out"
    assert (
        home.leaks([file for name in ("params", "metrics") for file in (folder / name).rglob("*") if file.is_file()])
        == []
    )


@pytest.mark.slow
def test_wandb(tmp_path):
    home = run(tmp_path, "wandb", WANDB_MODE="offline")
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = (home.cwd / "wandb").glob("offline-run-*/*.wandb")
    found, config, project = {}, {}, None
    for data in leveldb_records(file.read_bytes()[WANDB_HEADER:], WANDB_HEADER):
        record = Record.FromString(data)
        if record.HasField("history"):
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            step = row.get("train/global_step")
            found |= {(name, step): v for name, v in row.items() if name.startswith(("train/", "eval/"))}
        elif record.HasField("run"):
            project = record.run.project
        config |= {item.key or item.nested_key[0]: item.value_json for item in record.config.update}
    found = {key: value for key, value in found.items() if key[0] != "train/global_step"}
    assert project == "trl_ext"
    assert_same(found, with_prefixes(without_totals(sacred_scalars(home))))
    assert config["output_dir"] == '"~/project/out"' and "~/models/tiny" in config["peft_config"]
    assert home.leaks([file, *file.parent.glob("files/*")]) == []


@pytest.mark.parametrize("report_to", ["none", ["none"], [], None])
def test_no_tracker(report_to):
    check_trackers(report_to)


def test_an_unknown_tracker():
    with pytest.raises(ConfigError, match=r"'tensorbord'.*tensorboard, trackio.*mean 'tensorboard'"):
        check_trackers(["tensorbord"])


def test_a_tracker_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(TRACKERS, "nowhere_installed", "nowhere-installed")
    with pytest.raises(ConfigError, match=r"pip install nowhere-installed"):
        check_trackers("nowhere_installed")
