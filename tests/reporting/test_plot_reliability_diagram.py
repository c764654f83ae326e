import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from trl_ext.evaluation import reliability_diagram
from trl_ext.reporting import plot_reliability_diagram


@pytest.fixture
def diagram():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.3, 1.0, 200)
    return reliability_diagram(p, rng.random(200) < p)


def test_writes_a_png_and_its_numbers(diagram, tmp_path):
    pytest.importorskip("matplotlib")
    png, csv = plot_reliability_diagram(diagram, tmp_path / "plots" / "model.png", title="model")
    assert png.read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(csv), diagram.to_frame(), check_dtype=False)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["model.csv", "model.png"]


def test_bins_without_interval_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    diagram = reliability_diagram([0.1, 0.8], [0, 1], clusters=["a", "b"])
    png, _ = plot_reliability_diagram(diagram, tmp_path / "model.png")
    assert png.stat().st_size > 1000


def test_refuses_other_formats(diagram, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="must end with .png"):
        plot_reliability_diagram(diagram, tmp_path / "model.pdf")


def test_a_missing_matplotlib_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None\n"
        "from trl_ext.evaluation import reliability_diagram\n"
        "from trl_ext.reporting import plot_reliability_diagram\n"
        "try:\n"
        "    plot_reliability_diagram(reliability_diagram([0.5], [1]), 'never.png')\n"
        "except ImportError as error:\n"
        "    assert 'pip install trl_ext[report]' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no ImportError')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_bins_without_interval_are_hollow_and_explained(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    from trl_ext.reporting import reliability_diagram as module

    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, *rest: figures.append(figure))
    p = [0.1] + [0.8] * 20
    one_and_many = reliability_diagram(p, [1] + [0, 1, 1, 1] * 5, clusters=list(range(21)))
    plot_reliability_diagram(one_and_many, tmp_path / "model.png")
    lines = {line.get_label(): line for line in figures[0].axes[0].lines}
    hollow = lines["too few for an interval"]
    assert hollow.get_markerfacecolor() == "white" and list(hollow.get_ydata()) == [1.0]
    assert list(lines["observed, 95% interval"].get_ydata()) == [0.75]
    assert "too few for an interval" in [text.get_text() for text in figures[0].legends[0].get_texts()]
