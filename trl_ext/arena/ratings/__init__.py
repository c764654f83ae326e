"""Ratings of models: tables of them, fitted to battles, and the win rates that they expect."""
