"""Original texts with and without an attribute: read from data sets, checked and drawn."""
