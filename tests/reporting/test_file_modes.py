"""Results can be read by those whom the umask lets read."""

import os
import stat

import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.atomic_files import atomic_path
from trl_ext.reliability.json_io import save_json


@pytest.fixture(params=[0o022, 0o077, 0o027])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_json_follows_the_umask(umask, tmp_path):
    save_json(tmp_path / "new" / "eta.json", {"a": 1})
    assert mode(tmp_path / "new" / "eta.json") == 0o644 & ~umask


def test_figures_follow_the_umask(umask, tmp_path):
    pytest.importorskip("matplotlib")
    from trl_ext.reporting.figures import new_figure, save_figure

    files = save_figure(new_figure(2, 2), pd.DataFrame({"x": [1]}), tmp_path / "figure.png")
    assert [mode(file) for file in files] == [0o644 & ~umask] * 2


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_docstring_example():
    assert failed_examples(atomic_path) == 0
