"""docs/noise_aware.md names methods, keys and losses that exist."""

import re
from pathlib import Path

import trl_ext
from tasks.train import _DEFAULTS
from trl_ext.trainer.noise_aware_config import NOISE_METHODS


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "noise_aware.md").read_text(encoding="utf-8")


def test_every_method_is_in_the_table():
    table = TEXT.split("## Which method when")[1].split("\n## ")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(set(named) - {"noise_method"}) == sorted(NOISE_METHODS)


def test_keys_and_names_exist():
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL))
    keys = set(re.findall(r"(?<= )([a-z_]+)=", commands))
    assert {"noise_method", "annotator_eta_path"} <= keys <= set(_DEFAULTS)
    listed = TEXT.split("| key | |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+_(?:path|name))`", listed)) <= set(_DEFAULTS)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for name in re.findall(r"from trl_ext import (.*)", code)[0].split(", "):
        assert hasattr(trl_ext, name)
