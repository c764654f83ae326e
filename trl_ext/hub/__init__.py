"""Reward models and preference data to and from the Hub: pushed in one commit, downloaded afresh, compared."""

from .dataset import DatasetPushResult, push_preference_dataset
from .load import load_reward_model
from .push import PushResult, push_reward_model
from .repository import PushError
from .round_trip import RoundTrip, RoundTripError, verify_round_trip


__all__ = [
    "DatasetPushResult",
    "PushError",
    "PushResult",
    "RoundTrip",
    "RoundTripError",
    "load_reward_model",
    "push_preference_dataset",
    "push_reward_model",
    "verify_round_trip",
]
