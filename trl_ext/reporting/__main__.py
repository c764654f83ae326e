"""
Write the HTML report of a run.

    trl-ext report outputs/demo-beta
    trl-ext report outputs/demo-beta outputs/demo-joint --output comparison.html
    trl-ext report outputs/demo-beta --rate outputs/rate --monitoring outputs/monitoring

`python -m trl_ext.reporting` is the same.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


PARTS = {
    "evaluation": "results of trl-ext evaluate (default: RUN/evaluation)",
    "rate": "output of trl-ext audit attribute (default: RUN/rate)",
    "mismatch": "output of trl-ext audit models, or of tasks/charm/evaluate.py or calibrate.py (default: RUN/mismatch)",
    "monitoring": "output of trl-ext monitor (default: RUN/monitoring)",
    "mislabels": "mislabels/ of trl-ext audit labels (default: RUN/mislabels)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """
    Command line of the report.

    Args:
        argv (`Sequence[str]`, *optional*): Arguments, by default those of the process.

    Returns:
        `int`: Exit status: 2 for a mistake, which is printed.
    """
    parser = argparse.ArgumentParser(
        prog="trl-ext report",
        description="Write one HTML file with everything that is known of a run: for reading, printing and passing on.",
        epilog=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="+", metavar="RUN", help="folder of a run: the output_dir of tasks/train.py")
    parser.add_argument("--output", metavar="FILE", help="the HTML file (default: report.html in the first RUN)")
    parser.add_argument("--title", help="title of the report (default: the names of the runs)")
    for part, meaning in PARTS.items():
        parser.add_argument(
            f"--{part}", metavar="DIR", nargs="+", help=f"{meaning}; one for each RUN, in the same order"
        )
    args = parser.parse_args(argv)

    from .html_report import write_report
    from .run_folder import read_run

    places = {part: getattr(args, part) or [None] * len(args.run) for part in PARTS}
    for part, given in places.items():
        if len(given) != len(args.run):
            parser.error(f"--{part} needs a folder for each of the {len(args.run)} runs, got {len(given)}")
    try:
        runs = [
            read_run(folder, **{part: given[index] for part, given in places.items()})
            for index, folder in enumerate(args.run)
        ]
        path = write_report(runs, args.output or Path(args.run[0], "report.html"), title=args.title)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Report: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
