"""Sacred's MongoObserver records what we rely on, against a server that speaks MongoDB's protocol over SQLite."""

import importlib.util
import socket
import subprocess
import sys
import time

import pytest


MISSING = [name for name in ("pymongo", "nx_27017") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (pip install -e '.[dev]')")


@pytest.fixture
def mongo_url(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "nx_27017.nx_27017", "--host", "127.0.0.1", "-p", str(port)]
    command += [
        "--db",
        str(tmp_path / "mongo.db"),
        "--log-file",
        str(tmp_path / "log"),
        "--pid-file",
        str(tmp_path / "pid"),
    ]
    with (tmp_path / "output").open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path)
        try:
            _wait_for(port, server)
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_for(port: int, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_run_is_read_back(mongo_url, tmp_path):
    import gridfs
    from pymongo import MongoClient
    from sacred import Experiment
    from sacred.observers import MongoObserver

    artifact = tmp_path / "rewards.bin"
    artifact.write_bytes(bytes(range(256)) * 1200)  # more than one chunk of GridFS
    experiment = Experiment("reward-model", save_git_info=False)
    experiment.observers.append(MongoObserver(url=mongo_url, db_name="sacred"))

    @experiment.config
    def config():
        learning_rate = 1e-5  # noqa: F841  Sacred reads the local variables
        trainer = {"max_steps": 3}  # noqa: F841

    @experiment.main
    def main(_run, learning_rate, trainer):
        for step in range(trainer["max_steps"]):
            _run.log_scalar("accuracy", 0.5 + step / 10, step)
        _run.info["pairs"] = 7
        _run.add_artifact(str(artifact))
        return 0.7

    run = experiment.run(config_updates={"learning_rate": 3e-5})
    with MongoClient(mongo_url) as client:
        database = client["sacred"]
        record = database.runs.find_one({"_id": run._id})
        assert record["status"] == "COMPLETED" and record["result"] == 0.7
        assert record["experiment"]["name"] == "reward-model"
        assert record["config"]["learning_rate"] == 3e-5 and record["config"]["trainer"] == {"max_steps": 3}
        assert record["info"]["pairs"] == 7
        metric = database.metrics.find_one({"run_id": run._id, "name": "accuracy"})
        assert metric["steps"] == [0, 1, 2] and metric["values"] == pytest.approx([0.5, 0.6, 0.7])
        (entry,) = record["artifacts"]
        assert entry["name"] == "rewards.bin"
        assert gridfs.GridFS(database).get(entry["file_id"]).read() == artifact.read_bytes()
