"""The genuine rewardbench 0.1.4 agrees with ours: needs its environment, which is made if it is not there."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    set_seed,
)

from tests.tiny import tiny_tokenizer
from trl_ext.data.bundled import cache_directory, resolve_model
from trl_ext.evaluation import rewardbench_section_scores
from trl_ext.evaluation.rewardbench_bridge import (
    GenuineSettings,
    RewardBenchEnvironment,
    compare_rewards,
    compare_with_genuine,
    export_legacy_copy,
    read_bridge_rows,
    run_genuine,
)
from trl_ext.evaluation.rewardbench_bridge.environment import clean_environment


pytestmark = pytest.mark.slow

# Their two answers are equal texts, or equal tokens: padding decides in the genuine program
TIES = {"a7", "a8"}

QUESTIONS = [
    ("What is the capital of France?", "The capital of France is Paris.", "Lyon."),
    ("What is 2 + 2?", "4", "5, because numbers grow."),
    ("Name a colour.", "Blue.", "Seven is a colour that I like."),
    ("Who wrote Hamlet?", "William Shakespeare, around 1600.", "Charles Dickens."),
    ("Say hello in French.", "Bonjour!", "Guten Tag!"),
    ("Is the sea salty?", "Yes.", "No, the sea is sweet, as every child knows."),
    ("List two fruits.", "Apples and pears.", "Hammers, nails."),
    ("How many days has a week?", "Seven days.", "Nine days, and ten in winter."),
    ("What do bees make?", "Honey, and wax.", "Cheese."),
    ("Translate: Katze.", "Cat.", "Dog."),
    ("What comes after Monday?", "Tuesday comes after Monday.", "Sunday."),
    ("Give me a prime number.", "7 is prime.", "9 is prime."),
]


@pytest.fixture(scope="module")
def environment():
    """`TRL_EXT_REWARDBENCH_ENV`, else a folder in the cache; made if need be."""
    folder = os.environ.get("TRL_EXT_REWARDBENCH_ENV") or cache_directory() / "rewardbench-0.1.4"
    made = RewardBenchEnvironment(folder)
    try:
        made.create(progress=False)
    except RuntimeError as error:
        pytest.skip(f"rewardbench 0.1.4 can't be installed: {error}")
    return made


@pytest.fixture(scope="module")
def golden(shared_dir) -> Path:
    return shared_dir / "golden"


def test_creating_again_changes_nothing(environment):
    before = environment.python.stat().st_mtime
    assert environment.create()["rewardbench"] == "0.1.4" == environment.versions()["rewardbench"]
    assert environment.python.stat().st_mtime == before


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ("prefs", GenuineSettings()),
        ("prefs", GenuineSettings(batch_size=1, max_length=40)),
        ("v1", GenuineSettings("core")),
        ("v1", GenuineSettings("run_rm", max_length=24)),
        ("v2", GenuineSettings("run_v2")),
    ],
    ids=["preferences", "truncated", "core", "run_rm", "run_v2"],
)
def test_rewards_of_the_tiny_model(environment, golden, data, settings):
    inputs = golden / "rewardbench_cli" / f"{data}.jsonl"
    comparison, genuine = compare_with_genuine(str(golden / "tiny_rm"), inputs, environment, settings, timeout=600)
    assert comparison.agrees and comparison.max_relative_difference < 1e-4, comparison.report()
    assert set(comparison.different_decisions) <= TIES
    if settings.program in ("core", "run_rm"):
        # The decisions are the same, so that our sections of their rewards are those of ours
        assert comparison.different_decisions == ()
        subsets = [row.subset for row in read_bridge_rows(inputs)]
        sections = rewardbench_section_scores(subsets, *zip(*genuine.rewards, strict=True), absent="zero").sections
        assert {name: pytest.approx(score.value) for name, score in sections.items()} == genuine.sections


@pytest.mark.parametrize(
    ("data", "reference", "settings"),
    [
        ("prefs", True, GenuineSettings()),
        ("v1", True, GenuineSettings("run_dpo")),
        ("v1", False, GenuineSettings("run_dpo", ref_free_type="avg")),
        ("v1", False, GenuineSettings("run_dpo", ref_free_type="norm")),
        ("v1", False, GenuineSettings("run_dpo", ref_free_type="sum")),
    ],
    ids=["command", "reference", "avg", "norm", "sum"],
)
def test_implicit_rewards(environment, golden, data, reference, settings):
    folder = golden / "rewardbench_cli"
    comparison, _ = compare_with_genuine(
        str(folder / "dpo" / "tiny_policy"),
        folder / f"{data}.jsonl",
        environment,
        settings,
        reference=str(folder / "dpo" / "tiny_ref") if reference else None,
        timeout=600,
    )
    assert comparison.agrees and set(comparison.different_decisions) <= TIES, comparison.report()


@pytest.fixture(scope="module")
def bundled_reward_model(tmp_path_factory) -> str:
    """SmolLM2-135M-Instruct with a fixed head, as a reward model."""
    try:
        name = resolve_model("bundled:smollm2-135m-instruct")
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("bundled")
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=1)
    model.config.pad_token_id = tokenizer.pad_token_id
    with torch.no_grad():
        model.score.weight.copy_(torch.randn(1, 576, generator=torch.Generator().manual_seed(0)) / 20)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_rewards_of_the_bundled_model_and_the_trap_of_its_rotary_base(environment, bundled_reward_model, tmp_path):
    rows = read_bridge_rows([{"prompt": q, "chosen": c, "rejected": r} for q, c, r in QUESTIONS])
    comparison, genuine = compare_with_genuine(
        bundled_reward_model, rows, environment, folder=tmp_path / "run", timeout=1200
    )
    print(comparison.report())
    assert comparison.agrees and comparison.different_decisions == (), comparison.report()
    assert comparison.max_relative_difference < 1e-4

    # Without the keys that transformers 4.51 knows, it computes with another base, and ends well
    file = tmp_path / "run" / "copy" / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("rope_theta") == 100000.0
    del config["rope_scaling"]
    file.write_text(json.dumps(config))
    trapped = run_genuine(file.parent, rows, tmp_path / "trap", environment, timeout=1200)
    comparison = compare_rewards(rows, trapped, genuine.rewards)
    print(comparison.report())
    assert not comparison.agrees and comparison.max_relative_difference > 0.1


def rope(kind="default", **parameters):
    return {"rope_type": kind, "rope_theta": 500000.0, **parameters}


LONG = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.5, 2.0, 3.0, 4.0]}
ARCHITECTURES = {
    **{f"{family}-default": {} for family in ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3")},
    **{f"{family}-default": {} for family in ("starcoder2", "stablelm", "phi", "gpt_neox", "gpt2", "opt")},
    "llama-linear": {"rope_parameters": rope("linear", factor=4.0)},
    "llama-dynamic": {"rope_parameters": rope("dynamic", factor=4.0), "max_position_embeddings": 16},
    "llama-yarn": {"rope_parameters": rope("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=16.0)},
    "llama-llama3": {
        "rope_parameters": rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
        )
    },
    "llama-longrope": {"rope_parameters": rope("longrope", original_max_position_embeddings=16, factor=4.0, **LONG)},
    "phi3-longrope": {"rope_parameters": rope("longrope", **LONG), "original_max_position_embeddings": 16},
    "stablelm-partial": {"rope_parameters": rope(partial_rotary_factor=0.5)},
    "gpt_neox-partial": {"rope_parameters": rope(partial_rotary_factor=0.5)},
    "mistral-window": {"sliding_window": 8},
    "starcoder2-window": {"sliding_window": 8},
    "phi3-window": {"sliding_window": 8},
    "gemma2-window": {"sliding_window": 8},
}
_REWARDS = """
import json, sys
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
rewards = {}
for name in sys.argv[1:]:
    AutoTokenizer.from_pretrained(name)
    eager = {"attn_implementation": "eager"} if "gemma2" in name else {}
    model = AutoModelForSequenceClassification.from_pretrained(name, **eager).eval()
    with torch.no_grad():
        rewards[name] = model(torch.tensor([[7 * i % 300 + 5 for i in range(40)]])).logits.item()
