import doctest

import pandas as pd
import pytest

from trl_ext.reporting import monitoring_figures


FIGURES = [getattr(monitoring_figures, name) for name in dir(monitoring_figures) if name.startswith("plot_")]


@pytest.mark.parametrize("plot", FIGURES, ids=lambda plot: plot.__name__)
class TestEveryFigure:
    def test_the_docstring_example_runs(self, plot):
        code = plot.__doc__.split("```python\n")[1].split("```")[0]
        test = doctest.DocTestParser().get_doctest(code, vars(monitoring_figures).copy(), plot.__name__, None, None)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0

    def test_names_the_column_that_is_missing(self, plot, tmp_path):
        with pytest.raises(ValueError, match="rows have no column"):
            plot(pd.DataFrame({"other": [1]}), tmp_path / "figure.png")
        assert not list(tmp_path.iterdir())


def test_the_numbers_of_a_figure_are_those_it_was_given(tmp_path):
    rows = pd.DataFrame({"dataset": "a", "eta0": 0.8, "eta1": 1.0, "n": [10, 20], "lower_bound": [0.7, 0.5]})
    _, table = monitoring_figures.plot_error_lower_bounds(rows, tmp_path / "bounds.png")
    pd.testing.assert_frame_equal(pd.read_csv(table), rows)


def test_refuses_no_rows(tmp_path):
    rows = pd.DataFrame(columns=["dataset", "eta0", "eta1", "n", "lower_bound"])
    with pytest.raises(ValueError, match="rows are empty"):
        monitoring_figures.plot_error_lower_bounds(rows, tmp_path / "bounds.png")
