"""How to load a reward model, as a model card shows it."""

_FULL = """from transformers import pipeline

reward_model = pipeline("text-classification", model={location})
print(reward_model({text})[0]["score"])  # the raw reward, not a probability"""

_FULL_CHAT = """from transformers import pipeline

reward_model = pipeline("text-classification", model={location})
messages = [{{"role": "user", "content": "What is 2 + 2?"}}, {{"role": "assistant", "content": "4"}}]
text = reward_model.tokenizer.apply_chat_template(messages, tokenize=False)
print(reward_model(text, add_special_tokens=False)[0]["score"])  # the raw reward, not a probability"""

# Knows the layout, the base model and what the outputs are
_CHAT = """from trl_ext import RewardScorer

scorer = RewardScorer({location})
prompt = [{{"role": "user", "content": "What is 2 + 2?"}}]
print(scorer.score([prompt], [[[{{"role": "assistant", "content": "4"}}]]])[0])  # the reward"""

_ADAPTER = """from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

model = AutoPeftModelForSequenceClassification.from_pretrained({location}, num_labels=1)
tokenizer = AutoTokenizer.from_pretrained({location})
inputs = tokenizer({text}, return_tensors="pt")
print(model(**inputs).logits.item())  # the reward"""

# PEFT alone finds no base model that is named `~/...` or `bundled:...`
_LOCAL_ADAPTER = """from trl_ext import load_reward_model

model, tokenizer = load_reward_model({location})
inputs = tokenizer({text}, return_tensors="pt")
print(model(**inputs).logits.item())  # the reward"""


_SEVERAL_OUTPUTS = """from trl_ext import RewardScorer

scorer = RewardScorer({location})  # knows what the several outputs of this model are
print(scorer.score(["Question: What is 2 + 2?\\nAnswer: "], [["4"]])[0])  # the reward
found = scorer.compare_pairs(["Question: What is 2 + 2?\\nAnswer: "], ["4"], ["5"])
print(found.difference, found.sd, found.probability)
# In plain transformers pass top_k=None: else pipeline("text-classification") returns the largest output, not the reward"""


def usage(
    location: str,
    eos_token: str,
    *,
    adapter: bool,
    base_is_public: bool,
    several_outputs: bool = False,
    conversational: bool = False,
) -> str:
    """
    Code that loads a reward model and scores a response.

    Args:
        location (`str`): Hub id, or name of the folder.
        eos_token (`str`): What ends a sequence, as in training.
        adapter (`bool`): Whether it is an adapter.
        base_is_public (`bool`): Whether the base model of the adapter is on the Hub.
        several_outputs (`bool`, *optional*, defaults to `False`): Whether the model has more outputs than one reward.
        conversational (`bool`, *optional*, defaults to `False`): Whether it was trained on conversations.
    """
    if conversational:
        return (_CHAT if several_outputs or adapter else _FULL_CHAT).format(location=_literal(location))
    if several_outputs:
        return _SEVERAL_OUTPUTS.format(location=_literal(location))
    template = _FULL if not adapter else _ADAPTER if base_is_public else _LOCAL_ADAPTER
    text = f"Question: What is 2 + 2?\nAnswer: 4{eos_token}"
    return template.format(location=_literal(location), text=_literal(text))


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("`", "\\x60")
    return f'"{escaped}"'
