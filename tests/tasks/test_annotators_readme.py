"""The commands of tasks/annotators/README.md name scripts and keys that exist."""

import re
from pathlib import Path

import pytest

from tasks.annotators import oracle_config, section3_config


FOLDER = Path(__file__).resolve().parents[2] / "tasks" / "annotators"
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
COMMANDS = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)).splitlines()


@pytest.mark.parametrize(
    ("script", "defaults"),
    [("prepare_oracle_data", oracle_config.DEFAULTS), ("section3", section3_config.DEFAULTS)],
)
def test_commands_use_keys_that_exist(script, defaults):
    lines = [line for line in COMMANDS if f"/{script}.py" in line]
    assert lines and (FOLDER / f"{script}.py").exists()
    keys = {key for line in lines for key in re.findall(r"(?<=[ \"])([a-z_]+)[.\w]*=", line)}
    assert "output_dir" in keys and keys <= set(defaults)


def test_default_outputs_are_those_the_readme_goes_on_with():
    assert oracle_config.DEFAULTS["output_dir"] in TEXT
    assert all(f"`{source}`" in TEXT for source in oracle_config.SOURCES)
