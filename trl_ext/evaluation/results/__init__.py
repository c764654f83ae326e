"""Results of models on benchmarks, wherever they come from: read, matched row by row, and put on the Hub."""
