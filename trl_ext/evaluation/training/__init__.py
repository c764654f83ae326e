"""Evaluation during training: a trainer's model scored on rows of ours, without a trace in the training."""
