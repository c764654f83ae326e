"""SIGTERM during training: every process stops after the same step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingInterrupted(SystemExit):
    """
    Training was asked to stop by SIGTERM and has saved a checkpoint to resume from.

    As a [`SystemExit`] it ends the script without a traceback, before anything that belongs after training, such as
    saving the model or pushing it. The exit status is 143, which is 128 plus the number of the signal.

    Args:
        step (`int`): Optimizer steps that were made.
        checkpoint (`str`): Path of the checkpoint.
    """

    def __init__(self, step: int, checkpoint: str):
        super().__init__(128 + signal.SIGTERM)
        self.step = step
        self.checkpoint = checkpoint

    def __str__(self) -> str:
        return f"training was interrupted after step {self.step}; its checkpoint is {self.checkpoint}"


class StopRequest:
    """
    Whether this process has received SIGTERM.

    transformers' `enable_jit_checkpoint` is not used: each process acts there on its own timer, so that processes may
    save after different steps and wait for one another for ever.
    """

    def __init__(self):
        self.received = False

    def _receive(self, number: int, frame) -> None:
        # Nothing more: a launcher may repeat a signal that its processes have already got, and writing to a stream that
        # is being written to is an error
        self.received = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM as a request for the duration of the context. Only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGTERM, self._receive)
        try:
            yield
        finally:
            # `None`: a handler that was not installed from Python, and can't be from here
            signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)
