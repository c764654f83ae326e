"""A hub on the loopback interface, the process of someone who pushes, and that of a stranger who loads."""

import pytest

from tests.servers.hub import LoopbackHub
from tests.servers.hub_client import HubClient


PUSHER = """
import json
from dataclasses import asdict
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification

from tests.tiny import chat_pairs, pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, load_reward_model, push_reward_model
from trl_ext.hub import push_preference_dataset
from trl_ext.hub.round_trip import _outputs, default_texts

tokenizer = tiny_tokenizer()
texts = default_texts(tokenizer)

def rewards(model):
    return _outputs(model.eval(), tokenizer, texts)[:, 0].tolist()

def save(model, folder):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)

result = texts
"""


@pytest.fixture(scope="session")
def running_hub():
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def loopback_hub(running_hub):
    """The hub in good health, with an empty list of requests."""
    running_hub.heal()
    running_hub.requests.clear()
    running_hub.private_by_default = False
    yield running_hub
    running_hub.heal()


@pytest.fixture(scope="session")
def pusher(running_hub, tmp_path_factory):
    with HubClient(running_hub.environment(tmp_path_factory.mktemp("pusher"))) as client:
        client.texts = client.run(PUSHER)
        yield client


@pytest.fixture(scope="session")
def stranger(running_hub, tmp_path_factory):
    """Loads with the libraries alone, from a cache of its own."""
    with HubClient(running_hub.environment(tmp_path_factory.mktemp("stranger"))) as client:
        client.run(STRANGER)
        yield client


STRANGER = """
import torch
from datasets import load_dataset
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

def rewards(model, tokenizer, texts):
    model.eval()
    with torch.no_grad():
        return [model(**tokenizer(t, return_tensors="pt", add_special_tokens=False)).logits.item() for t in texts]
"""
