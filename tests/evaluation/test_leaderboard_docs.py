"""The Python example of docs/leaderboard.md runs as it stands, and the page names what exists."""

import re
from pathlib import Path

from tasks.rewardbench.compare_config import DEFAULTS, FORMATS, PLOTS
from tasks.rewardbench.compare_plots import PLOT_FILES
from trl_ext.evaluation.leaderboards.leaderboard import TIE_RULE


DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "leaderboard.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    assert "| 1 | rm-a | 0.75 | 0.75 | 0.75 |" in capsys.readouterr().out


def test_keys_plots_and_images_exist():
    keys = set(re.findall(r"(?<=[ `])([a-z_]+)=", "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))))
    assert {"results", "baseline"} <= keys <= set(DEFAULTS)
    assert ",".join(PLOTS) in TEXT and ",".join(FORMATS) in TEXT
    assert all(f"`{name}`" in TEXT for name in PLOT_FILES.values())
    images = re.findall(r"\((images/[^)]+)\)", TEXT)
    assert len(images) == 3 and all((DOCS / image).is_file() for image in images)


def test_the_rule_of_ties_is_the_one_that_is_used():
    rule = next(line for line in TEXT.splitlines() if line.startswith("- **Tie groups.**"))
    assert TIE_RULE.lower() in rule.lower()
