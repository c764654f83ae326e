"""Attributes of texts: how they are named, and recognised by words, rules, classifiers and chat models."""
