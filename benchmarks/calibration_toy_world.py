"""The world of the calibration toy: models of known quality, and a reward model that pays too much for style."""

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn

from trl_ext.arena import RatingTable
from trl_ext.losses import BradleyTerryLoss


# Chatbot Arena without style control, December 2024, as CHARM published them
RATINGS = {
    "GPT-4o-mini-2024-07-18": 1273.0,
    "Qwen2.5-72B-Instruct": 1258.0,
    "Llama-3.1-70B-Instruct": 1248.0,
    "gemma-2-27b-it": 1220.0,
    "gemma-2-9b-it-SimPO": 1216.0,
    "gemma-2-9b-it": 1191.0,
    "Llama-3.1-8B-Instruct": 1176.0,
}
MODELS = tuple(RATINGS)
OVERVALUED, REFERENCE = "gemma-2-9b-it-SimPO", "GPT-4o-mini-2024-07-18"

CONTENT, STYLE = 22, 2  # features of a response
STYLE_WORTH = 0.1  # true quality of a unit of style
STYLE_PAY = 0.65  # what the labels of the reward model's training pay for it
HEAVY_STYLE = 1.8  # mean style of the over-valued model
STYLE_SPREAD = 0.85  # standard deviation of the mean styles of the others; the reference model has none
STYLE_NOISE = 0.6  # standard deviation of the style of a model's responses
PAIRS_OF_THE_REWARD_MODEL = 20_000


@dataclass(frozen=True)
class Responses:
    """
    Responses of all models to the same prompts.

    Args:
        features (`torch.Tensor` of shape `(N, M, 24)`): Content and style of the responses.
        quality (`torch.Tensor` of shape `(N, M)`): Their true quality.
    """

    features: Tensor
    quality: Tensor


class ToyRewardModel(nn.Module):
    """A perceptron of one hidden layer, from features `(…, 24)` to rewards `(…)`."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(CONTENT + STYLE, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features).squeeze(-1)


class ToyWorld:
    """
    Models that differ in quality and in style, and the reward model before calibration.

    Responses to one prompt share half of the variance of their content. A model's mean quality is such that it truly wins
    as often as its Elo rating says, on average over prompts; on one prompt the better response wins.

    Args:
        seed (`int`): Decides the worth of contents, the styles of the models, all responses and the reward model.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)
        self.ratings = RatingTable.from_ratings(RATINGS)
        worth = _normal(self.generator, CONTENT)
        self.worth = worth / worth.norm()
        self.styles = STYLE_SPREAD * _normal(self.generator, len(MODELS), STYLE)
        self.styles[MODELS.index(OVERVALUED)] = HEAVY_STYLE
        self.styles[MODELS.index(REFERENCE)] = 0.0
        self.mean_quality = self._mean_quality()

    def responses(self, prompts: int, generator: torch.Generator | None = None) -> Responses:
        """Responses of all models to new prompts."""
        generator = self.generator if generator is None else generator
        shape = (prompts, len(MODELS))
        content = _normal(generator, prompts, 1, CONTENT) + _normal(generator, *shape, CONTENT)
        style = self.styles + STYLE_NOISE * _normal(generator, *shape, STYLE)
        means = self.mean_quality - STYLE_WORTH * self.styles.sum(dim=-1)
        content = content + means[:, None] * self.worth
        quality = content @ self.worth + STYLE_WORTH * style.sum(dim=-1)
        return Responses(torch.cat([content, style], dim=-1), quality)

    def copy_of_reward_model(self) -> ToyRewardModel:
        """The reward model before calibration, to train further."""
        return copy.deepcopy(self.reward_model)

    def _mean_quality(self) -> Tensor:
        # P(win) = normal distribution function of the difference of means over the sd of a paired difference
        deviation = np.sqrt(2 * (1 + STYLE * (STYLE_WORTH * STYLE_NOISE) ** 2))
        differences = deviation * norm.ppf(self.ratings.win_probabilities(MODELS))
        return torch.tensor(differences.mean(axis=1), dtype=torch.float32)

    @cached_property
    def reward_model(self) -> ToyRewardModel:
        """Bradley–Terry on the labels of annotators who see quality, are noisy, and pay too much for style."""
        generator = torch.Generator().manual_seed(1_000_000 + self.seed)
        pairs = PAIRS_OF_THE_REWARD_MODEL
        responses, rows = self.responses(pairs, generator), torch.arange(pairs)
        first, second = torch.rand(pairs, len(MODELS), generator=generator).topk(2)[1].T
        style = responses.features[..., CONTENT:].sum(dim=-1)
        felt = responses.quality + (STYLE_PAY - STYLE_WORTH) * style
        first_chosen = torch.rand(pairs, generator=generator) < torch.sigmoid(felt[rows, first] - felt[rows, second])
        chosen, rejected = torch.where(first_chosen, first, second), torch.where(first_chosen, second, first)

        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = ToyRewardModel()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
        for _ in range(3):
            for batch in torch.randperm(pairs, generator=generator).split(200):
                rewards = [model(responses.features[batch, side[batch]]) for side in (chosen, rejected)]
                optimizer.zero_grad()
                BradleyTerryLoss()(*rewards).mean().backward()
                optimizer.step()
        return model.requires_grad_(False)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)