print(json.dumps(rewards))
"""


def test_every_family_and_rope_type_gives_the_same_reward_there(environment, tmp_path):
    tokenizer = tiny_tokenizer()
    ours = {}
    for name, values in ARCHITECTURES.items():
        family = name.split("-")[0]
        common = {
            "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
            "num_attention_heads": 4, "max_position_embeddings": 64, "num_labels": 1,
            "pad_token_id": tokenizer.pad_token_id,
        }  # fmt: skip
        common |= {
            "gpt2": {"n_positions": 64},
            "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
            "gpt_neox": {"rope_parameters": rope()},
        }.get(family, {"num_key_value_heads": 2, "head_dim": 8, "rope_parameters": rope()})
        set_seed(0)
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **(common | values)))
        with torch.no_grad():  # large enough weights for positions to matter
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.2)
            if family == "gemma2":
                model.set_attn_implementation("eager")
            reward = model.eval()(torch.tensor([[7 * i % 300 + 5 for i in range(40)]])).logits.item()
        ours[str(export_legacy_copy(model, tmp_path / name, tokenizer))] = reward
    done = subprocess.run(
        [str(environment.python), "-s", "-c", _REWARDS, *ours],
        capture_output=True,
        text=True,
        env=clean_environment({"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert theirs == {name: pytest.approx(value, rel=1e-5) for name, value in ours.items()}
    assert len(set(ours.values())) > len(ours) - 4  # they are not all the same model
