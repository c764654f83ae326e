"""Evaluation on benchmarks of reward models, and comparison of models that were evaluated. See README.md."""

import warnings


# Sacred's, whose modules are imported after this
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
