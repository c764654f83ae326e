"""Answers from a Hugging Face model in this process."""

import hashlib
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from ..data.bundled import portable_name, resolve_model
from .answers import Answer, Failure, Job, Outcome
from .requests import Sampling
from .seeded_sampling import FormFilling, form_tokens, seeded_sampling


logger = logging.getLogger(__name__)


class LocalBackend:
    """
    A causal language model with a chat template, run here in batches.

    Answers depend on the model, the messages and the seed, not on what else is in the batch (up to rounding: padding may
    turn a tie of two tokens).

    Args:
        model (`str`):
            Hub id, local path, or `bundled:smollm2-135m-instruct`. Weights from safetensors only.
        revision (`str`, *optional*):
            Revision on the Hub.
        batch_size (`int`, *optional*, defaults to `8`):
            Questions answered at once.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Precision of the weights.
        device (`str` or `torch.device`, *optional*):
            By default the GPU if there is one.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Run code from the model's repository.

    Raises:
        `ValueError`: The model's tokenizer has no chat template, or the device is not there.
    """

    prompt_rule = "prompts: counted with the model's tokenizer and chat template"

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        batch_size: int = 8,
        dtype: str = "auto",
        device: str | torch.device | None = None,
        trust_remote_code: bool = False,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.path = resolve_model(model)
        self.batch_size = batch_size
        self.dtype = dtype
        self.device = _checked_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._source: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
        self.tokenizer = AutoTokenizer.from_pretrained(self.path, padding_side="left", **self._source)
        if self.tokenizer.chat_template is None:
            raise ValueError(
                f"{model} has no chat template, so it can't be asked: give a model tuned for conversations"
            )
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token  # masked, so that any will do
        self.config = AutoConfig.from_pretrained(self.path, **self._source)
        self.model_id = f"{portable_name(model)}@{self._fingerprint()}"

    @cached_property
    def model(self) -> Any:
        """The model, loaded when it is first asked."""
        model = AutoModelForCausalLM.from_pretrained(self.path, dtype=self.dtype, use_safetensors=True, **self._source)
        # Its own generation settings (penalties, top_k) would be mixed into those that are asked for
        model.generation_config = GenerationConfig(
            eos_token_id=model.generation_config.eos_token_id or self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            bos_token_id=model.generation_config.bos_token_id,
        )
        return model.to(self.device).eval()

    def is_deterministic(self, sampling: Sampling) -> bool:
        """Whether a repeated request gets the same answer for certain."""
        return sampling.temperature == 0

    def check(self, sampling: Sampling) -> None:
        """Raise a `ValueError` if this backend can't draw answers so."""
        if sampling.extra:
            raise ValueError(f"a local model knows no further sampling fields, got extra={dict(sampling.extra)!r}")
        if sampling.form is not None:
            form_tokens(sampling.form, self.tokenizer)
        elif sampling.max_tokens is None:
            raise ValueError("a local model needs max_tokens: nothing else ends an answer for certain")
        if sampling.temperature != 0 and sampling.seed is None:
            raise ValueError("a local model needs a seed to sample; set temperature=0 for the most likely tokens")

    def count_prompt_tokens(self, messages: Sequence[Mapping[str, str]]) -> int:
        """Tokens of a conversation with the model's chat template."""
        return len(self._encode(messages))

    def run(self, next_job: Callable[[], Job | None], finished: Callable[[Outcome], None]) -> None:
        """Take jobs until there are none, and report each as it ends."""
        while batch := list(itertools.takewhile(_is_job, (next_job() for _ in range(self.batch_size)))):
            answerable = []
            for job in batch:
                ids = self._encode(job.request.messages)
                problem = self._length_problem(len(ids), self._longest_answer(job.request.sampling))
                if problem is None:
                    answerable.append((job, ids))
                else:
                    finished(Outcome(job, Failure("context_length", problem)))
            # One call samples in one way; requests of one list usually share it
            answerable.sort(key=lambda pair: repr(pair[0].request.sampling))
            for _, group in itertools.groupby(answerable, key=lambda pair: pair[0].request.sampling):
                for outcome in self._generate(list(group)):
                    finished(outcome)

    @torch.no_grad()
    def _generate(self, jobs: list[tuple[Job, list[int]]]) -> list[Outcome]:
        sampling = jobs[0][0].request.sampling
        inputs = self.tokenizer.pad({"input_ids": [ids for _, ids in jobs]}, return_tensors="pt").to(self.device)
        prompt_length = inputs["input_ids"].shape[1]
        processors = seeded_sampling(sampling, [job.seed for job, _ in jobs])
        if sampling.form is not None:
            processors.insert(0, FormFilling(form_tokens(sampling.form, self.tokenizer), prompt_length))
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=self._longest_answer(sampling),
            do_sample=False,
            logits_processor=processors,
        )[:, prompt_length:]
        return [
            Outcome(job, self._answer(row.tolist(), len(ids), sampling))
            for (job, ids), row in zip(jobs, tokens, strict=True)
        ]

    def _longest_answer(self, sampling: Sampling) -> int:
        return sampling.max_tokens if sampling.form is None else len(form_tokens(sampling.form, self.tokenizer))

    def _answer(self, tokens: list[int], prompt_tokens: int, sampling: Sampling) -> Answer:
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        length = next((i for i, token in enumerate(tokens) if token in ends), None)
        return Answer(
            text=self.tokenizer.decode(tokens[:length], skip_special_tokens=True).strip(),
            finish_reason="length" if length is None and sampling.form is None else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(tokens) if length is None else length + 1,
        )

    def _encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        text = self.tokenizer.apply_chat_template(
            [dict(message) for message in messages], add_generation_prompt=True, tokenize=False
        )
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]  # the template has them

    def _length_problem(self, prompt_tokens: int, max_tokens: int) -> str | None:
        room = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        if room is None or prompt_tokens + max_tokens <= room:
            return None
        return f"{prompt_tokens} tokens of the question and {max_tokens} of the answer exceed the model's {room}"

    def _fingerprint(self) -> str:
        """What tells this model from another of the same name: its commit on the Hub, or a hash of its local files."""
        if not Path(self.path).is_dir():
            return self.config._commit_hash or self._source["revision"]
        digest = hashlib.sha256()
        for file in sorted(Path(self.path).iterdir()):
            if file.suffix in (".safetensors", ".json", ".jinja"):
                digest.update(file.name.encode())
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:16]


def _checked_device(device: str | torch.device) -> torch.device:
    """The device, if tensors can be put there."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"device {str(device)!r} can't be used here: {reason}") from error
    return found


def _is_job(job: Job | None) -> bool:
    return job is not None
