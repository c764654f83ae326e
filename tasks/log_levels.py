"""What the scripts log: their own news, but not a line for every request."""

import logging


def show_own_news() -> None:
    """Let the package and the scripts tell what they do, and the HTTP clients only what goes wrong."""
    for name in ("trl_ext", "tasks"):
        logging.getLogger(name).setLevel(logging.INFO)
    quiet_requests()


def quiet_requests() -> None:
    """Keep the HTTP clients from a line for every request."""
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
