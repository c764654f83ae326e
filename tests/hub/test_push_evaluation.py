"""Results of evaluations on the Hub: a repository with a card, and figures in the card of a model."""

import json

import pytest
import yaml

from tests.servers.hub import TOKEN
from tests.servers.hub_client import ClientError


PREPARE = """
from pathlib import Path
from tests import synthetic_results as synthetic  # not its names, which are others' in this process
from trl_ext.evaluation.results.hub import add_evaluation_to_model_card, push_evaluation_results
from trl_ext.evaluation.rewardbench_layout import write_rewardbench_results

subsets = ("mt-bench-easy", "mt-bench-hard", "donotanswer", "hep-go")
root = Path(folder)
for name, skill in (("tester/rm", 1.0), ("tester/other", 0.5)):
    scored = synthetic.evaluate(root, synthetic.NoisyScorer(name, skill), synthetic.pairs(3, subsets))
    rows, figures, _ = scored
    write_rewardbench_results(root, figures, rows, scored[2], model=name)
other = root / "reward-bench-2" / "eval-set" / "tester" / "rm.json"  # of another benchmark: not pushed with this one
other.parent.mkdir(parents=True, exist_ok=True)
other.write_text('{"model": "tester/rm"}')
"""


@pytest.fixture(scope="module")
def evaluated(pusher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    pusher.run(PREPARE, folder=str(folder))
    return folder


def test_results_with_a_card(pusher, loopback_hub, evaluated):
    loopback_hub.fail_every(4)
    pushed = pusher.run(
        'result = asdict(push_evaluation_results(root / "rewardbench" / "tester__rm", "tester/results"))'
    )
    loopback_hub.heal()
    repository = loopback_hub.dataset("tester/results")
    files = repository.history()[0].files
    assert set(pushed["files"]) == {
        *(f"rewardbench/tester__rm/{name}" for name in ("results.json", "per_row.csv", "rewards.jsonl")),
        *("rewardbench/tester__rm/rewards.jsonl.meta.json", "eval-set/tester/rm.json", "README.md"),
    }
    figures = json.loads(files["rewardbench/tester__rm/results.json"].content)["figures"]
    card = files["README.md"].content.decode()
    overall = figures["overall"]
    assert f"| overall | {overall['value']:.4f} | {overall['ci_low']:.4f} | {overall['ci_high']:.4f} | 12 |" in card
    assert "What of" not in card and "prompts and responses" in pusher.log

    # a second push keeps the first, and its card shows both
    pusher.run('push_evaluation_results(root / "rewardbench" / "tester__other", "tester/results", include_texts=True)')
    files = loopback_hub.dataset("tester/results").history()[0].files
    assert {"rewardbench/tester__rm/results.json", "rewardbench/tester__other/input.jsonl"} <= set(files)
    assert "eval-set-scores/tester/other.json" in files
    card = files["README.md"].content.decode()
    assert "## tester/rm on rewardbench" in card and "## tester/other on rewardbench" in card


def test_secrets_are_not_pushed(pusher, loopback_hub, evaluated):
    with pytest.raises(ClientError, match="access token"):
        pusher.run(
            "import shutil\n"
            'bad = root.parent / "bad" / "rewardbench" / "rm"\n'
            'shutil.copytree(root / "rewardbench" / "tester__rm", bad, dirs_exist_ok=True)\n'
            f'(bad / "rewards.jsonl.meta.json").write_text("{TOKEN}")\n'
            'push_evaluation_results(bad, "tester/bad-results")'
        )
    assert not loopback_hub.requests


def test_figures_in_the_card_of_a_model(pusher, loopback_hub, evaluated):
    pusher.run(
        "from huggingface_hub import HfApi\n"
        'HfApi().create_repo("tester/rm")\n'
        'HfApi().upload_file(path_or_fileobj=b"---\\nlicense: mit\\n---\\n# My model\\n", path_in_repo="README.md", repo_id="tester/rm")'
    )
    pusher.run('add_evaluation_to_model_card("tester/rm", figures)')
    pusher.run('add_evaluation_to_model_card("tester/rm", figures)')  # replaces, does not repeat
    card = loopback_hub.model("tester/rm").history()[0].files["README.md"].content.decode()
    _, header, text = card.split("---\n", 2)
    data = yaml.safe_load(header)
    assert data["license"] == "mit" and "# My model" in text
    results = data["model-index"][0]["results"]
    names = [entry["dataset"]["config"] for entry in results]
    assert names[:5] == ["overall", "Chat", "Chat Hard", "Safety", "Reasoning"] and "hep-go" in names
    assert len(names) == len(set(names)) == 9
    metric = results[0]["metrics"][0]
    assert metric["type"] == "accuracy" and metric["args"]["ci_low"] <= metric["value"] <= metric["args"]["ci_high"]


def test_a_model_that_does_not_exist_is_an_error(pusher, loopback_hub, evaluated):
    with pytest.raises(ClientError, match="no model 'tester/nothing'"):
        pusher.run('add_evaluation_to_model_card("tester/nothing", figures)')
