"""Effects of several reward models, attributes and data sets: compared, combined, and tested together."""
