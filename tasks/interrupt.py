"""SIGTERM and Ctrl-C: a run that was asked to stop is interrupted, not failed."""

import signal
import sys


class Interrupted(KeyboardInterrupt):
    """SIGTERM. As a [`KeyboardInterrupt`] it makes Sacred record the run as INTERRUPTED."""


def raise_on_sigterm() -> None:
    """Let SIGTERM raise [`Interrupted`]. In training, the trainer's own handler, which saves a checkpoint, takes over."""

    def stop(number, frame):
        raise Interrupted("by SIGTERM")

    signal.signal(signal.SIGTERM, stop)


def exit_interrupted(interrupt: KeyboardInterrupt) -> None:
    """End the process without a traceback, with the exit status that shells give to the signal."""
    print(f"Interrupted {str(interrupt) or 'by Ctrl-C'}.", file=sys.stderr)
    sys.exit(128 + (signal.SIGTERM if isinstance(interrupt, Interrupted) else signal.SIGINT))
