"""A trainer pushes its model as `push_reward_model` does."""

import pytest

from tests.servers.hub import TOKEN


TRAIN = """
args = PairwiseRewardConfig(
    folder, report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, max_steps=4, save_steps=2,
    save_total_limit=1, learning_rate=1e-2, disable_tqdm=True, push_to_hub=True, hub_model_id=repo,
    hub_strategy=strategy, hub_token=token, hub_private_repo=True, hub_always_push=True, logging_strategy="no",
)
lora = LoraConfig(target_modules=["q_proj", "v_proj"]) if adapter else None
start = tiny_checkpoint(Path(base), tokenizer) if adapter else tiny_reward_model(tokenizer, seed=20)
trainer = PairwiseRewardTrainer(start, args, train_dataset=pairs(), processing_class=tokenizer, peft_config=lora)
trainer.train()
commit = trainer.push_to_hub(dataset_name="tester/pairs", commit_message="Done")
result = {"rewards": rewards(trainer.model), "oid": commit.oid, "url": commit.commit_url}
"""


def train(pusher, tmp_path, repo, strategy, adapter=False):
    arguments = {"folder": str(tmp_path / "out"), "base": str(tmp_path / "base"), "token": TOKEN}
    return pusher.run(TRAIN, repo=repo, strategy=strategy, adapter=adapter, **arguments)


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "adapter"])
def test_every_save(pusher, loopback_hub, tmp_path, adapter):
    repo = f"tester/every-save-{adapter}"
    result = train(pusher, tmp_path, repo, "every_save", adapter)
    history = loopback_hub.model(repo).history()
    assert [commit.title for commit in history][::-1] == [
        "initial commit",
        "Training in progress, step 2",
        "Training in progress, step 4",
        "Done",
    ]
    assert history[0].oid == result["oid"] and loopback_hub.model(repo).private
    for commit in history[:-1]:
        assert ("adapter_model.safetensors" if adapter else "model.safetensors") in commit.files
        assert not [name for name in commit.files if name.endswith((".bin", ".pt", ".pth")) or "/" in name]
        assert not [name for name, blob in commit.files.items() if TOKEN.encode() in blob.content]
        assert b"trl-ext" in commit.files["README.md"].content
    assert b"tester/pairs" in history[0].files["README.md"].content
    found = pusher.run("model, _ = load_reward_model(repo); result = rewards(model)", repo=repo)
    assert found == pytest.approx(result["rewards"], abs=1e-5)
    assert not list((tmp_path / "out").glob("_push_*"))


def test_end_pushes_once_and_save_model_pushes_too(pusher, loopback_hub, tmp_path):
    train(pusher, tmp_path, "tester/end", "end")
    assert [commit.title for commit in loopback_hub.model("tester/end").history()] == ["Done", "initial commit"]
    pusher.run("with torch.no_grad():\n    trainer.model.score.weight.add_(1)\ntrainer.save_model()")
    assert loopback_hub.model("tester/end").history()[0].title == "Model save"


def test_checkpoints_hold_no_token(pusher, loopback_hub, tmp_path):
    train(pusher, tmp_path, "tester/checkpoints", "checkpoint")
    names = {name for commit in loopback_hub.model("tester/checkpoints").history() for name in commit.files}
    assert {"last-checkpoint/optimizer.pt", "last-checkpoint/trainer_state.json", "model.safetensors"} <= names
    assert not [name for name in names if "training_args" in name]
    assert TOKEN.encode() not in b"".join(loopback_hub.large_files.values())


def test_in_the_background(pusher, loopback_hub, tmp_path):
    train(pusher, tmp_path, "tester/background", "end")
    pusher.run("with torch.no_grad():\n    trainer.model.score.weight.add_(1)")
    oid = pusher.run('result = trainer.push_to_hub("Later", blocking=False).result().oid')
    assert loopback_hub.model("tester/background").history()[0].oid == oid
