"""docs/calibration_training.md names methods, parameters and figures that exist, and its recipe can be made."""

import re
from pathlib import Path

import trl_ext
from trl_ext import CalibrationRewardConfig
from trl_ext.trainer.calibration_config import CALIBRATION_METHODS


TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "calibration_training.md").read_text(encoding="utf-8")


def test_every_method_is_in_the_table():
    table = TEXT.split("## Which method when")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)[1:] == list(CALIBRATION_METHODS)


def test_names_and_the_recipe_exist(tmp_path):
    example, recipe = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for name in re.findall(r"from trl_ext import (.*)", example)[0].split(", "):
        assert hasattr(trl_ext, name)
    recipe = recipe.replace('"charm"', repr(str(tmp_path))).replace("bf16=True", "bf16=False, use_cpu=True")
    args = eval(recipe, {"CalibrationRewardConfig": CalibrationRewardConfig})
    assert (args.calibration_method, args.learning_rate, args.get_warmup_steps(1000)) == ("hard", 2e-6, 30)
