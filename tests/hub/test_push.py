"""What is pushed gives the same rewards to whoever loads it, and nothing else is pushed."""

import json

import pytest

from tests.servers.hub import TOKEN
from tests.servers.hub_client import ClientError
from trl_ext.hub import PushError, push_reward_model


FULL = """
model = tiny_reward_model(tokenizer, seed=1).eval()
pushed = asdict(push_reward_model(model, "tester/full", processing_class=tokenizer, private=True))
result = {"rewards": rewards(model), **pushed}
"""
BF16 = """
save(tiny_reward_model(tokenizer, seed=2), folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.bfloat16)
pushed = push_reward_model(model, "half", processing_class=tokenizer)
result = {"rewards": rewards(model), **asdict(pushed)}
"""
ADAPTER = """
base = AutoModelForSequenceClassification.from_pretrained("tester/base", num_labels=1)
torch.manual_seed(3)
model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj", "v_proj"], init_lora_weights=False))
pushed = push_reward_model(model, "tester/adapter", processing_class=tokenizer)
result = {"rewards": rewards(model), **asdict(pushed)}
"""
PUSH_BASE = """
tiny_checkpoint(Path(folder), tokenizer)
from huggingface_hub import HfApi
HfApi().create_repo("tester/base", exist_ok=True)
HfApi().upload_folder(repo_id="tester/base", folder_path=folder)
"""


@pytest.fixture(scope="module")
def full(running_hub, pusher):
    result = pusher.run(FULL)
    return result | {"log": pusher.log, "requests": list(running_hub.requests)}


@pytest.fixture(scope="module")
def adapter(pusher, tmp_path_factory):
    pusher.run(PUSH_BASE, folder=str(tmp_path_factory.mktemp("base")))
    return pusher.run(ADAPTER)


def test_full_model_loads_anywhere_with_the_same_rewards(full, pusher, stranger, loopback_hub):
    assert full["round_trip"]["max_difference"] < 1e-6
    loaded = stranger.run(
        """
model = AutoModelForSequenceClassification.from_pretrained("tester/full")
tokenizer = AutoTokenizer.from_pretrained("tester/full")
scores = pipeline("text-classification", model="tester/full")(texts, add_special_tokens=False)
result = [rewards(model, tokenizer, texts), [row["score"] for row in scores]]
""",
        texts=pusher.texts,
    )
    for found in loaded:
        assert found == pytest.approx(full["rewards"], abs=1e-6)
    assert pusher.run(
        'model, _ = load_reward_model("tester/full", revision=commit); result = rewards(model)', commit=full["commit"]
    ) == pytest.approx(full["rewards"], abs=1e-6)


def test_bfloat16_model_stays_bfloat16(pusher, stranger, loopback_hub, tmp_path):
    pushed = pusher.run(BF16, folder=str(tmp_path))
    dtype, found = stranger.run(
        """
model = AutoModelForSequenceClassification.from_pretrained("tester/half", dtype="auto")
result = [str(model.dtype), rewards(model, AutoTokenizer.from_pretrained("tester/half"), texts)]
""",
        texts=pusher.texts,
    )
    assert pushed["repo_id"] == "tester/half" and dtype == "torch.bfloat16"
    assert found == pytest.approx(pushed["rewards"], abs=1e-6)


def test_adapter_brings_its_head(adapter, pusher, stranger, loopback_hub):
    files = loopback_hub.model("tester/adapter").history()[0].files
    assert "adapter_model.safetensors" in files and "model.safetensors" not in files
    found = stranger.run(
        """
model = AutoPeftModelForSequenceClassification.from_pretrained("tester/adapter", num_labels=1)
result = rewards(model, AutoTokenizer.from_pretrained("tester/adapter"), texts)
""",
        texts=pusher.texts,
    )
    assert found == pytest.approx(adapter["rewards"], abs=1e-6)
    found = pusher.run('model, _ = load_reward_model("tester/adapter"); result = rewards(model)')
    assert found == pytest.approx(adapter["rewards"], abs=1e-6)


