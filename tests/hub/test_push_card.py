"""The model card with its evidence on the Hub: metadata as the library reads them, the plots, and cards of the user's."""

import json

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


def test_no_file_that_is_pushed_names_people_or_places(pusher, loopback_hub, tmp_path):
    folder = write_run(tmp_path / "Ann's disk" / "run")
    results = json.loads((folder / "results.json").read_text())
    row = {"annotator_id": "Ann Example", "eta": 0.5, "adversarial": False}
    results["annotators"] = {"method": "em", "table": [row, row | {"annotator_id": "Bob Example", "eta": -0.1}]}
    results["provenance"]["config"] |= {
        "model_name": str(tmp_path / "base"),
        "train_data_path": f"{tmp_path}/a b.jsonl",
    }
    results["provenance"]["command"] += [f"train_data_path={tmp_path}/a b.jsonl"]
    for path in (folder / "results.json", folder / "evaluation" / "demo" / "rm" / "provenance.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results))
    calibration = json.loads((folder / "calibration" / "calibration.json").read_text())
    (folder / "calibration" / "calibration.json").write_text(
        json.dumps(calibration | {"provenance": {"model": {"name": str(folder), "sha256": {}}}})
    )
    (folder / "rate" / "effects.md").write_text(f"of {tmp_path}/Ann/effects.csv\n")
    (folder / "rate" / "torn.json").write_text('{"name": "Ann Exa')
    (folder / "annotators.csv").write_text("annotator_id,eta\nAnn Example,0.5\n")
    pusher.run(PUSH, folder=str(folder), repo="tester/people")
    files = loopback_hub.model("tester/people").history()[0].files
    assert {"results.json", "calibration/calibration.json", "rate/effects.md"} <= set(files)
    for name, file in files.items():
        for secret in ("Ann", "Bob", str(tmp_path), tmp_path.name):
            assert secret.encode() not in file.content, (name, secret)
    pushed = json.loads(files["results.json"].content)
    assert pushed["annotators_summary"]["table"] == {
        **{"annotators": 2, "median_eta": 0.2, "lowest_eta": -0.1, "highest_eta": 0.5},
        **{"adversarial": 0},
    }
    assert pushed["figures"] == results["figures"] and "rate/torn.json" not in files
    assert pushed["provenance"]["command"][-1] == "train_data_path=a b.jsonl"
    assert json.loads((folder / "results.json").read_text()) == results  # the run's own file is as it was


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
