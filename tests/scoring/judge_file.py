"""A process that judges a file of pairs: judge_file.py ROWS OUTPUT STORE URL; prints its report."""

import json
import sys

from trl_ext.completions import OpenAIBackend
from trl_ext.scoring.judges import PairwiseJudge
from trl_ext.scoring.processes import process_state


if __name__ == "__main__":
    rows, output, store, url = sys.argv[1:]
    backend = OpenAIBackend("judge", base_url=url, api_key_env=None, concurrency=2)
    judge = PairwiseJudge(backend, store)
    judge.progress = False
    judge.score_file(rows, output, window_size=8)
    report = judge.report()
    state = process_state()
    if state.is_main_process:
        print("REPORT " + json.dumps(report))
    state.wait_for_everyone()
    state.destroy_process_group()
