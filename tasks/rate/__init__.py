"""RATE: texts with an attribute, rewritten twice, scored, and the effects of the attribute. See README.md."""
