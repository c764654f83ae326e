"""The Python example of docs/evaluation.md runs as it stands, and names what exists."""

import re
from pathlib import Path

from tasks.rapl.evaluate_config import DEFAULTS


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "evaluation.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].startswith("hard 0.") and lines[3].endswith("nan")


def test_the_commands_use_keys_that_exist():
    keys = set(re.findall(r"(?<=[ `])([a-z_]+)=", "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))))
    assert {"model", "lie_data_dir"} <= keys <= set(DEFAULTS)
