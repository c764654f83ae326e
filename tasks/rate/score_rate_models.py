"""Scorers of the models that `tasks/rate/score.py` is asked for."""

from collections.abc import Mapping
from typing import Any

from tasks.charm.score_run import make_scorer
from tasks.rate.score_rate_config import LEXICAL
from tasks.rewardbench.evaluation import load_tokenizer, safe_name
from trl_ext.rate import ClassifierReward
from trl_ext.scoring.base import Scorer


def make_rate_scorer(config: Mapping[str, Any], model: str) -> Scorer:
    """Scorer of one of the `models`; weights are loaded when they are needed."""
    if model == LEXICAL:
        from trl_ext.rate import LexicalReward

        scorer = LexicalReward({name: weight for name, weight in config["lexical_weights"].items() if weight})
        scorer.progress = config["progress"]
        return scorer
    if config["label"] is None:
        return make_scorer({**config, "model": model})
    return ClassifierReward(
        model,
        config["label"],
        load_tokenizer(config),
        dtype=config["torch_dtype"],
        **{
            key: config[key]
            for key in (
                *("revision", "max_length", "max_length_policy", "max_tokens_per_batch", "attn_implementation"),
                *("device", "trust_remote_code", "progress"),
            )
        },
    )


def reward_name(config: Mapping[str, Any], model: str) -> str:
    """Name of a model's rewards: the model's, for a class of a classifier with the class."""
    return model if config["label"] is None else f"{model}_{str(config['label']).lower()}_logit"


def score_folder_name(config: Mapping[str, Any], model: str) -> str:
    """Name of the folder of a model's scores."""
    return config["score_name"] or safe_name(reward_name(config, model))
