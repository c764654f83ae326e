"""The model hub: whether it is asked at all, whether it answers, and whether a token is accepted."""

import os

from .finding import MISSING, OK, Finding, run_checks


TIMEOUT = 5.0
_LOGIN = "hf auth login, or export HF_TOKEN=... (https://huggingface.co/settings/tokens)"
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
    address = constants.ENDPOINT + (" (HF_ENDPOINT)" if os.environ.get("HF_ENDPOINT") else "")
    found = (
        Finding("token", OK, where)
        if token
        else Finding("token", MISSING, "none: public models can be read, nothing pushed", _LOGIN)
    )
    if constants.is_offline_mode() if hasattr(constants, "is_offline_mode") else constants.HF_HUB_OFFLINE:
        return [Finding("hub", MISSING, f"{address}: not asked, as offline", "see offline flags"), found]
    status, answer = _whoami(constants.ENDPOINT, token)
    if status is None:
        fix = "check the network, HTTPS_PROXY and HF_ENDPOINT; without a hub, models of a path and bundled ones work"
        return [Finding("hub", MISSING, f"{address} does not answer: {answer}", fix), found]
    reached = Finding("hub", OK, f"{address} answers")
    if not token:
        return [reached, found]
    if status == 200:
        return [reached, Finding("token", OK, f"{where}: {answer}")]
    if status in (401, 403):
        return [reached, Finding("token", MISSING, f"{where}: the hub refuses it ({status})", _LOGIN)]
    return [Finding("hub", MISSING, f"{address} answers with {status}", "try again later"), found]


def _where() -> str:
    name = next((name for name in _VARIABLES if os.environ.get(name)), None)
    return f"in the environment ({name})" if name else "saved by hf auth login"


def _whoami(address: str, token: str | None) -> tuple[int | None, str]:
    """Status and who the token is of; without an answer, `None` and the kind of error."""
    from huggingface_hub.utils import build_hf_headers, get_session

    try:
        answer = get_session().get(
            f"{address}/api/whoami-v2", headers=build_hf_headers(token=token or False), timeout=TIMEOUT
        )
        if answer.status_code != 200:
            return answer.status_code, ""
        content = answer.json()
        role = ((content.get("auth") or {}).get("accessToken") or {}).get("role")
        return 200, f"user {content.get('name')}" + (f", may {role}" if role else "")
    except Exception as error:  # of the HTTP client, which differs between versions
        return None, type(error).__name__
