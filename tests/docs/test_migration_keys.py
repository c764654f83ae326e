"""The migration pages promise that keys and options of the originals are taken: they are, and the defaults are those."""

import re

import pytest
from trl import ModelConfig, RewardConfig

from tasks.charm.calibrate_config import CALIBRATE_KEYS
from tasks.charm.generate_config import GENERATE_KEYS
from tasks.rewardbench import configs
from tasks.train import _DEFAULTS, LIE
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
    named = words("rewardbench.md", "These words are taken as they are", "\n\n")
    assert len(named) > 15
    assert [word for word in named if word not in known] == []


def test_keys_of_rapl_that_are_said_to_be_unknown():
    named = re.findall(r"^\| (`.*?) \| unknown here", text("rapl.md"), re.MULTILINE)
    keys = {key for row in named for key in re.findall(r"`(\w+)`", row)} | {"score_scale"}
    assert len(keys) > 10 and not keys & set(_DEFAULTS)


def test_options_of_rewardbench_that_are_said_to_be_refused():
    [row] = re.findall(r"^\| (`.*?) \| refused", text("rewardbench.md"), re.MULTILINE)
    assert set(re.findall(r"`--(\w+)`", row)) <= set(configs.OTHERWISE)
    assert configs.RM_KEYS["max_length"][0] == 2048 and configs.RM_KEYS["force_truncation"][0] is True


def test_defaults_of_trl_and_ours():
    page, ours, model = text("trl.md"), _DEFAULTS, ModelConfig()
    theirs = RewardConfig("unused", use_cpu=True, bf16=False)
    rows = [
        f"| LoRA, where it is on | rank {model.lora_r}, alpha {model.lora_alpha}, dropout {model.lora_dropout}, PEFT's target "
        f"layers | rank {ours['lora_rank']}, alpha {ours['lora_alpha']}, dropout {ours['lora_dropout']}, ",
        f"| learning rate, epochs, accumulation | {plain(theirs.learning_rate)}, {theirs.num_train_epochs:g}, "
        f"{theirs.gradient_accumulation_steps} | {plain(ours['learning_rate'])}, {ours['num_train_epochs']}, "
        f"{ours['gradient_accumulation_steps']} |",
        f"| schedule, warm-up | {theirs.lr_scheduler_type.value}, none | {ours['lr_scheduler_type']}, "
        f"{ours['lr_warmup_ratio']:.0%}".replace("%", " %"),
        f"| LoRA on the last {ours['lora_last_layers']} layers",
        f"| as drawn | × {ours['weight_scale']} ",
    ]
    assert [row for row in rows if row not in page] == []
    assert theirs.warmup_steps == 0 and not model.use_peft and ours["use_peft"] and ours["group_by_length"]


def test_defaults_of_rapl_and_ours():
    page, ours = text("rapl.md"), _DEFAULTS
    lora = (
        f"yes, {ours['lora_rank']}, {ours['lora_alpha']}, {ours['lora_dropout']}, the last {ours['lora_last_layers']}"
    )
    assert f"| warm-up | 0 | {ours['lr_warmup_ratio']} | {LIE['lr_warmup_ratio']} |" in page
    assert f"| no, 8, 16, 0.1, all | {lora} | no |" in page and not LIE["use_peft"]
    assert (
        f"| learning rate, epochs | 1e-6, 3 | {plain(ours['learning_rate'])}, {ours['num_train_epochs']} (LoRA) "
        in page
    )


def text(page: str) -> str:
    return (ROOT / "docs" / "migration" / page).read_text(encoding="utf-8")


def plain(number: float) -> str:
    """1e-4, not 0.0001."""
    return f"{number:e}".replace(".000000", "").replace("e-0", "e-")
