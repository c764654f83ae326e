"""
A small model hub on the loopback interface, for pushes and downloads with the real `huggingface_hub` client.

It keeps repositories as a history of atomic commits in memory, asks for a token where the real one does, and can be told
to fail. `with LoopbackHub() as hub:` starts it; `hub.environment()` is what a client process needs.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


TOKEN = "hf_loopbackLOOPBACKloopbackLOOPBACK00"
USER = "tester"
LARGE_FILES = re.compile(r"\.(safetensors|bin|pt|pth|parquet|arrow|gguf|model)$")
KINDS = {"models": "", "datasets": "datasets/"}


@dataclass(frozen=True)
class Blob:
    content: bytes
    lfs: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_oid(self) -> str:
        """What git calls the file; for large files that of their pointer, which names the SHA-256."""
        content = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def pointer(self) -> bytes:
        lines = (
            "version https://git-lfs.github.com/spec/v1",
            f"oid sha256:{self.sha256}",
            f"size {len(self.content)}",
        )
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid

    def describe(self, path: str) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.git_oid}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": len(self.pointer)}
        return entry


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Blob]
    date: str


@dataclass
class Repository:
    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def add(self, branch: str, title: str, files: dict[str, Blob]) -> Commit:
        parent = self.branches.get(branch)
        facts = [self.kind, self.name, parent, title, sorted((path, blob.etag) for path, blob in files.items())]
        oid = hashlib.sha1(json.dumps([*facts, len(self.commits)]).encode()).hexdigest()
        commit = Commit(oid, parent, title, files, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"))
        self.commits[oid] = commit
        self.branches[branch] = oid  # one assignment: a commit is there as a whole, or not at all
        return commit

    def find(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))

    def history(self, branch: str = "main") -> list[Commit]:
        """Commits of a branch, newest first."""
        commits, oid = [], self.branches.get(branch)
        while oid is not None:
            commits.append(self.commits[oid])
            oid = self.commits[oid].parent
        return commits


@dataclass
class _Faults:
    """Which requests fail: every n-th, or all from one on."""

    every: int | None = None
    status: int | None = 503
    after: int | None = None
    only: re.Pattern | None = None
    effect_first: bool = False
    count: int = 0

    def hits(self, line: str) -> bool:
        if self.only is not None and not self.only.search(line):
            return False
        self.count += 1
        return (self.every is not None and self.count % self.every == 0) or (
            self.after is not None and self.count > self.after
        )


class LoopbackHub:
    """
    The server with its state.

    Attributes:
        url (`str`): Address.
        repositories (`dict`): `("models" or "datasets", "namespace/name")` -> [`Repository`].
        large_files (`dict[str, bytes]`): Stored large files by SHA-256, committed or not.
        requests (`list[tuple]`): Method, path and answered status of every request; status 0 is a dropped connection.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, int]] = []
        self.private_by_default = False
        self._faults: _Faults | None = None
        self._lock = threading.Lock()

    # ---- For tests ----

    def model(self, name: str) -> Repository:
        return self.repositories["models", name]

    def dataset(self, name: str) -> Repository:
        return self.repositories["datasets", name]

    def fail_every(
        self, n: int, status: int | None = 503, only: str | None = None, effect_first: bool = False
    ) -> None:
        """
        Let every n-th request fail with `status`, or with a dropped connection if that is `None`, before its effect.

        `only` is a pattern of `METHOD path`; other requests don't count. With `effect_first`, the answer is lost after
        the request has had its effect.
        """
        self._faults = _Faults(n, status, None, re.compile(only) if only else None, effect_first)

    def fail_after(self, count: int, status: int | None = 503, only: str | None = None) -> None:
        """Let everything fail after `count` further requests, until [`LoopbackHub.heal`]."""
        self._faults = _Faults(None, status, count, re.compile(only) if only else None)

    def heal(self) -> None:
        self._faults = None

    def environment(self, cache: os.PathLike | str, token: str | None = TOKEN) -> dict[str, str]:
        """Environment of a client process; `cache` is its own, so that what it loads comes from the server."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        client = {"HF_ENDPOINT": self.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        return inherited | client | {"HF_HUB_DISABLE_TELEMETRY": "1"} | ({"HF_TOKEN": token} if token else {})

    # ---- Life ----

    def __enter__(self) -> "LoopbackHub":
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(_Gate(self), log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the hub did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *exception) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)


class _Gate:
    """Logs requests and makes them fail as told, then hands them to the routes."""

    def __init__(self, hub: LoopbackHub) -> None:
        self.hub = hub
        self.routes = _routes(hub)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        # Routes see the path as it was sent, so that an escaped slash in a revision stays one part of it
        scope["path"] = scope["raw_path"].decode().split("?")[0]
        method, path = scope["method"], scope["path"]
        faults = self.hub._faults
        with self.hub._lock:
            fails = faults is not None and faults.hits(f"{method} {path}")
        if not fails:
            answered = send

            async def send(message):
                if message["type"] == "http.response.start":
                    self.hub.requests.append((method, path, message["status"]))
                await answered(message)

            await self.routes(scope, receive, send)
            return
        if faults.effect_first:
            await self.routes(scope, receive, _swallow)
        self.hub.requests.append((method, path, faults.status or 0))
        if faults.status is None:
            connection = send.__self__  # uvicorn's; ASGI has no way to end a connection without an answer
            connection.transport.abort()
            while not connection.disconnected:
                await asyncio.sleep(0)
            return
        await JSONResponse({"error": "told to fail"}, faults.status)(scope, receive, send)


async def _swallow(message) -> None:
    pass


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.response = JSONResponse({"error": message}, status)
        self.response.headers["X-Error-Message"] = message
        if code is not None:
            self.response.headers["X-Error-Code"] = code


def _routes(hub: LoopbackHub) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(_Refusal)
    async def refuse(request: Request, refusal: _Refusal) -> Response:
        return refusal.response

    def has_token(request: Request) -> bool:
        given = request.headers.get("authorization")
        if given is not None and given != f"Bearer {TOKEN}":
            raise _Refusal(401, "Invalid credentials in Authorization header")
        return given is not None

    def readable(request: Request, kind: str, name: str) -> Repository:
        repository = hub.repositories.get((kind, name))
        allowed = has_token(request)
        if repository is None or (repository.private and not allowed):
            # As on the real hub, a stranger can't tell a private repository from none
            raise _Refusal(404 if allowed else 401, "Repository not found", "RepoNotFound")
        return repository

    def writable(request: Request, kind: str, name: str) -> Repository:
        if not has_token(request):
            raise _Refusal(401, "Invalid username or password.")
        return readable(request, kind, name)

    def at(repository: Repository, revision: str) -> Commit:
        commit = repository.find(unquote(revision))
        if commit is None:
            raise _Refusal(404, f"Invalid rev id: {unquote(revision)}", "RevisionNotFound")
        return commit

    # ---- Accounts and repositories ----

    @app.get("/api/whoami-v2")
    async def whoami(request: Request):
        if not has_token(request):
            raise _Refusal(401, "Invalid username or password.")
        return {"type": "user", "name": USER, "orgs": [], "auth": {"accessToken": {"role": "write"}}}

    @app.post("/api/validate-yaml")
    async def validate_yaml(request: Request):
        content = (await request.json())["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no metadata block"}]
        return {"errors": [], "warnings": errors}

    @app.post("/api/repos/create")
    async def create(request: Request):
        if not has_token(request):
            raise _Refusal(401, "Invalid username or password.")
        body = await request.json()
        kind = f"{body.get('type') or 'model'}s"
        name = f"{body.get('organization') or USER}/{body['name']}"
        url = f"{hub.url}/{KINDS[kind]}{name}"
        if not name.startswith(f"{USER}/"):
            raise _Refusal(403, "You don't have the rights to create a repository under this namespace")
        if (kind, name) in hub.repositories:
            return JSONResponse({"error": "You already created this repo", "url": url, "name": name}, 409)
        visibility = body.get("visibility")
        private = hub.private_by_default if visibility is None else visibility == "private"
        repository = Repository(kind, name, private)
        repository.add("main", "initial commit", {".gitattributes": Blob(b"*.safetensors filter=lfs\n")})
        hub.repositories[kind, name] = repository
        return {"url": url, "name": name, "id": name}

    @app.post("/api/{kind}/{owner}/{name}/branch/{branch}")
    async def branch(request: Request, kind: str, owner: str, name: str, branch: str):
        repository = writable(request, kind, f"{owner}/{name}")
        if unquote(branch) in repository.branches:
            raise _Refusal(409, "Reference already exists")
        start = (await request.json()).get("startingPoint", "main") if await request.body() else "main"
        repository.branches[unquote(branch)] = at(repository, start).oid
        return {}

    # ---- Upload ----

    @app.post("/api/{kind}/{owner}/{name}/preupload/{revision}")
    async def preupload(request: Request, kind: str, owner: str, name: str, revision: str):
        files = at(writable(request, kind, f"{owner}/{name}"), revision).files
        answer = []
        for entry in (await request.json())["files"]:
            large = bool(LARGE_FILES.search(entry["path"])) or entry["size"] > 10_000_000
            row = {"path": entry["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            there = files.get(entry["path"])
            answer.append(row | ({} if there is None else {"oid": there.etag}))
        return {"files": answer}

    @app.post("/{owner}/{name}.git/info/lfs/objects/batch")
    async def model_batch(request: Request, owner: str, name: str):
        return await batch(request, "models", f"{owner}/{name}")

    @app.post("/datasets/{owner}/{name}.git/info/lfs/objects/batch")
    async def dataset_batch(request: Request, owner: str, name: str):
        return await batch(request, "datasets", f"{owner}/{name}")

    async def batch(request: Request, kind: str, name: str) -> Response:
        writable(request, kind, name)
        objects = []
        for item in (await request.json())["objects"]:
            row = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in hub.large_files:
                actions = {"upload": "lfs", "verify": "lfs-verify"}
                row["actions"] = {do: {"href": f"{hub.url}/{at}/{item['oid']}"} for do, at in actions.items()}
            objects.append(row)
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    @app.put("/lfs/{oid}")
    async def upload(request: Request, oid: str):
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            raise _Refusal(400, "the content does not have the announced SHA-256")
        hub.large_files[oid] = content
        return Response()

    @app.post("/lfs-verify/{oid}")
    async def verify(request: Request, oid: str):
        size = (await request.json())["size"]
        if len(hub.large_files.get(oid, b"")) != size:
            raise _Refusal(404, "this large file was not uploaded")
        return Response()

    @app.post("/api/{kind}/{owner}/{name}/commit/{revision}")
    async def commit(request: Request, kind: str, owner: str, name: str, revision: str):
        repository = writable(request, kind, f"{owner}/{name}")
        parent = at(repository, revision)
        files = dict(parent.files)
        title = ""
        for line in (await request.body()).splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, parent.oid):
                    raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                if value["oid"] not in hub.large_files:
                    raise _Refusal(400, f"large file {value['path']} was not uploaded")
                files[value["path"]] = Blob(hub.large_files[value["oid"]], lfs=True)
            elif key == "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise _Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
            elif key == "deletedFolder":
                files = {path: blob for path, blob in files.items() if not path.startswith(value["path"].rstrip("/"))}
            else:
                raise _Refusal(400, f"unknown operation {key!r}")
        made = repository.add(unquote(revision), title, files)
        url = f"{hub.url}/{KINDS[kind]}{repository.name}/commit/{made.oid}"
        return {"success": True, "commitOid": made.oid, "commitUrl": url}

    # ---- Reading ----

    @app.get("/api/{kind}/{owner}/{name}")
    @app.get("/api/{kind}/{owner}/{name}/revision/{revision}")
    async def info(request: Request, kind: str, owner: str, name: str, revision: str = "main"):
        repository = readable(request, kind, f"{owner}/{name}")
        commit = at(repository, revision)
        return {
            **{"_id": repository.name, "id": repository.name, "modelId": repository.name, "sha": commit.oid},
            **{"private": repository.private, "gated": False, "disabled": False, "tags": [], "downloads": 0},
            **{"likes": 0, "lastModified": commit.date, "createdAt": commit.date, "author": owner},
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }

    @app.get("/api/{kind}/{owner}/{name}/commits/{revision}")
    async def commits(request: Request, kind: str, owner: str, name: str, revision: str):
        repository = readable(request, kind, f"{owner}/{name}")
        at(repository, revision)
        return [
            {"id": commit.oid, "title": commit.title, "message": "", "date": commit.date, "authors": [{"user": USER}]}
            for commit in repository.history(unquote(revision))
        ]

    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}")
    @app.get("/api/{kind}/{owner}/{name}/tree/{revision}/{folder:path}")
    async def tree(request: Request, kind: str, owner: str, name: str, revision: str, folder: str = ""):
        files = at(readable(request, kind, f"{owner}/{name}"), revision).files
        start = f"{unquote(folder).strip('/')}/" if folder.strip("/") else ""
        recursive = request.query_params.get("recursive", "").lower() in ("1", "true")
        entries = {}
        for path, blob in sorted(files.items()):
            if not path.startswith(start):
                continue
            parts = path.removeprefix(start).split("/")
            for depth in range(1, len(parts)):
                entries.update(_folder(start + "/".join(parts[:depth])) if recursive or depth == 1 else {})
            if recursive or len(parts) == 1:
                entries[path] = blob.describe(path)
        if start and not entries:
            raise _Refusal(404, f"{folder} does not exist", "EntryNotFound")
        return list(entries.values())

    def _folder(path: str) -> dict[str, dict]:
        return {path: {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}}

    @app.post("/api/{kind}/{owner}/{name}/paths-info/{revision}")
    async def paths_info(request: Request, kind: str, owner: str, name: str, revision: str):
        files = at(readable(request, kind, f"{owner}/{name}"), revision).files
        body = (await request.body()).decode()
        is_json = request.headers.get("content-type", "").startswith("application/json")
        paths = json.loads(body)["paths"] if is_json else parse_qs(body).get("paths", [])
        answer = [files[path].describe(path) for path in paths if path in files]
        folders = [path for path in paths if any(name.startswith(f"{path}/") for name in files)]
        return answer + [entry for path in folders for entry in _folder(path).values()]

    @app.api_route("/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    async def resolve_model(request: Request, owner: str, name: str, revision: str, path: str):
        return resolve(request, "models", f"{owner}/{name}", revision, unquote(path))

    @app.api_route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
    async def resolve_dataset(request: Request, owner: str, name: str, revision: str, path: str):
        return resolve(request, "datasets", f"{owner}/{name}", revision, unquote(path))

    def resolve(request: Request, kind: str, name: str, revision: str, path: str) -> Response:
        commit = at(readable(request, kind, name), revision)
        blob = commit.files.get(path)
        if blob is None:
            refusal = _Refusal(404, "Entry not found", "EntryNotFound")
            refusal.response.headers["X-Repo-Commit"] = commit.oid
            raise refusal
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
        content, status = blob.content, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if asked and (asked[1] or asked[2]):
            total = len(content)
            first = int(asked[1]) if asked[1] else max(total - int(asked[2]), 0)
            last = min(int(asked[2]), total - 1) if asked[1] and asked[2] else total - 1
            if first >= total or last < first:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{total}"})
            content, status = content[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{total}"
        return Response(content, status, headers=headers, media_type="application/octet-stream")

    return app
