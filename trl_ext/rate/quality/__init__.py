"""Is an effect to be trusted? What rewrites did to texts, counted, with a verdict."""
