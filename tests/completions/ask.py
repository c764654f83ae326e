"""A process that asks what a file says, to be killed: ask.py QUESTIONS STORE URL."""

import json
import sys
from pathlib import Path

from tests.completions.killing import CONCURRENCY, read_answer
from trl_ext.completions import CompletionRequest, OpenAIBackend, RetryPolicy, Sampling, complete_all


if __name__ == "__main__":
    questions, store, url = sys.argv[1:]
    requests = [
        CompletionRequest(row["id"], row["messages"], Sampling(seed=0))
        for row in json.loads(Path(questions).read_text())
    ]
    backend = OpenAIBackend(
        "test-model",
        base_url=url,
        api_key_env="TEST_SERVER_KEY",
        concurrency=CONCURRENCY,
        retry=RetryPolicy(max_retries=20, first_wait=0.01, longest_wait=0.05),
    )
    run = complete_all(requests, backend, store, parse=read_answer, parse_attempts=20, progress=False)
    print(json.dumps([[result.request.id, result.value] for result in run.results]))
