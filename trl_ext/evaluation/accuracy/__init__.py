"""How well rewards order responses: against labels, against the truth, and as a choice of the best of several."""
