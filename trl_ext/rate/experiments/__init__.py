"""Rewards whose effects are known: simulated, planted in texts, or ever more misleading. They check the estimators."""
