"""Command line of the doctor: `trl-ext doctor`, `python -m trl_ext.doctor`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from .examination import FEATURES, examine, works
from .report import as_json, as_text


_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="trl-ext doctor",
        description="What is there, what is missing, and the command that fixes it.",
        epilog="Exit status: 0 if what is required works, with --for if that feature does; else 1.",
    )
    parser.add_argument(
        "--for", dest="features", action="append", choices=list(FEATURES), metavar="FEATURE",
        help=f"examine this feature only; may be given several times: {', '.join(FEATURES)}",
    )  # fmt: skip
    parser.add_argument(
        "--deep", action="store_true", help="also compile what ZeRO with offload needs (a minute or more)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def _stop(number: int, frame: object) -> None:
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    # Whatever ends the doctor ends what it has started: a compiler would go on for minutes
    previous = {number: signal.signal(number, _stop) for number in _ENDING}
    try:
        found = examine(args.features, deep=args.deep)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    try:
        print(as_json(found) if args.json else as_text(found), flush=True)
    except BrokenPipeError:  # `| head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if works(found, required_only=args.features is None) else 1


if __name__ == "__main__":
    sys.exit(main())
