"""Responses of policy models to the same prompts, and their rewards: asked for, kept in files, aligned by prompt."""
