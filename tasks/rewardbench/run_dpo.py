#!/usr/bin/env python
"""
Evaluate the implicit reward of a policy that was trained with DPO, against its reference or without.

    python tasks/rewardbench/run_dpo.py --model POLICY --ref_model REFERENCE
    python tasks/rewardbench/run_dpo.py --model POLICY --ref_free_type norm
    python tasks/rewardbench/run_dpo.py with model=POLICY ref_model=REFERENCE dataset=pairs.jsonl
    python tasks/rewardbench/run_dpo.py print_config

See tasks/rewardbench/README.md.
"""

import functools
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.configs import DPO_KEYS, check_config
from tasks.rewardbench.experiment import run_command_line


def make_scorer(config, folder):
    from tasks.rewardbench.evaluation import encoding_of, load_tokenizer
    from trl_ext.scoring import DPOImplicitRewardScorer

    return DPOImplicitRewardScorer(
        config["model"],
        config["ref_model"],
        load_tokenizer(config),
        reference_free=config["ref_free_type"] if config["ref_model"] is None else None,
        beta=config["beta"],
        encoding=encoding_of(config),
        chat_template=config["chat_template"],
        override_chat_template=config["override_chat_template"],
        max_length=config["max_length"],
        max_prompt_length=config["max_prompt_length"],
        max_tokens_per_batch=config["max_tokens_per_batch"],
        adapter=config["adapter"],
        revision=config["revision"],
        reference_revision=config["ref_revision"],
        dtype=config["torch_dtype"],
        attn_implementation=config["attn_implementation"],
        device=config["device"],
        trust_remote_code=config["trust_remote_code"],
        progress=config["progress"],
    )


def run(config, sacred_run):
    from tasks.rewardbench.evaluation import MODEL_TYPES, preference_benchmark, run_evaluation

    return run_evaluation(
        config,
        sacred_run,
        script="tasks/rewardbench/run_dpo.py",
        benchmark=preference_benchmark(config),
        make_scorer=make_scorer,
        model_type=MODEL_TYPES["dpo"] + (" Ref. Free" if config["ref_model"] is None else ""),
    )


ex = make_experiment("rewardbench_run_dpo", DPO_KEYS, functools.partial(check_config, keys=DPO_KEYS), run)

if __name__ == "__main__":
    run_command_line(ex, DPO_KEYS)
