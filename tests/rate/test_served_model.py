"""A real server of a real model: `transformers serve` with the bundled one, on the loopback interface."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tests.processes import environment, free_port
from trl_ext.completions import OpenAIBackend, Sampling
from trl_ext.data.bundled import resolve_model
from trl_ext.rate import Attribute, ChatRewriter, TextChains, rewrite_chains


LENGTH = Attribute("length", "longer", "shorter", "Make this text {target}, and change nothing else: {text}")
SAMPLES = {"generation_config": '{"do_sample": true}'}  # this server takes the most likely tokens otherwise


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"`transformers serve` needs {package}: pip install 'transformers[serving]'")
    program = Path(sys.executable).with_name("transformers")
    if not program.exists():
        pytest.skip("the program `transformers` is not installed beside python")
    try:
        model = str(resolve_model("bundled:smollm2-135m-instruct"))
    except (ImportError, ValueError) as error:
        pytest.skip(f"the bundled model is not installed: {error}")
    port = free_port()
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [str(program), "serve", model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment(HF_HUB_OFFLINE="1"), start_new_session=True
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield model, f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.slow
def test_a_served_model_rewrites_and_is_not_asked_again(server, tmp_path):
    model, url = server
    texts = (("The film was very, very good.",), ("I did not like the plot of it at all.",))
    chains = TextChains("length", ("a", "b"), ("Write a review.",) * 2, np.array([True, False]), texts)

    def rewriter(url):
        backend = OpenAIBackend(model, base_url=url, api_key_env=None, concurrency=2)
        sampling = Sampling(0.7, max_tokens=48, extra=SAMPLES)
        return ChatRewriter(backend, LENGTH, tmp_path / "answers.jsonl", sampling=sampling, progress=False)

    done = rewrite_chains(chains, LENGTH, rewriter(url), path=tmp_path / "rewrites.jsonl", progress=False)
    assert done.complete.all(), done.failures
    assert any(row[1] != row[0] for row in done.texts), "nothing was rewritten"
    assert {reason for row in done.finish_reasons for reason in row} <= {"stop", "length"}
    ledger = json.loads((tmp_path / "rewrites.meta.json").read_text())["ledger"]
    assert ledger["answers"] == 4 and ledger["without_usage"] == 0 and ledger["completion_tokens"] > 0
    # no server any more: everything is stored
    again = rewrite_chains(chains, LENGTH, rewriter("http://127.0.0.1:1/v1"), progress=False)
    assert again.texts == done.texts
