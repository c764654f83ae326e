"""Effects of an attribute on rewards, naive and by rewriting, with their standard errors."""
