"""A process that rewrites what a file says, to be killed: rewrite_here.py FOLDER URL."""

import sys
from pathlib import Path

from tests.servers.mortal_server import INSTRUCTION
from trl_ext.completions import OpenAIBackend, RetryPolicy
from trl_ext.rate import Attribute, ChatRewriter, TextChains, rewrite_chains


LENGTH = Attribute("length", "longer", "shorter", INSTRUCTION)
CONCURRENCY = 8


def rewriter_of(url: str, folder: Path) -> ChatRewriter:
    backend = OpenAIBackend(
        "test-model",
        base_url=url,
        api_key_env=None,
        concurrency=CONCURRENCY,
        timeout=1.0,
        retry=RetryPolicy(max_retries=30, first_wait=0.02, longest_wait=0.3),
    )
    return ChatRewriter(backend, LENGTH, folder / "answers.jsonl", parse_attempts=10, progress=False)


if __name__ == "__main__":
    folder, url = Path(sys.argv[1]), sys.argv[2]
    originals = TextChains.read(folder / "originals.jsonl")
    rewrite_chains(originals, LENGTH, rewriter_of(url, folder), path=folder / "rewrites.jsonl", progress=False)
