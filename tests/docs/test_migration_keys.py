"""The migration pages promise that keys and options of the originals are taken: they are."""

import re

import pytest

from tasks.charm.calibrate_config import CALIBRATE_KEYS
from tasks.charm.generate_config import GENERATE_KEYS
from tasks.rewardbench import configs
from tasks.train import _DEFAULTS
from tests.docs.pages import ROOT


def words(page: str, begin: str, end: str) -> list[str]:
    """What stands between backticks from `begin` to `end`."""
    text = (ROOT / "docs" / "migration" / page).read_text(encoding="utf-8")
    return re.findall(r"`(?:--)?(\w+)`", text.split(begin, 1)[1].split(end, 1)[0])


def test_keys_of_rapl():
    named = [word for word in words("rapl.md", "accepted as they are:", "\n\n") if "w_floor" not in word]
    assert len(named) > 20
    assert [word for word in named if word not in _DEFAULTS and word != "step_decay"] == []


@pytest.mark.parametrize(
    ("begin", "keys"), [("| `dataset_name`, `model_name`", GENERATE_KEYS), ("| `score_dataset_dir`", CALIBRATE_KEYS)]
)
def test_keys_of_charm(begin, keys):
    named = re.findall(r"`(\w+)`", begin) + words("charm.md", begin, "|")
    assert [word for word in named if word not in keys] == []


def test_options_of_rewardbench():
    known = {key for keys in vars(configs).values() if isinstance(keys, dict) for key in keys}
    named = words("rewardbench.md", "The words are the same:", "\n\n")
    assert len(named) > 15
    assert [word for word in named if word not in known] == []
