"""Who records a run, and what an interrupted one says."""

import pytest
from sacred.observers import FileStorageObserver

from tasks.interrupt import Interrupted, exit_interrupted
from tasks.train_observers import PrivateExperiment


@pytest.mark.parametrize(("rank", "records"), [(None, 1), ("0", 1), ("1", 0)])
def test_of_several_processes_the_first_one_records(rank, records, tmp_path, monkeypatch):
    """Also where an option of the command line asks for it, which every process gets."""
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    ex = PrivateExperiment("records", save_git_info=False)
    ex.main(lambda: 7)
    run = ex.run_commandline(["records.py", "-F", str(tmp_path / "mine")])
    assert run.result == 7 and len(list(tmp_path.glob("mine/*/run.json"))) == records
    ex.observers.append(FileStorageObserver(tmp_path / "default"))
    ex.run()
    assert len(list(tmp_path.glob("default/*/run.json"))) == records


@pytest.mark.parametrize(
    ("interrupt", "said", "status"),
    [
        (KeyboardInterrupt(), "Interrupted by Ctrl-C.", 130),
        (Interrupted("by SIGTERM"), "Interrupted by SIGTERM.", 143),
    ],
)
def test_what_interrupted_it_is_said(interrupt, said, status, capsys):
    with pytest.raises(SystemExit) as ended:
        exit_interrupted(interrupt)
    assert ended.value.code == status and capsys.readouterr().err.strip() == said
