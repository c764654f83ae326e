"""Many models side by side: ranks with intervals, and groups of models that the data do not tell apart."""
