"""Which of several reward models is better, and how alike their rewards are, on the same rows."""
