"""Annotators: how they answer, how to monitor and pay them, and the labels that follow."""
