"""The model hub: whether it is asked at all, whether it answers, and whether a token is accepted."""

import os
from typing import Any

from .finding import MISSING, OK, UNKNOWN, Finding, run_checks


TIMEOUT = 5.0
_LOGIN = "hf auth login, or export HF_TOKEN=... (https://huggingface.co/settings/tokens)"
_WRITE = "a token that may write (https://huggingface.co/settings/tokens), then hf auth login, or export HF_TOKEN=..."
_NO_TOKEN = Finding("token", MISSING, "none: public models can be read, nothing pushed", _LOGIN)
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def check_hub(deep: bool) -> list[Finding]:
    """Offline flags, the address, the token."""
    return run_checks(_offline, _hub)


def _offline() -> Finding:
    set_ones = [name for name in _OFFLINE if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")]
    if set_ones:
        shown = ", ".join(f"{name}={os.environ[name]}" for name in set_ones)
        return Finding(
            "offline flags", MISSING, f"{shown}: nothing is downloaded or pushed", f"unset {' '.join(set_ones)}"
        )
    return Finding("offline flags", OK, "none is set")


def _hub() -> list[Finding]:
    from huggingface_hub import constants, get_token

    token, where = get_token(), _where()
    unasked = Finding("token", UNKNOWN, f"{where}: the hub was not reached", "see hub") if token else _NO_TOKEN
    address = constants.ENDPOINT + (" (HF_ENDPOINT)" if os.environ.get("HF_ENDPOINT") else "")
    if constants.is_offline_mode() if hasattr(constants, "is_offline_mode") else constants.HF_HUB_OFFLINE:
        return [Finding("hub", MISSING, f"{address}: not asked, as offline", "see offline flags"), unasked]
    status, answer = _whoami(constants.ENDPOINT, token)
    if status is None:
        fix = "check the network, HTTPS_PROXY and HF_ENDPOINT; without a hub, models of a path and bundled ones work"
        return [Finding("hub", MISSING, f"{address} does not answer: {answer}", fix), unasked]
    if status >= 500 or status == 429:
        return [Finding("hub", MISSING, f"{address} answers with {status}", "try again later"), unasked]
    if status not in (200, 401, 403) or (status == 200 and not isinstance(answer, dict)):
        detail = f"{address} answers with {status}, but not as a model hub: a wrong address, or a network that asks for a login"
        fix = "unset HF_ENDPOINT, or set it to a hub" if os.environ.get("HF_ENDPOINT") else "log in to the network"
        return [Finding("hub", MISSING, detail, fix), unasked]
    reached = Finding("hub", OK, f"{address} answers")
    if not token:
        return [reached, _NO_TOKEN]
    if status == 200:
        return [reached, _judge_token(where, answer)]
    return [reached, Finding("token", MISSING, f"{where}: the hub refuses it ({status})", _LOGIN)]


def _judge_token(where: str, answer: dict[str, Any]) -> Finding:
    """Whether a token that the hub knows is enough to push."""
    access = (answer.get("auth") or {}).get("accessToken") or {}
    role, user = access.get("role"), f"{where}: user {answer.get('name')}"
    if role == "fineGrained":
        scopes = (access.get("fineGrained") or {}).get("scoped") or []
        granted = {right for scope in scopes for right in scope.get("permissions") or []}
        if "repo.write" in granted:
            return Finding("token", OK, f"{user}, may write to the repositories that it names")
        if granted:
            role = "read"
    if role == "read":
        return Finding("token", MISSING, f"{user}, may read only: downloads, nothing pushed", _WRITE)
    if role == "write":
        return Finding("token", OK, f"{user}, may write")
    return Finding("token", OK, f"{user}; the hub does not say whether it may write")


def _where() -> str:
    name = next((name for name in _VARIABLES if os.environ.get(name)), None)
    return f"in the environment ({name})" if name else "saved by hf auth login"


def _whoami(address: str, token: str | None) -> tuple[int | None, Any]:
    """Status and the answer, `None` if that is no JSON; without an answer, `None` and the kind of error."""
    from huggingface_hub.utils import build_hf_headers, get_session

    try:
        answer = get_session().get(
            f"{address}/api/whoami-v2", headers=build_hf_headers(token=token or False), timeout=TIMEOUT
        )
    except Exception as error:  # of the HTTP client, which differs between versions
        return None, type(error).__name__
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return answer.status_code, None
