"""
Starts a program of the package rewardbench 0.1.4 inside that package's own environment.

Run by that environment's Python, which has its packages only: nothing of trl_ext can be imported here. The program is
left as it is. Around it, what it hard-codes is made a choice: the device "cuda", and how models are loaded.
"""

import argparse
import functools
import json
import platform
import runpy
import sys


PROGRAMS = {
    "rewardbench": "rewardbench.rewardbench",
    "run_rm": "scripts.run_rm",
    "run_dpo": "scripts.run_dpo",
    "run_v2": "scripts.run_v2",
}
PACKAGES = ("rewardbench", "transformers", "tokenizers", "torch", "trl", "datasets", "accelerate", "fschat")


def versions():
    """Versions of Python and of the packages that matter."""
    from importlib.metadata import version

    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def use_cpu():
    """Inputs that are sent to "cuda" stay on the CPU."""
    from transformers.tokenization_utils_base import BatchEncoding

    to = BatchEncoding.to

    def to_cpu(self, device, **kwargs):
        return to(self, "cpu" if str(device).startswith("cuda") else device, **kwargs)

    BatchEncoding.to = to_cpu


def load_models_with(dtype):
    """Models are loaded in this precision and never quantised, also where the program has no option for either."""
    import torch
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    from_pretrained = _BaseAutoModelClass.from_pretrained.__func__

    def unquantised(cls, *args, **kwargs):
        kwargs.pop("load_in_8bit", None)
        kwargs["torch_dtype"] = getattr(torch, dtype)
        return from_pretrained(cls, *args, **kwargs)

    _BaseAutoModelClass.from_pretrained = classmethod(functools.wraps(from_pretrained)(unquantised))


def main():
    parser = argparse.ArgumentParser(description="Start a program of rewardbench 0.1.4.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("program", choices=(*PROGRAMS, "versions"))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed to the program")
    args = parser.parse_args()

    # Python put this file's folder first, whose modules must not hide the environment's
    sys.path.pop(0)
    if args.program == "versions":
        import rewardbench  # noqa: F401  an environment in which this fails is not ready

        print(json.dumps(versions()))
        return
    if args.device == "cpu":
        use_cpu()
    load_models_with(args.dtype)
    sys.argv = [args.program, *args.arguments]
    runpy.run_module(PROGRAMS[args.program], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
