"""Annotated pairs come back from the Hub with equal rows and types."""

import json

import pytest

from tests.servers.hub import TOKEN
from tests.servers.hub_client import ClientError


PUSH = """
from datasets import DatasetDict
rows = chat_pairs(20)
rows = rows.add_column("reliability", [0.5 + i / 50 for i in range(20)]).add_column("weight", [float(i) for i in range(20)])
rows = rows.add_column("annotator_id", [f"a{i % 3}" for i in range(20)])
splits = DatasetDict(train=rows.select(range(15)), test=rows.select(range(15, 20)))
pushed = push_preference_dataset(splits, "tester/pairs", private=True, max_retries=5)
result = [asdict(pushed), {name: split.to_list() for name, split in splits.items()}]
"""
LOAD = """
loaded = load_dataset("tester/pairs", revision=revision)
result = [{name: split.to_list() for name, split in loaded.items()}, str(loaded["train"].features)]
"""


def test_equal_rows(pusher, stranger, loopback_hub):
    loopback_hub.fail_every(4)
    pushed, rows = pusher.run(PUSH)
    loopback_hub.heal()
    assert pushed["rows"] == {"train": 15, "test": 5} and pushed["verified"] and pushed["private"]
    loaded, features = stranger.run(LOAD, revision=pushed["commit"])
    assert json.loads(json.dumps(rows)) == loaded
    assert "'role': Value('string')" in features and "'weight': Value('float64')" in features
    repository = loopback_hub.dataset("tester/pairs")
    assert repository.private and len(repository.history()) == 2
    card = repository.history()[0].files["README.md"].content.decode()
    assert "| `reliability` | float64 | probability that the annotator is right" in card and "| train | 15 |" in card


def test_old_shards_are_removed(pusher, stranger, loopback_hub):
    pusher.run('push_preference_dataset(pairs(6).train_test_split(2, seed=0), "tester/shrunk")')
    pushed = pusher.run('result = asdict(push_preference_dataset(pairs(3), "tester/shrunk"))')
    assert pushed["removed"] == ["data/test-00000-of-00001.parquet"]
    assert stranger.run('result = {k: len(v) for k, v in load_dataset("tester/shrunk").items()}') == {"train": 3}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('pairs(3).remove_columns("chosen")', "no column chosen"),
        ("pairs(3).select([])", "no rows"),
        (f'pairs(3, note=["", "{TOKEN}", ""])', "holds a Hugging Face access token"),
    ],
    ids=["column missing", "empty", "token"],
)
def test_refused(pusher, loopback_hub, code, message):
    with pytest.raises(ClientError, match=message):
        pusher.run(f'push_preference_dataset({code}, "tester/refused")')
    assert not loopback_hub.requests
