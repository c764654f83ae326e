"""What to add to the scores of a model's responses so that it wins as often as its rating says."""
