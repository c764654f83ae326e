"""How Humans Help LLMs: monitoring and paying annotators, and what their labels do to a reward model. See README.md."""
