"""Model card of a trained reward model: what it is, how to load it, what it learned from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate.utils import is_peft_model
from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import is_peft_available

from ..version import __version__


if TYPE_CHECKING:
    from .reward_trainer import PairwiseRewardTrainer


_TEMPLATE = """---
{card_data}
---

# {name}

A reward model trained with `{trainer}` of [TRL](https://github.com/huggingface/trl) and trl_ext {version}{base}.
It maps a prompt with a response, laid out as in training, to one number; only differences between responses to the same prompt mean something.

## Use

```python
{usage}
```

## Training

| | |
|---|---|
| loss | `{loss}` |
| training pairs | {pairs} |
| learning rate, epochs | {learning_rate}, {epochs} |
| pairs per optimizer step | {batch} |
| max_length | {max_length} ({policy}) |
| seed | {seed} |

{citation}"""

FULL_USAGE = """from transformers import pipeline

reward_model = pipeline("text-classification", model="{location}")
print(reward_model("Question: What is 2 + 2?\\nAnswer: 4{eos_token}")[0]["score"])  # the raw reward, not a probability"""

ADAPTER_USAGE = """from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

model = AutoPeftModelForSequenceClassification.from_pretrained("{location}", num_labels={num_labels})
tokenizer = AutoTokenizer.from_pretrained("{location}")
inputs = tokenizer("Question: What is 2 + 2?\\nAnswer: 4{eos_token}", return_tensors="pt")
print(model(**inputs).logits)  # the reward"""

# PEFT alone finds no base model that is named `~/...` or `bundled:...`
LOCAL_ADAPTER_USAGE = """from trl_ext import load_reward_model

model, tokenizer = load_reward_model("{location}")
inputs = tokenizer("Question: What is 2 + 2?\\nAnswer: 4{eos_token}", return_tensors="pt")
print(model(**inputs).logits.item())  # the reward"""


def write_model_card(
    trainer: "PairwiseRewardTrainer",
    model_name: str | None = None,
    dataset_name: str | None = None,
    tags: str | list[str] | None = None,
) -> None:
    """
    Write `README.md` into the output directory of a trainer.

    A local base model is named by its directory's last part only, so that no path of the training machine is published.
    """
    args = trainer.args
    source = trainer.model.config._name_or_path
    is_local = not source or os.path.isdir(source)
    base_name = Path(source).name if is_local else source
    is_adapter = is_peft_available() and is_peft_model(trainer.model)
    location = trainer.hub_model_id or Path(args.output_dir).name
    data = ModelCardData(
        base_model=None if is_local else source,
        datasets=dataset_name,
        library_name="peft" if is_adapter else "transformers",
        model_name=model_name or Path(args.output_dir).name,
        pipeline_tag="text-classification",
        tags=sorted({*trainer._tag_names, *([tags] if isinstance(tags, str) else tags or [])}),
    )
    usage = FULL_USAGE
    if is_adapter:
        usage = LOCAL_ADAPTER_USAGE if is_local else ADAPTER_USAGE
    paper = trainer._paper
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    content = _TEMPLATE.format(
        card_data=data.to_yaml(),
        name=data.model_name,
        trainer=type(trainer).__name__,
        version=__version__,
        base=f", starting from `{base_name}`" if base_name else "",
        usage=usage.format(
            location=location,
            eos_token=trainer.processing_class.eos_token or "",
            num_labels=trainer.reward_head.num_outputs,
        ),
        loss=type(trainer.loss).__name__,
        pairs=len(trainer.train_dataset) if hasattr(trainer.train_dataset, "__len__") else "streamed",
        learning_rate=args.learning_rate,
        epochs=args.num_train_epochs,
        batch=batch,
        max_length=args.max_length,
        policy=args.max_length_policy,
        seed=args.seed,
        citation=f"## Citation\n\n[{paper['title']}]({paper['url']})\n" if paper else "",
    )
    Path(args.output_dir).mkdir(parents=True, exist_ok=True)
    ModelCard(content).save(Path(args.output_dir, "README.md"))
