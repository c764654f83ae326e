"""How many rows an effect needs to be found, and which effects so many rows find."""
