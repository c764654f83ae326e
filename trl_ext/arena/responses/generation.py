"""Responses of policy models to prompts: asked once, resumable, one file per model."""

import hashlib
import importlib.metadata
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic_files import write_text_atomically
from ...json_lines import as_lines
from ...privacy import hide_private
from .files import ON_FAILURE, check_unchanged, file_name, read_record, record_path, response_path
from .policy_model import PolicyModel
from .prompt_rows import check_prompt_rows


if TYPE_CHECKING:
    from ...completions import CompletionResult, CompletionRun, LocalBackend, OpenAIBackend, Prices, RetryPolicy


logger = logging.getLogger(__name__)

ANSWERS = "answers"  # folder of what the models said, in the folder of the responses
# Of a policy's settings, those that the answers don't depend on: they may be shared by policies that differ in these
_NOT_ASKED = ("name", "max_words", "api_key_env", "max_tokens_field")
# Changes of the client's side, after which the same responses would be made
_NOT_COMPARED = ("api_key_env", "max_tokens_field")


def policy_backend(
    policy: PolicyModel,
    *,
    batch_size: int = 16,
    device: str | None = None,
    trust_remote_code: bool = False,
    concurrency: int = 8,
    timeout: float = 600.0,
    retry: "RetryPolicy | None" = None,
) -> "LocalBackend | OpenAIBackend":
    """
    What answers for a policy; several policies of the same weights or server can share it.

    Args:
        policy ([`PolicyModel`]): The policy.
        batch_size (`int`, *optional*, defaults to `16`): Prompts that a local model answers at once.
        device (`str`, *optional*): Device of a local model. By default the GPU if there is one.
        trust_remote_code (`bool`, *optional*, defaults to `False`): Run code from a local model's repository.
        concurrency (`int`, *optional*, defaults to `8`): Requests to a server under way at once.
        timeout (`float`, *optional*, defaults to `600.0`): Seconds a server may take to answer.
        retry ([`~trl_ext.completions.RetryPolicy`], *optional*): How often and after what wait requests are repeated.

    Returns:
        [`~trl_ext.completions.LocalBackend`] or [`~trl_ext.completions.OpenAIBackend`]
    """
    from ...completions import LocalBackend, OpenAIBackend

    if policy.backend == "openai":
        return OpenAIBackend(
            policy.model,
            base_url=policy.base_url,
            api_key_env=policy.api_key_env,
            concurrency=concurrency,
            timeout=timeout,
            retry=retry,
            max_tokens_field=policy.max_tokens_field,
        )
    return LocalBackend(
        policy.model,
        revision=policy.revision,
        batch_size=batch_size,
        dtype=policy.dtype,
        device=device,
        trust_remote_code=trust_remote_code,
    )


