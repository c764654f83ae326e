"""What a policy model is and how it is asked: the settings that make its responses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .prompt_rows import asked_messages


if TYPE_CHECKING:
    from ...completions import CompletionRequest, Sampling


BACKENDS = ("local", "openai")
PROMPT = "{prompt}"
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("revision", "dtype", "system_prompt", "prompt_format", "base_url", "api_key_env"), (str,)),
    **dict.fromkeys(("temperature", "top_p"), (float, int)),
    **dict.fromkeys(("max_tokens", "seed", "max_words"), (int,)),
    "extra": (Mapping,),
}


@dataclass(frozen=True)
class PolicyModel:
    """
    A model whose responses a reward model is to score, and how it is asked.

    Two policies may be the same weights asked in different ways (system prompt, temperature, length): what the reward
    model sees is the same prompt with either response.

    Args:
        name (`str`):
            Name in all tables, as in the leaderboard (or one of its aliases).
        model (`str`):
            With the backend `"local"` a Hub id, a path or `bundled:smollm2-135m-instruct`; else its name at the server.
        backend (`str`, *optional*, defaults to `"local"`):
            `"local"` runs it in this process; `"openai"` asks an OpenAI-compatible server, such as vLLM's.
        revision (`str`, *optional*):
            Revision of a local model on the Hub.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Precision of the weights of a local model.
        system_prompt (`str`, *optional*):
            Put in front of every conversation. The reward model does not see it.
        prompt_format (`str`, *optional*, defaults to `"{prompt}"`):
            What the last message of the user becomes, e.g. `"{prompt} Answer in one short sentence."`. The reward model
            sees the prompt as it is.
        temperature (`float`, *optional*, defaults to `0.7`):
            0 takes the most likely token.
        top_p (`float`, *optional*):
            Probability mass in (0, 1] that tokens are drawn from. By default all.
        max_tokens (`int`, *optional*, defaults to `512`):
            Longest answer in tokens. Longer ones are cut, and counted.
        seed (`int`, *optional*, defaults to `0`):
            Every prompt gets a seed of its own that is derived from it.
        max_words (`int`, *optional*):
            Keep that many words of every answer: a policy that is another one, cut short. The two share their answers, so
            that nothing is asked twice.
        base_url (`str`, *optional*):
            Address of the server, e.g. `http://localhost:8000/v1`. By default that of the `openai` package.
        api_key_env (`str`, *optional*, defaults to `"OPENAI_API_KEY"`):
            Environment variable with the key of the server; `None` for one without keys. The key is never recorded.
        max_tokens_field (`str`, *optional*, defaults to `"max_tokens"`):
            What the server calls the longest answer; OpenAI's reasoning models want `"max_completion_tokens"`.
        extra (`Mapping`, *optional*):
            Further fields of the request as the server knows them. Plain JSON types.

    Raises:
        ValueError: A value is out of its range, or does not go with the backend.

    Example:
        ```python
        >>> from trl_ext.arena import PolicyModel
        >>> terse = PolicyModel("terse", "org/model", prompt_format="{prompt} Answer in one short sentence.")
        >>> terse.ask("Why is the sky blue?")
        [{'role': 'user', 'content': 'Why is the sky blue? Answer in one short sentence.'}]
        >>> PolicyModel("cut", "org/model", max_words=3).cut("The sky scatters blue light.")
        'The sky scatters'

        ```
    """

    name: str
    model: str
    backend: str = "local"
    revision: str | None = None
    dtype: str = "auto"
    system_prompt: str | None = None
    prompt_format: str = PROMPT
    temperature: float | None = 0.7
    top_p: float | None = None
    max_tokens: int | None = 512
    seed: int | None = 0
    max_words: int | None = None
    base_url: str | None = None
    api_key_env: str | None = "OPENAI_API_KEY"
    max_tokens_field: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("name", "model"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"`{name}` of a policy must be a text that is not empty, got {value!r}")
        where = f"policy {self.name!r}: "
        if self.backend not in BACKENDS:
            raise ValueError(f"{where}`backend` must be one of {', '.join(BACKENDS)}, got {self.backend!r}")
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
                expected = "a number" if float in kinds else f"of type {kinds[0].__name__}"
                raise ValueError(f"{where}`{name}` must be {expected}, got {value!r}")
        if not self.prompt_format or PROMPT not in self.prompt_format:
            raise ValueError(f"{where}`prompt_format` must contain {PROMPT}, got {self.prompt_format!r}")
        if self.max_words is not None and self.max_words < 1:
            raise ValueError(f"{where}`max_words` must be at least 1, got {self.max_words!r}")
        foreign = ("base_url", "extra") if self.backend == "local" else ("revision",)
        for name in foreign:
            if getattr(self, name):
                raise ValueError(f"{where}`{name}` does not go with backend={self.backend!r}")
        if self.backend == "local" and self.max_tokens is None:
            raise ValueError(
                f"{where}`max_tokens` must be set for a local model: nothing else ends an answer for certain"
            )
        try:
            self.sampling()
        except ValueError as error:
            raise ValueError(f"{where}{error}") from error

    def sampling(self) -> "Sampling":
        """How answers are drawn."""
        from ...completions import Sampling

        return Sampling(self.temperature, self.top_p, self.max_tokens, self.seed, dict(self.extra))

    def ask(self, prompt: str | Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """The conversation that the model gets for a prompt, a text or messages."""
        messages = asked_messages({"prompt": prompt})
        return self._with_instructions(messages)

    def request(self, row: Mapping[str, Any]) -> "CompletionRequest":
        """The request for a row with `id`, `prompt` and perhaps `messages`."""
        from ...completions import CompletionRequest

        try:
            messages = self._with_instructions(asked_messages(row))
        except ValueError as error:
            raise ValueError(f"prompt {row['id']!r}: {error}") from error
        return CompletionRequest(str(row["id"]), messages, self.sampling())

    def cut(self, text: str) -> str:
        """The first `max_words` words of an answer, or all of it."""
        if self.max_words is None:
            return text
        words = re.match(rf"\s*\S+(?:\s+\S+){{0,{self.max_words - 1}}}", text)
        return words[0] if words else text

    def settings(self) -> dict[str, Any]:
        """What its responses depend on, for JSON."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "extra"} | {
            "extra": dict(self.extra)
        }

    def _with_instructions(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        last = messages[-1]
        asked = [*messages[:-1], last | {"content": self.prompt_format.replace(PROMPT, last["content"])}]
        if self.system_prompt is None:
            return asked
        if asked[0]["role"] == "system":
            raise ValueError(
                f"it has a system message of its own, and so has policy {self.name!r}: remove one of the two"
            )
        return [{"role": "system", "content": self.system_prompt}, *asked]


def read_policies(path: str | Path) -> list[PolicyModel]:
    """
    Read policies from a YAML or JSON file: a list of mappings with the arguments of [`PolicyModel`].

    Args:
        path (`str` or `Path`): The file.

    Returns:
        `list[PolicyModel]`: One for each entry; no two of the same name.

    Raises:
        ValueError: The file can't be read, or an entry is not a policy. The entry is named.
    """
    import yaml

    path = Path(path).expanduser()
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise ValueError(f"can't read the policies: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is neither YAML nor JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} must hold a list of policies, each with `name` and `model`")
    return make_policies(entries, str(path))


def make_policies(entries: Sequence[Any], source: str) -> list[PolicyModel]:
    """Policies of a list of mappings; `source` names where they come from in errors."""
    known = {entry.name for entry in fields(PolicyModel)}
    policies: list[PolicyModel] = []
    for number, entry in enumerate(entries, start=1):
        where = f"{source}, policy {number}"
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} must be a mapping with `name` and `model`, got {entry!r}")
        unknown = sorted(set(map(str, entry)) - known)
        if unknown:
            raise ValueError(f"{where}: there is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
        lacking = [name for name in ("name", "model") if name not in entry]
        if lacking:
            raise ValueError(f"{where} has no {lacking[0]!r}")
        try:
            policies.append(PolicyModel(**entry))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: {error}") from error
    names = [policy.name for policy in policies]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{source}: the name {name!r} is given to {names.count(name)} policies; each needs its own"
            )
    return policies
