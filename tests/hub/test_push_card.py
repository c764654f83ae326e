"""The model card with its evidence on the Hub: metadata as the library reads them, the plots, and cards of the user's."""

from huggingface_hub import ModelCard

from tests.reporting.card_run import PNG, write_run
from trl_ext.cards import is_unedited


PUSH = """
save(tiny_reward_model(tokenizer, seed=31), folder)
push_reward_model(folder, repo)
"""
LOAD = """
from huggingface_hub import ModelCard
card = ModelCard.load(repo)
card.validate()
result = {"content": str(card), "figures": [(r.metric_name, r.metric_value, r.dataset_name) for r in card.data.eval_results or ()]}
"""


def card_of(hub, repo: str) -> str:
    return hub.model(repo).history()[0].files["README.md"].content.decode()


def test_evidence_is_pushed_with_the_model(pusher, loopback_hub, tmp_path):
    folder = write_run(tmp_path / "run")
    pusher.run(PUSH, folder=str(folder), repo="tester/evidence")
    files = loopback_hub.model("tester/evidence").history()[0].files
    card = card_of(loopback_hub, "tester/evidence")
    assert files["calibration/calibrated.png"].content == PNG and "](calibration/calibrated.png)" in card
    assert not [name for name in files if name.endswith(".csv")] and str(tmp_path) not in card
    found = pusher.run(LOAD, repo="tester/evidence")
    figures = {name: value for name, value, _ in found["figures"]}
    assert figures["accuracy to truth"] == 0.81 and figures["ece, calibrated"] == 0.05
    assert 'model="tester/evidence"' in found["content"]


def test_a_generated_card_follows_the_evidence_and_an_edited_one_stays(pusher, loopback_hub, tmp_path):
    repo, folder = "tester/follows", tmp_path / "run"
    pusher.run(PUSH, folder=str(folder), repo=repo)
    assert is_unedited(card_of(loopback_hub, repo)) and "Evaluation" not in card_of(loopback_hub, repo)
    write_run(folder)
    pusher.run(PUSH, folder=str(folder), repo=repo)
    assert "## Evaluation" in card_of(loopback_hub, repo)
    edited = card_of(loopback_hub, repo).replace("## Use", "## How I use it")
    pusher.run(
        'from huggingface_hub import HfApi\nHfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=repo)',
        text=edited,
        repo=repo,
    )
    pusher.run(PUSH, folder=str(folder), repo=repo)
    assert card_of(loopback_hub, repo) == edited and "it is kept" in pusher.log


def test_a_card_of_the_users_own_in_the_folder_is_pushed_as_it_is(pusher, loopback_hub, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    pusher.run(PUSH, folder=str(folder), repo="tester/own")
    assert card_of(loopback_hub, "tester/own") == "---\nlicense: mit\n---\n# Mine\n"
    assert ModelCard(card_of(loopback_hub, "tester/own")).data.license == "mit"
