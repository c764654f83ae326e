"""Command line of the bridge: `python -m trl_ext.evaluation.rewardbench_bridge --help`."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from ...atomic_files import atomic_path


_EXAMPLE = """
example, once with the environment and then on the rows of a file:
  python -m trl_ext.evaluation.rewardbench_bridge --environment ~/.cache/trl_ext/rewardbench --create
  python -m trl_ext.evaluation.rewardbench_bridge --environment ~/.cache/trl_ext/rewardbench \\
      --model my-reward-model --dataset prefs.jsonl --output comparison.json

The exit code is 0 if the two agree, 1 if they differ, and 2 if something went wrong.
"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trl_ext.evaluation.rewardbench_bridge",
        description="Score rows with the genuine rewardbench 0.1.4, in an environment of its own, and with this package, and "
        "compare row by row.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--environment", required=True, metavar="DIR", help="folder of the environment with rewardbench")
    add("--create", action="store_true", help="make the environment if it is not there: 1.7 GB on the CPU, minutes")
    add("--python", help="Python executable that makes the environment (default: the one that runs this)")
    add("--pip-argument", action="append", default=[], metavar="ARG", help="argument of pip install, as --pip-argument=--no-index")
    add("--model", help="Hub id or path of a reward model or an adapter; with --ref-model or run_dpo, of a language model")
    add("--dataset", help="rows with chosen and rejected, perhaps prompt (.jsonl, .json, .parquet, .csv)")
    add("--adapter", help="Hub id or path of a PEFT adapter on the model")
    add("--revision", help="revision of the model")
    add("--ref-model", help="reference model of DPO")
    add(
        "--program",
        default="preferences",
        choices=("preferences", "core", "run_rm", "run_dpo", "run_v2"),
        help="the genuine program: the command `rewardbench` on pairs or on the core set, or a script (default: %(default)s)",
    )
    add("--batch-size", type=int, default=8, help="of the genuine program (default: %(default)s)")
    add("--max-length", type=int, help="tokens, beyond which texts are truncated (default: none; 2048 for scripts)")
    add("--chat-template", help="name of a FastChat template, for a tokenizer without template")
    add("--dtype", default="float32", choices=("float32", "float16", "bfloat16"), help="precision (default: %(default)s)")
    add("--attn-implementation", choices=("eager", "sdpa"), help="attention of the genuine program and ours")
    add("--ref-free-type", choices=("avg", "norm", "sum"), help="rewards of run_dpo without reference model")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="device of both (default: %(default)s)")
    add("--timeout", type=float, help="seconds after which the genuine program is ended")
    add("--tolerance", type=float, help="relative difference that is rounding (default: 1e-4 in float32)")
    add("--folder", help="folder to make, where the copy, inputs, outputs and log stay (default: a temporary one)")
    add("--output", metavar="FILE", help="write the comparison as JSON")
    args = parser.parse_args(arguments)
    if (args.model is None) != (args.dataset is None):
        parser.error("--model and --dataset belong together")
    if args.model is None and not args.create:
        parser.error("give --model and --dataset, or --create")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    # After the arguments: --help is quick
    from .comparison import compare_with_genuine
    from .environment import RewardBenchEnvironment
    from .genuine import GenuineSettings

    environment = RewardBenchEnvironment(args.environment, args.python)
    try:
        if args.create:
            versions = environment.create(pip_arguments=args.pip_argument)
            print(", ".join(f"{name} {version}" for name, version in versions.items()))
        if args.model is None:
            return 0
        settings = GenuineSettings(
            program=args.program,
            batch_size=args.batch_size,
            max_length=args.max_length,
            chat_template=args.chat_template,
            dtype=args.dtype,
            attn_implementation=args.attn_implementation,
            ref_free_type=args.ref_free_type,
        )
        comparison, genuine = compare_with_genuine(
            args.model,
            args.dataset,
            environment,
            settings,
            reference=args.ref_model,
            adapter=args.adapter,
            revision=args.revision,
            folder=args.folder,
            device=args.device,
            timeout=args.timeout,
            tolerance=args.tolerance,
        )
        if args.output is not None:
            _write(args.output, comparison.to_dict(), genuine)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(comparison.report())
    print(f"rewardbench took {genuine.seconds:.0f} s")
    return 0 if comparison.agrees else 1


def _write(path: str, comparison: dict, genuine) -> None:
    content = {
        "comparison": comparison,
        "genuine": {"command": genuine.command, "versions": genuine.versions, "seconds": genuine.seconds},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
