"""A push over a failing connection completes, or leaves what was there and can be repeated."""

import hashlib

import pytest

from tests.servers.hub import TOKEN
from tests.servers.hub_client import ClientError
from trl_ext.hub.retry import with_retries


PUSH = """
model = tiny_reward_model(tokenizer, seed=seed).eval()
folder = save(model, folder)
pushed = asdict(push_reward_model(folder, repo, max_retries=max_retries))
local = {name: (folder / name).read_bytes().hex() for name in pushed["files"] if name.startswith(("model", "tok", "chat"))}
result = {"rewards": rewards(model), "local": local, **pushed}
"""
LOAD = "model, _ = load_reward_model(repo, revision=revision); result = rewards(model)"


@pytest.fixture
def push(pusher, tmp_path):
    def run(repo: str, seed: int, max_retries: int = 5) -> dict:
        return pusher.run(PUSH, repo=repo, seed=seed, max_retries=max_retries, folder=str(tmp_path / str(seed)))

    return run


def check_complete(repository, pushed):
    """The newest commit has every file, byte for byte."""
    newest = repository.history()[0]
    assert newest.oid == pushed["commit"] and set(newest.files) == {".gitattributes", "README.md", *pushed["files"]}
    assert {name: newest.files[name].content.hex() for name in pushed["local"]} == pushed["local"]
    assert {name: len(newest.files[name].content) for name in pushed["files"]} == pushed["files"]


@pytest.mark.parametrize("status", [503, None], ids=["every third request fails", "every third connection drops"])
def test_ends_complete(push, loopback_hub, status):
    repo = f"tester/every-third-{status}"
    loopback_hub.fail_every(3, status)
    pushed = push(repo, seed=10)
    loopback_hub.heal()
    failed = [request for request in loopback_hub.requests if request[2] == (status or 0)]
    assert len(failed) == len(loopback_hub.requests) // 3 > 4
    check_complete(loopback_hub.model(repo), pushed)
    assert len(loopback_hub.model(repo).history()) == 2
    assert pushed["round_trip"]["max_difference"] < 1e-6


def test_breaks_midway_and_is_repeated(push, pusher, loopback_hub):
    repo = "tester/midway"
    old = push(repo, seed=11)
    loopback_hub.fail_after(0, only="POST .*/commit/main")
    with pytest.raises(ClientError, match="broke while committing.*503") as error:
        push(repo, seed=12, max_retries=1)
    assert error.value.type_name == "PushError"
    assert old["commit"] in str(error.value) and "Call again" in str(error.value) and TOKEN not in str(error.value)
    loopback_hub.heal()
    assert loopback_hub.model(repo).history()[0].oid == old["commit"]
    assert pusher.run(LOAD, repo=repo, revision=None) == pytest.approx(old["rewards"], abs=1e-6)

    loopback_hub.requests.clear()
    new = push(repo, seed=12)
    assert not [path for method, path, _ in loopback_hub.requests if method == "PUT"]  # the weights were there already
    check_complete(loopback_hub.model(repo), new)
    assert pusher.run(LOAD, repo=repo, revision=None) == pytest.approx(new["rewards"], abs=1e-6)
    assert pusher.run(LOAD, repo=repo, revision=old["commit"]) == pytest.approx(old["rewards"], abs=1e-6)
    assert new["rewards"] != pytest.approx(old["rewards"], abs=1e-3)


def test_a_quota_ends_the_upload_at_once(push, loopback_hub):
    old = push("tester/quota", seed=13)
    loopback_hub.fail_after(0, status=403, only="PUT /lfs/")
    loopback_hub.requests.clear()
    with pytest.raises(ClientError, match=rf"(?s)broke while uploading.*403.*at {old['commit']}"):
        push("tester/quota", seed=14)
    assert [status for method, _, status in loopback_hub.requests if method == "PUT"] == [403]
    assert loopback_hub.model("tester/quota").history()[0].oid == old["commit"]


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_lost_answer_makes_no_second_commit(push, loopback_hub, max_retries):
    repo = f"tester/lost-answer-{max_retries}"
    loopback_hub.fail_every(1, status=None, only="POST .*/commit/main", effect_first=True)
    pushed = push(repo, seed=15, max_retries=max_retries)
    assert len([path for method, path, _ in loopback_hub.requests if "/commit/" in path]) == max_retries + 1
    check_complete(loopback_hub.model(repo), pushed)
    assert len(loopback_hub.model(repo).history()) == 2


def test_pushing_the_same_again_makes_no_commit(push, loopback_hub):
    first = push("tester/again", seed=16)
    assert push("tester/again", seed=16)["commit"] == first["commit"]
    assert len(loopback_hub.model("tester/again").history()) == 2


def test_someone_elses_commit_is_not_overwritten(push, pusher, loopback_hub, tmp_path):
    push("tester/shared", seed=17)
    error = pusher.run(
        """
from trl_ext.hub import PushError
from trl_ext.hub.repository import Repository
from huggingface_hub import HfApi
mine = Repository.open("tester/shared")
HfApi().upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id="tester/shared")
folder = save(tiny_reward_model(tokenizer, seed=18), folder)
try:
    mine.commit(folder, ["config.json", "model.safetensors"], [], "mine")
except PushError as error:
    result = str(error)
""",
        folder=str(tmp_path / "mine"),
    )
    assert "Someone else changed it" in error
    newest = loopback_hub.model("tester/shared").history()[0]
    assert newest.files["theirs.txt"].content == b"theirs"


@pytest.mark.parametrize(
    ("token", "message"),
    [("hf_" + "x" * 34, "401.*not valid: set HF_TOKEN"), (None, "no access token")],
    ids=["a wrong token", "no token"],
)
def test_without_a_valid_token(pusher, loopback_hub, token, message):
    code = """
import os
kept = os.environ.pop("HF_TOKEN")
try:
    push_reward_model(tiny_reward_model(tokenizer), "tester/unauthorised", processing_class=tokenizer, token=token)
finally:
    os.environ["HF_TOKEN"] = kept
"""
    with pytest.raises(ClientError, match=message) as error:
        pusher.run(code, token=token)
    assert error.value.type_name == "PushError"
    assert not [status for _, _, status in loopback_hub.requests if status >= 500]
    assert ("models", "tester/unauthorised") not in loopback_hub.repositories


def test_only_what_may_pass_is_repeated():
    calls = []

    def refuse():
        calls.append(1)
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        with_retries(refuse, "asking", max_retries=5)
    assert len(calls) == 1


def test_large_files_are_stored_under_their_hash(loopback_hub):
    assert all(hashlib.sha256(content).hexdigest() == oid for oid, content in loopback_hub.large_files.items())