def test_says_beforehand_where_and_what(full, loopback_hub):
    repository = loopback_hub.model("tester/full")
    assert repository.private and full["private"]
    announced, uploaded = full["log"].find("About to push"), full["log"].find("/commit/main")
    assert 0 < announced < uploaded
    line = full["log"][announced:].splitlines()[0]
    assert f"{loopback_hub.url}/tester/full" in line and "PRIVATE" in line
    for name, size in full["files"].items():
        assert f"{name} ({size:,})" in line
        assert len(repository.history()[0].files[name].content) == size
    assert full["commit"] == repository.history()[0].oid
    assert len(repository.history()) == 2  # the Hub's own first commit, and one for all files


def test_token_is_nowhere(full, loopback_hub):
    assert TOKEN not in full["log"]
    contents = [
        blob.content for repo in loopback_hub.repositories.values() for blob in repo.history()[0].files.values()
    ]
    assert len(contents) > 6 and not any(TOKEN.encode() in content for content in contents)


def test_private_repository_needs_the_token(full, stranger, loopback_hub, tmp_path):
    with pytest.raises(ClientError, match="not a valid model identifier|is not a local folder"):
        stranger.run(
            'AutoTokenizer.from_pretrained("tester/full", token=False, cache_dir=folder)', folder=str(tmp_path)
        )


def test_new_repository_follows_the_default_of_the_hub(pusher, loopback_hub):
    loopback_hub.private_by_default = True
    code = 'result = push_reward_model(tiny_reward_model(tokenizer), "by-default", processing_class=tokenizer).private'
    assert pusher.run(code) is True
    assert "PRIVATE (created just now, as private=None leaves it to the Hub's default)" in pusher.log


def test_private_is_not_pushed_to_a_public_repository(pusher, loopback_hub):
    pusher.run('push_reward_model(tiny_reward_model(tokenizer), "open", processing_class=tokenizer)')
    commits = len(loopback_hub.model("tester/open").history())
    with pytest.raises(ClientError, match="exists and is public, but private=True"):
        pusher.run(
            'push_reward_model(tiny_reward_model(tokenizer, 5), "open", processing_class=tokenizer, private=True)'
        )
    assert len(loopback_hub.model("tester/open").history()) == commits


MESSY = """
folder = save(tiny_reward_model(tokenizer, seed=4), folder)
junk = ("training_args.bin", "optimizer.pt", "rng_state_0.pth", "checkpoint-3/model.safetensors", "runs/events.1", ".env")
for name in junk:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"junk")
(folder / "notes.txt").write_text("kept")
(folder / "README.md").write_text("---\\nlicense: mit\\n---\\nMine.")
pushed = push_reward_model(folder, "tester/messy", exclude=["*.log"])
result = {"junk": junk, **asdict(pushed)}
"""


def test_pickles_checkpoints_and_hidden_files_stay(pusher, loopback_hub, tmp_path):
    (tmp_path / "train.log").write_text("left out by name")
    pushed = pusher.run(MESSY, folder=str(tmp_path))
    files = loopback_hub.model("tester/messy").history()[0].files
    assert sorted(pushed["left_out"]) == sorted([*pushed["junk"], "train.log"])
    assert set(files) == {".gitattributes", *pushed["files"]} and not set(files) & set(pushed["left_out"])
    assert files["notes.txt"].content == b"kept" and b"Mine." in files["README.md"].content
    assert json.loads(files["config.json"].content)["problem_type"] == "regression"
    assert json.loads((tmp_path / "config.json").read_text()).get("problem_type") is None  # the user's file is theirs


