"""Command line of the scorer: `python -m trl_ext.scoring --help`."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence


_COLUMNS = (
    "prompt", "responses", "chosen", "rejected", "id", "ids", "sources", "source_chosen", "source_rejected"
)  # fmt: skip


def _reduction(text: str) -> int | str | list[float]:
    if text[:1].isalpha():
        return text
    return list(map(float, text.split(","))) if "," in text else int(text)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="trl-ext score",
        description="Score responses with a reward model. Every distinct prefix is computed once.",
        epilog="The same command continues what was interrupted. On several devices: accelerate launch -m "
        "trl_ext.scoring ...; the output is the same.",
    )
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="Hub id or path of a reward model or an adapter, or bundled:smollm2-135m-instruct",
    )
    add(
        "--input",
        required=True,
        help="rows with prompt and responses, or with chosen and rejected (.jsonl, .parquet, .csv, .json)",
    )
    add(
        "--output",
        required=True,
        help="JSONL file: prompt_id, response_id, source, reward; beside it <output>.meta.json",
    )
    add("--adapter", help="Hub id or path of a PEFT adapter on the model")
    add("--revision", help="revision of the model")
    add("--trust-remote-code", action="store_true", help="run code from the model's repository")
    add("--dtype", default="float32", help="precision of the model (default: %(default)s)")
    add("--attn-implementation", help="attention of the model where prefixes are not shared")
    add("--device", help="device (default: that of the process)")
    add("--max-length", type=int, help="largest number of tokens of a prompt with a response (default: no limit)")
    add(
        "--max-length-policy",
        default="error",
        choices=("error", "truncate_prompt_left", "truncate_left", "truncate_right"),
        help="what happens to longer ones (default: %(default)s)",
    )
    add(
        "--encoding",
        default="training",
        choices=("training", "rewardbench"),
        help="how prompts with responses become tokens: as in training or as in RewardBench (default: %(default)s)",
    )
    add(
        "--chat-template",
        help="for a tokenizer without one: a name (tulu, raw, mistral, ...), a .jinja file, or a Jinja template",
    )
    add("--override-chat-template", action="store_true", help="use --chat-template even if the tokenizer has its own")
    add(
        "--reduction",
        type=_reduction,
        help="of a model with several outputs: the index of one, or weights separated by commas",
    )
    add("--calibrated", action="store_true", help="apply the calibration that is stored with the model")
    add(
        "--unknown-source",
        choices=("error", "zero"),
        help="with --calibrated: what becomes of responses of models without an offset (default: error)",
    )
    add("--max-tokens-per-batch", type=int, help="tokens computed at once (default: 4096 on the CPU, else 16384)")
    add("--no-shared-prefix", action="store_true", help="pad instead of computing each distinct prefix once")
    add(
        "--window-size",
        type=int,
        default=2048,
        help="responses sorted, computed and written together (default: %(default)s)",
    )
    add("--num-workers", type=int, help="processes that prepare data in the background (default: 1 if there is much)")
    add("--overwrite", action="store_true", help="begin anew if there is an output already")
    add("--no-progress", action="store_true", help="show no progress bar")
    columns = parser.add_argument_group("columns", "names in the input, where they differ")
    for column in _COLUMNS:
        columns.add_argument(f"--{column.replace('_', '-')}-column", metavar="NAME", help=f"column with {column}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    # After the arguments: --help is quick
    from .processes import process_state
    from .scorer import RewardScorer

    columns = {column: getattr(args, f"{column}_column") for column in _COLUMNS}
    state = process_state()
    try:
        scorer = RewardScorer(
            args.model,
            max_length=args.max_length,
            max_length_policy=args.max_length_policy,
            encoding=args.encoding,
            chat_template=args.chat_template,
            override_chat_template=args.override_chat_template,
            reduction=args.reduction,
            max_tokens_per_batch=args.max_tokens_per_batch,
            shared_prefix=not args.no_shared_prefix,
            dtype=args.dtype,
            attn_implementation=args.attn_implementation,
            device=args.device,
            adapter=args.adapter,
            revision=args.revision,
            trust_remote_code=args.trust_remote_code,
            num_workers=args.num_workers,
            progress=not args.no_progress,
        )
        if args.calibrated:
            from .calibrated import CalibratedScorer

            scorer = CalibratedScorer(scorer, unknown_source=args.unknown_source or "error")
        elif args.unknown_source is not None:
            raise ValueError("--unknown-source applies to rewards that are --calibrated")
        meta = scorer.score_file(
            args.input,
            args.output,
            columns={ours: theirs for ours, theirs in columns.items() if theirs is not None},
            overwrite=args.overwrite,
            window_size=args.window_size,
        )
    except (ValueError, TypeError, OSError) as error:
        if state.is_main_process:
            print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        state.destroy_process_group()
    if state.is_main_process:
        print(json.dumps({name: meta[name] for name in ("rows", "responses", "truncated", "timing")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
