"""RewardScorer: rewards of N responses per prompt, each distinct prefix computed once."""

import functools
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..shared_prefix import SharedPrefixReport, core_model
from .base import Scorer
from .batching import batch_maker, pad_token_id_of
from .encoders import make_encoder
from .groups import Group, windows
from .inference import scored_windows
from .loading import (
    ModelSource,
    code_fingerprint,
    config_fingerprint,
    has_own_code,
    load_tokenizer_of,
    prepare_model,
    tokenizer_fingerprint,
    weights_fingerprint,
)
from .padding import padding_problem
from .preparation import Preparation, prepared_windows
from .processes import process_state
from .reduction import as_reduction, check_reduction, stored_reduction
from .results import ScoredWindow
from .timing import Timing
from .uncertainty.scoring import ScoresUncertainty


logger = logging.getLogger(__name__)


class RewardScorer(ScoresUncertainty, Scorer):
    """
    Scores any number of responses per prompt with a reward model.

    Every distinct prefix of a window (2048 responses by default) is computed once: a prompt for all of its responses,
    what several prompts begin with, equal responses. Where a model can't do that exactly, sequences are padded, or only
    those of equal length batched if it is not exact with padding either; both are logged with the reason. Sequences are
    encoded as in training, or as in RewardBench, and the reward is read at the last token in float32.

    Under `accelerate launch`, windows are divided among the processes, and every process gets all rewards.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            Hub id or path of a sequence-classification model with one label (or several and a `reduction`, or trained with
            a `reward_head` of several) or of a PEFT adapter of one, `"bundled:smollm2-135m-instruct"`, or a model in memory, whose attention implementation and
            head are then prepared for scoring. A model by name is loaded at the first use, after the data is checked.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer. By default the one that lies with the model.
        max_length (`int`, *optional*):
            Largest number of tokens of a prompt with a response. By default there is no limit.
        max_length_policy (`str`, *optional*, defaults to `"error"`):
            What happens to longer ones: `"error"`; `"truncate_prompt_left"`, which removes the same number of tokens
            from the left of the prompt of all of its responses, after a BOS token; or, for each response with its
            prompt on its own, `"truncate_left"`, which keeps a BOS token and the last tokens, as RewardBench's run_rm and
            `--force_truncation` do, or `"truncate_right"`, which keeps the first, before those that the tokenizer adds at the
            end of texts, as its run_v2 does. `timing.truncated` counts them.
        encoding (`str`, *optional*, defaults to `"training"`):
            How sequences become tokens: `"training"`, or `"rewardbench"`, as that benchmark's programs do. There,
            messages are the user's and the assistant's in turn whatever their roles, a text is a message, everything is
            rendered with the chat template and tokenised with special tokens, of two BOS tokens one is dropped, a model
            whose tokenizer has no pad token is read at the last token that is not EOS, and responses may be empty.
        chat_template (`str`, *optional*):
            Chat template for a tokenizer without one: a name of [`~trl_ext.scoring.chat_templates.CHAT_TEMPLATES`], the
            path of a `.jinja` file, or a Jinja template.
        override_chat_template (`bool`, *optional*, defaults to `False`):
            Use `chat_template` even if the tokenizer has one of its own.
        reduction (`int`, `list[float]` or `str`, *optional*):
            What makes one reward of a model's several outputs: the index of one, a weight for each, or of the heads of an
            ensemble `"mean"`, `"worst"`, `"uncertainty:k"` (the mean minus k standard deviations over heads) or
            `"effective:b"` (−b log of the mean of exp(−r/b)). By default what the model's entry `reward_head` says: the
            mean of heads, or of a Gaussian reward.
        max_tokens_per_batch (`int`, *optional*):
            Tokens that the model computes at once. By default 4096 on the CPU, whose caches larger rows outgrow, and
            16384 elsewhere.
        shared_prefix (`bool`, *optional*, defaults to `True`):
            Compute each distinct prefix once, if the model can. `False` pads.
        dtype (`str` or `torch.dtype`, *optional*, defaults to `"float32"`):
            Precision of a model by name.
        attn_implementation (`str`, *optional*):
            Attention of a model by name; with shared prefixes it is `"shared_prefix"`.
        device (`str` or `torch.device`, *optional*):
            Device of a model by name. By default that of the process.
        adapter (`str`, *optional*):
            Hub id or path of a PEFT adapter on a model by name.
        revision (`str`, *optional*):
            Revision of a model by name.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Run code from the repository of a model by name. Its class must return rewards of shape `(B,)`, `(B, 1)`, or
            `(B, K)` with a `reduction`, as a tensor or in `logits`, `score` or `end_scores`. Sequences are padded.
        require_trained_head (`bool`, *optional*, defaults to `False`):
            Refuse a model by name with weights that its checkpoint lacks: a language model without reward head, or a head
            under another name. By default they are random, which is said.
        num_workers (`int`, *optional*):
            Processes that prepare windows in the background. By default 1 if there is more than one window, else 0.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Attributes:
        shared_prefix_report ([`~trl_ext.shared_prefix.SharedPrefixReport`] or `None`):
            Whether prefixes are shared and why not; `None` before a model by name is loaded.
        padding_problem (`str` or `None`):
            Why only sequences of equal length are batched where prefixes are not shared; `None` if they are padded.
        timing ([`Timing`]): Duration and amount of the last call.

    Example:
        ```python
        >>> from trl_ext import RewardScorer

        >>> scorer = RewardScorer("Skywork/Skywork-Reward-V2-Qwen3-0.6B", dtype="bfloat16")
        >>> rewards = scorer.score(
        ...     prompts=[[{"role": "user", "content": "What is the capital of France?"}]],
        ...     responses=[["Paris.", "Lyon."]],
        ... )
        >>> rewards[0].shape, rewards[0].dtype
        ((2,), dtype('float32'))
        ```
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        max_length: int | None = None,
        max_length_policy: str = "error",
        encoding: str = "training",
        chat_template: str | None = None,
        override_chat_template: bool = False,
        reduction: int | str | Sequence[float] | None = None,
        max_tokens_per_batch: int | None = None,
        shared_prefix: bool = True,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        device: str | torch.device | None = None,
        adapter: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        require_trained_head: bool = False,
        num_workers: int | None = None,
        progress: bool = True,
    ):
        if max_tokens_per_batch is not None and max_tokens_per_batch < 1:
            raise ValueError(f"`max_tokens_per_batch` must be at least 1, got {max_tokens_per_batch}")
        self.shared_prefix = shared_prefix
        self.num_workers = num_workers
        self.progress = progress
        self.shared_prefix_report: SharedPrefixReport | None = None
        self.padding_problem: str | None = None
        self.timing = Timing()
        self.encoding = encoding
        self.allow_empty_responses = encoding == "rewardbench"
        self.reduction = as_reduction(reduction)
        self._state = process_state()
        if isinstance(model, str):
            device = self._state.device if device is None else torch.device(device)
            self.source = ModelSource.find(
                model, adapter, revision, trust_remote_code, require_trained_head=require_trained_head
            )
            config = self.source.load_config(self.reduction)
            own_code = self.source.has_own_code(config)
            if not own_code:
                self.reduction = stored_reduction(config, self.reduction)
            self._load_model = functools.partial(
                self.source.load_model,
                config,
                "float32" if dtype is None else dtype,
                attn_implementation,
                device,
            )
        else:
            given = {"dtype": dtype, "attn_implementation": attn_implementation, "device": device, "adapter": adapter}
            for name, value in (given | {"revision": revision}).items():
                if value is not None:
                    raise ValueError(f"`{name}` applies to a model by name; this one is in memory already")
            self.source = None
            config = core_model(model).config
            own_code = has_own_code(core_model(model))
            if not own_code:
                self.reduction = stored_reduction(config, self.reduction)
                check_reduction(config.num_labels, self.reduction)
            self._load_model = lambda: model
            device = core_model(model).device
        if max_tokens_per_batch is None:
            max_tokens_per_batch = 4096 if device.type == "cpu" else 16384
        self.max_tokens_per_batch = max_tokens_per_batch
        if processing_class is None:
            processing_class = self.source.load_tokenizer() if self.source else load_tokenizer_of(core_model(model))
        self.processing_class = processing_class
        self.encoder = make_encoder(
            encoding,
            processing_class,
            config,
            reads_last_token=not own_code,
            max_length=max_length,
            policy=max_length_policy,
            chat_template=chat_template,
            override_chat_template=override_chat_template,
        )

    @functools.cached_property
    def model(self) -> torch.nn.Module:
        """The model, loaded and prepared when it is first needed."""
        model = self._load_model()
        self.shared_prefix_report = prepare_model(model, self.shared_prefix)
        if not self.shared_prefix_report.enabled:
            self.padding_problem = padding_problem(model, pad_token_id_of(self.processing_class), self.reduction)
            if self.padding_problem is not None:
                logger.warning(
                    "This model is not exact with padding, so that only sequences of equal length are computed together: %s.",
                    self.padding_problem,
                )
        return model

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Encode the first window; see [`Scorer.check_first_windows`]."""
        first = list(itertools.islice(windows(groups, window_size), 2))
        if first:
            self.encoder.encode(first[0])
        return int(len(first) > 1) if self.num_workers is None else self.num_workers

    def score_windows(
        self,
        groups: Callable[[], Iterable[Group]],
        *,
        window_size: int | None = None,
        num_workers: int | None = None,
        skip: int = 0,
        done: int = 0,
        total: int | None = None,
    ) -> Iterator[ScoredWindow]:
        """See [`Scorer.score_windows`]."""
        window_size = self.window_size if window_size is None else window_size
        if num_workers is None:
            num_workers = self.check_first_windows(groups(), window_size)
        model = self.model  # before the preparation, which asks whether prefixes are shared
        make_batches = batch_maker(
            self.shared_prefix_report.enabled,
            self.max_tokens_per_batch,
            self.processing_class,
            pad=self.padding_problem is None,
        )
        process, num_processes = self._state.process_index, self._state.num_processes
        preparation = Preparation(self.encoder, make_batches, window_size, skip, process, num_processes)
        self.timing = Timing(processes=num_processes)
        hidden = not (self.progress and self._state.is_main_process)
        with tqdm(initial=done, total=total, unit="prompt", desc="Scoring", disable=hidden) as bar:
            prepared = prepared_windows(preparation, groups, num_workers)
            for window in scored_windows(model, prepared, self.timing, self.reduction):
                bar.update(window.groups)
                bar.set_postfix_str(f"{self.timing.tokens_per_second:,.0f} tokens/s", refresh=False)
                yield window
        if self.timing.truncated:
            logger.warning(
                "%d responses were truncated to max_length=%d (max_length_policy='%s').",
                self.timing.truncated,
                self.encoder.max_length,
                self.encoder.policy,
            )

    def prepare(self) -> None:
        """Load the model."""
        self.model  # noqa: B018

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        core = core_model(self.model)
        template = self.encoder.rendered_with
        return {
            "model_class": type(core).__name__,
            "model_code_sha256": code_fingerprint(core),
            "model_config_sha256": config_fingerprint(self.model),
            "model_weights_sha256": weights_fingerprint(self.model),
            "tokenizer_sha256": tokenizer_fingerprint(self.processing_class),
            "chat_template_sha256": None if template is None else hashlib.sha256(str(template).encode()).hexdigest(),
            "encoding": self.encoding,
            "reduction": self.reduction,
            "dtype": str(core.dtype).removeprefix("torch."),
            "attention": core.config._attn_implementation,
            "shared_prefix": self.shared_prefix_report.enabled,
            "equal_lengths_only": self.padding_problem is not None,
            "max_length": self.encoder.max_length,
            "max_length_policy": self.encoder.policy,
            "max_tokens_per_batch": self.max_tokens_per_batch,
        }

    def provenance(self) -> dict[str, Any]:
        """See [`Scorer.provenance`]."""
        core, source = core_model(self.model), self.source
        return {
            "model": source.name if source else core.config._name_or_path,
            "revision": getattr(core.config, "_commit_hash", None),
            "adapter": source.adapter if source else None,
            "shared_prefix_report": self.shared_prefix_report.to_dict(),
            "padding_problem": self.padding_problem,
            "device": str(core.device),
            "threads": torch.get_num_threads(),
        }
