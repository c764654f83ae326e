"""CHARM: responses of policy models, their mismatch with a leaderboard, and calibration by it. See README.md."""
