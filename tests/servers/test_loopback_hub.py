"""The loopback hub refuses what the real one refuses; without that, tests over it would prove little."""

import hashlib
import json

import httpx2
import pytest

from tests.servers.hub import TOKEN, LoopbackHub


@pytest.fixture
def hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def owner(hub):
    with httpx2.Client(base_url=hub.url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        client.post("/api/repos/create", json={"name": "m", "visibility": "private"})
        yield client


def commit(client, *operations, parent=None):
    lines = [{"key": "header", "value": {"summary": "s"} | ({"parentCommit": parent} if parent else {})}, *operations]
    return client.post("/api/models/tester/m/commit/main", content="\n".join(json.dumps(line) for line in lines))


FILE = {"key": "file", "value": {"path": "a.txt", "content": "aGVsbG8gd29ybGQ=", "encoding": "base64"}}


def test_strangers_neither_write_nor_see(hub, owner):
    with httpx2.Client(base_url=hub.url) as stranger:
        assert stranger.post("/api/repos/create", json={"name": "x"}).status_code == 401
        assert commit(stranger, FILE).status_code == 401
        answer = stranger.get("/api/models/tester/m")
        assert answer.status_code == 401 and answer.headers["X-Error-Code"] == "RepoNotFound"
    assert len(hub.model("tester/m").history()) == 1


def test_a_commit_happens_as_a_whole_or_not_at_all(hub, owner):
    large = {"key": "lfsFile", "value": {"path": "w.safetensors", "algo": "sha256", "oid": "0" * 64, "size": 3}}
    assert commit(owner, FILE, large).status_code == 400
    assert len(hub.model("tester/m").history()) == 1
    content = b"abc"
    large["value"]["oid"] = hashlib.sha256(content).hexdigest()
    assert owner.put(f"/lfs/{'0' * 64}", content=content).status_code == 400
    assert owner.put(f"/lfs/{large['value']['oid']}", content=content).status_code == 200
    assert commit(owner, FILE, large).status_code == 200
    assert set(hub.model("tester/m").history()[0].files) == {".gitattributes", "a.txt", "w.safetensors"}


def test_conflicts(hub, owner):
    first = hub.model("tester/m").history()[0].oid
    assert owner.post("/api/repos/create", json={"name": "m"}).status_code == 409
    assert commit(owner, FILE, parent=first).status_code == 200
    assert commit(owner, FILE, parent=first).status_code == 412


@pytest.mark.parametrize(
    ("path", "code"),
    [("resolve/main/none", "EntryNotFound"), ("resolve/v9/a.txt", "RevisionNotFound")],
)
def test_says_what_is_missing(owner, path, code):
    answer = owner.head(f"/tester/m/{path}")
    assert answer.status_code == 404 and answer.headers["X-Error-Code"] == code


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        (None, 200, b"hello world"),
        ("bytes=0-4", 206, b"hello"),
        ("bytes=6-", 206, b"world"),
        ("bytes=-3", 206, b"rld"),
        ("bytes=99-", 416, b""),
    ],
)
def test_ranges(owner, asked, status, content):
    commit(owner, FILE)
    answer = owner.get("/tester/m/resolve/main/a.txt", headers={"Range": asked} if asked else {})
    assert (answer.status_code, answer.content) == (status, content)
    git_oid = hashlib.sha1(b"blob 11\0hello world").hexdigest()
    assert status == 416 or answer.headers["ETag"] == f'"{git_oid}"'


def test_fails_as_told(hub, owner):
    hub.requests.clear()
    hub.fail_every(2)
    assert [owner.get("/api/whoami-v2").status_code for _ in range(4)] == [200, 503, 200, 503]
    hub.fail_after(1, status=None)
    assert owner.get("/api/whoami-v2").status_code == 200
    with pytest.raises(httpx2.TransportError):
        owner.get("/api/whoami-v2")
    hub.heal()
    assert owner.get("/api/whoami-v2").status_code == 200
    assert [status for _, _, status in hub.requests] == [200, 503, 200, 503, 200, 0, 200]