def generate_responses(
    prompts: Sequence[Mapping[str, Any]],
    policy: PolicyModel,
    folder: str | Path,
    *,
    backend: "LocalBackend | OpenAIBackend | None" = None,
    on_failure: str = "error",
    parse_attempts: int = 3,
    max_failures: int | None = None,
    prices: "Prices | None" = None,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """
    Generate the responses of one policy to prompts: `<folder>/<model>.jsonl`, and `<model>.meta.json` beside it.

    Answers are stored as they arrive (in `<folder>/answers`), so that the same call continues after an interruption,
    however it came, without asking again. The file of responses appears when it is complete. Policies that are asked in
    the same way share their answers: one that is another one cut to `max_words` costs nothing.

    Args:
        prompts (`Sequence[Mapping]`):
            Rows with `id`, `prompt` (what the reward model will see) and perhaps `messages` (what the policy is asked, if
            it is not the prompt).
        policy ([`PolicyModel`]):
            Who is asked, and how.
        folder (`str` or `Path`):
            Where the files of all models are.
        backend ([`~trl_ext.completions.LocalBackend`] or [`~trl_ext.completions.OpenAIBackend`], *optional*):
            By default that of [`policy_backend`].
        on_failure (`str`, *optional*, defaults to `"error"`):
            What happens if prompts got no answer, or empty ones only: `"error"`, after all prompts were asked, or
            `"drop"`: their lines get `null` as response and the kind of `failure`, and [`read_responses`] can leave these
            prompts out for all models.
        parse_attempts (`int`, *optional*, defaults to `3`):
            Answers to ask for until one is not empty. A local model at temperature 0 is asked once.
        max_failures (`int`, *optional*):
            Stop when more prompts than this have failed.
        prices ([`~trl_ext.completions.Prices`], *optional*):
            For the cost in the ledger.
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace responses that were made with other settings or prompts. Stored answers are kept and used where they
            fit.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Returns:
        `dict`: What `<model>.meta.json` holds: settings, versions, hashes of prompts and chat template, counts (failures
        by kind, empty answers, answers cut at `max_tokens`), and the ledger of tokens.

    Raises:
        ValueError: A prompt is not as it must be, the file is there with other settings, belongs to another model or was
            not made here, or prompts got no answer.
        TooManyFailures: See [`~trl_ext.completions.complete_all`].
    """
    from ...completions import complete_all

    if on_failure not in ON_FAILURE:
        raise ValueError(f"`on_failure` must be one of {', '.join(ON_FAILURE)}, got {on_failure!r}")
    rows = check_prompt_rows(prompts)
    requests = [policy.request(row) for row in rows]
    path = response_path(folder, policy.name)
    before = _claim(path, policy.name, overwrite)
    if backend is None:
        backend = policy_backend(policy)
    settings = {
        **policy.settings(),
        "model_id": backend.model_id,
        "prompts_sha256": _hash([[row["id"], row["prompt"], row.get("messages")] for row in rows]),
        "template_sha256": _template_hash(backend),
    }
    recorded = json.loads(json.dumps(hide_private(settings)))
    if before is not None and before.get("finished") and path.is_file() and not overwrite:
        _check_settings(path, before["settings"], recorded)
        check_unchanged(path, before)
        if on_failure == "drop" or not before["counts"]["failures"]:
            return before
    asked = {name: value for name, value in settings.items() if name not in _NOT_ASKED}
    del asked["prompts_sha256"]
    store = Path(folder) / ANSWERS / f"{file_name(policy.model.rsplit('/', 1)[-1])}-{_hash(asked)[:12]}.jsonl"
    record = {"model": policy.name, "finished": False, "settings": recorded, "answers": f"{ANSWERS}/{store.name}"}
    # Before the first answer: the same call later finds what it began, and read_responses that it is not finished
    _write_record(path, record)
    run = complete_all(
        requests,
        backend,
        store,
        parse_attempts=parse_attempts,
        max_failures=max_failures,
        prices=prices,
        progress=progress,
        description=policy.name,
    )
    if run.failures and on_failure == "error":
        raise ValueError(_failed(policy, run, store))
    lines = [
        {"id": row["id"], "prompt": row["prompt"], **_response(result, policy), "model": policy.name}
        for row, result in zip(rows, run.results, strict=True)
    ]
    content = as_lines(lines)
    write_text_atomically(path, content)
    record |= {
        "finished": True,
        "counts": _counts(run, policy),
        "ledger": run.ledger.to_dict(),
        "this_run": run.to_dict()["this_run"],
        "versions": _versions(policy.backend),
        "responses_sha256": hashlib.sha256(content.encode()).hexdigest(),
    }
    _write_record(path, record)
    _tell(path, record)
    return read_record(path)


def _claim(path: Path, model: str, overwrite: bool) -> dict[str, Any] | None:
    """The record of what is there already, if it is of this model and made here."""
    record = read_record(path)
    if record is not None and record.get("model") != model:
        raise ValueError(
            f"{path} is the file of model {record.get('model')!r}, and would be that of {model!r}: rename one of the two"
        )
    if record is None and path.exists() and not overwrite:
        raise ValueError(
            f"{path} exists, but not the record {record_path(path).name} of how it was made. Give another folder, or "
            "replace it with overwrite=True."
        )
    return record


def _check_settings(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differences = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if name not in _NOT_COMPARED and before.get(name) != now.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} was made with other settings: {'; '.join(differences)}. Give the policy another name, or replace the "
            "file with overwrite=True."
        )


def _kind(result: "CompletionResult") -> str:
    """Why there is no response, in one word."""
    answer = result.failure.answer
    if answer is None:
        return result.failure.kind
    return "refusal" if answer.refusal else "empty"


def _response(result: "CompletionResult", policy: PolicyModel) -> dict[str, Any]:
    if result.failure is not None:
        return {"response": None, "failure": _kind(result)}
    return {"response": policy.cut(result.value)}


def _counts(run: "CompletionRun", policy: PolicyModel) -> dict[str, Any]:
    failures = Counter(_kind(result) for result in run.results if result.failure is not None)
    answered = [result for result in run.results if result.failure is None]
    return {
        "prompts": len(run.results),
        "responses": len(answered),
        "failures": dict(failures),
        "cut_at_max_tokens": sum(result.answer.finish_reason == "length" for result in answered),
        "cut_at_max_words": sum(policy.cut(result.value) != result.value for result in answered),
        "asked_again": sum(result.attempts > 1 for result in run.results),
    }


def _failed(policy: PolicyModel, run: "CompletionRun", store: Path) -> str:
    kinds = Counter(_kind(result) for result in run.results if result.failure is not None)
    first = next(result for result in run.results if result.failure is not None)
    return (
        f"model {policy.name!r} has no response to {kinds.total()} of {len(run.results)} prompts, by kind: {dict(kinds)}; "
        f"first: id {first.request.id!r}: {first.failure.message} The other answers are stored in {store}. Repeat the call "
        "to ask again what failed on the way, or set on_failure='drop' to go on without these prompts."
    )


def _tell(path: Path, record: Mapping[str, Any]) -> None:
    counts = record["counts"]
    logger.info("%s: %d responses, %d cut at max_tokens.", path, counts["responses"], counts["cut_at_max_tokens"])
    if counts["failures"]:
        logger.warning("%s: no response to some prompts, by kind: %s.", path, counts["failures"])


def _template_hash(backend: Any) -> str | None:
    template = getattr(getattr(backend, "tokenizer", None), "chat_template", None)
    return None if template is None else hashlib.sha256(str(template).encode()).hexdigest()


def _versions(backend: str) -> dict[str, str]:
    packages = ("openai",) if backend == "openai" else ("torch", "transformers")
    return {name: importlib.metadata.version(name) for name in ("trl_ext", *packages)}


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    write_text_atomically(record_path(path), json.dumps(hide_private(dict(record)), indent=2) + "\n")


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