def test_secrets_are_refused_before_a_repository_is_made(pusher, loopback_hub, tmp_path):
    pusher.run("save(tiny_reward_model(tokenizer), folder)", folder=str(tmp_path))
    (tmp_path / "notes.json").write_text(json.dumps({"token": TOKEN}))
    with pytest.raises(ClientError, match=r"notes\.json holds a Hugging Face access token") as refusal:
        pusher.run('push_reward_model(folder, "tester/leak")', folder=str(tmp_path))
    assert TOKEN not in str(refusal.value) + pusher.log
    assert ("models", "tester/leak") not in loopback_hub.repositories and not loopback_hub.requests


def test_full_model_replaces_an_adapter(adapter, pusher, loopback_hub):
    pusher.run(
        """
base = AutoModelForSequenceClassification.from_pretrained("tester/base", num_labels=1)
adapted = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"]))
push_reward_model(adapted, "tester/replaced", processing_class=tokenizer)
"""
    )
    pushed = pusher.run(
        """
model = tiny_reward_model(tokenizer, seed=6).eval()
pushed = push_reward_model(model, "tester/replaced", processing_class=tokenizer)
result = {"rewards": rewards(model), **asdict(pushed)}
"""
    )
    assert sorted(pushed["removed"]) == ["adapter_config.json", "adapter_model.safetensors"]
    found = pusher.run(
        'model, _ = load_reward_model("tester/replaced"); result = [type(model).__name__, rewards(model)]'
    )
    assert found[0] == "LlamaForSequenceClassification" and found[1] == pytest.approx(pushed["rewards"], abs=1e-6)


def test_local_base_is_announced(pusher, loopback_hub, tmp_path):
    pusher.run(
        """
base_folder = tiny_checkpoint(Path(folder), tokenizer)
local = AutoModelForSequenceClassification.from_pretrained(base_folder, num_labels=1)
adapted = get_peft_model(local, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"]))
push_reward_model(adapted, "tester/local-base", processing_class=tokenizer)
""",
        folder=str(tmp_path),
    )
    assert "no one else can load the adapter" in pusher.log


def test_branch_is_created(pusher, loopback_hub):
    code = 'push_reward_model(tiny_reward_model(tokenizer, 7), "branches", processing_class=tokenizer, revision="v2")'
    pusher.run(code)
    repository = loopback_hub.model("tester/branches")
    assert set(repository.find("main").files) == {".gitattributes"}
    assert "model.safetensors" in repository.find("v2").files


def test_a_model_that_loads_with_other_rewards_is_not_pushed(pusher, loopback_hub):
    with pytest.raises(ClientError, match="other rewards.*Nothing was uploaded") as error:
        pusher.run(
            """
altered = tiny_reward_model(tokenizer, seed=8)
altered.score.register_forward_hook(lambda module, inputs, output: output + 1)  # is not saved
push_reward_model(altered, "tester/altered", processing_class=tokenizer)
"""
        )
    assert error.value.type_name == "RoundTripError"
    assert ("models", "tester/altered") not in loopback_hub.repositories


def test_offline_is_said(tmp_path):
    with pytest.raises(PushError, match="HF_HUB_OFFLINE is set"):
        push_reward_model(tmp_path, "tester/any")


def test_a_base_model_at_home_does_not_name_the_user(pusher, loopback_hub, tmp_path):
    pushed, found = pusher.run(
        """
import os
kept, os.environ["HOME"] = os.environ["HOME"], home
tiny_checkpoint(Path(home, "base"), tokenizer)
at_home = AutoModelForSequenceClassification.from_pretrained(Path(home, "base"), num_labels=1)
adapted = get_peft_model(at_home, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"]))
push_reward_model(adapted, "tester/at-home", processing_class=tokenizer)
model, _ = load_reward_model("tester/at-home")
result = [rewards(adapted), rewards(model)]
os.environ["HOME"] = kept
""",
        home=str(tmp_path),
    )
    files = loopback_hub.model("tester/at-home").history()[0].files
    assert json.loads(files["adapter_config.json"].content)["base_model_name_or_path"] == "~/base"
    assert not [name for name, blob in files.items() if str(tmp_path).encode() in blob.content]
    assert found == pytest.approx(pushed, abs=1e-6)
