"""The Python example of docs/calibration_evaluation.md runs as it stands, and the page names what exists."""

import re
from pathlib import Path

from tasks.charm.evaluate_config import KEYS, SPLITS


TEXT = (Path(__file__).resolve().parents[2] / "docs" / "calibration_evaluation.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("calibrated: -0.") and lines[-1] == "('length',) ('lists',) True"


def test_keys_exist():
    used = set(re.findall(r"(?<= )([a-z_]+)=", "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))))
    rows = TEXT.split("| key | meaning |")[1].split("\n\n")[0]
    named = {
        name
        for line in rows.splitlines()
        for name in re.findall(r"`([a-z_]+)`", line.split("|")[1:2][0] if "|" in line else "")
    }
    assert {"before", "after"} <= used <= set(KEYS) and named <= set(KEYS)
    assert all(f"`{split}`" in TEXT for split in SPLITS)


def test_links_exist():
    for link in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (Path(__file__).resolve().parents[2] / "docs" / link).is_file()
