"""The commands: what each is for, which program it is, an example, what that writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field


SACRED, OPTIONS, ARGPARSE = "sacred", "options", "argparse"


@dataclass(frozen=True)
class Program:
    """
    A script or module behind a command.

    Args:
        purpose (`str`): One line.
        example (`str`): A command line that runs as it stands, but for files that it names.
        writes (`str`): What it leaves behind, and where.
        path (`str`): Script, such as `tasks/train.py`, or module, such as `trl_ext.scoring`.
        takes (`str`):
            `SACRED`: `key=value`; `OPTIONS`: those or `--key value`, as RewardBench; `ARGPARSE`: options.
        defaults (`tuple[str, ...]`): Updates before those of the user.
        names (mapping of `str` to `str`): Keys that have another name in the program.
        needs (`str`, *optional*): A key without which there is nothing to do.
    """

    purpose: str
    example: str
    writes: str
    path: str
    takes: str = SACRED
    defaults: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    needs: str | None = None

    def key_of(self, theirs: str) -> str:
        """What a key of the program is called here."""
        return next((ours for ours, name in self.names.items() if name == theirs), theirs)


@dataclass(frozen=True)
class Command:
    """
    A command.

    Args:
        purpose (`str`): One line.
        programs (mapping of `str` to [`Program`]): By the word behind the command; by `""` the one without such a word.
    """

    purpose: str
    programs: Mapping[str, Program]


def _single(program: Program) -> Command:
    return Command(program.purpose, {"": program})


_TRAIN = Program(
    "Train a reward model on preferences of annotators who are not always reliable.",
    "trl-ext train rapl_method=beta",
    "outputs/<data>-<method>/: the model, its card, results.json with figures and intervals; a Sacred record in runs/",
    "tasks/train.py",
)
_SCORE = Program(
    "Score responses with a reward model; what prompts share is computed once.",
    "trl-ext score --model outputs/demo-beta --input responses.jsonl --output rewards.jsonl",
    "the --output file, one line per response, and <output>.meta.json; the same command resumes",
    "trl_ext.scoring",
    ARGPARSE,
)
_CALIBRATE = Program(
    "Make a model's probabilities honest: fit a calibration on held-out pairs, measure it.",
    "trl-ext calibrate model=outputs/demo-beta data=demo method=temperature",
    "<model>/calibration/: calibration.json, reliability diagrams before and after with their numbers",
    "tasks/calibrate.py",
)
_MONITOR = Program(
    "How good is each annotator, and how many more checks are needed?",
    "trl-ext monitor eta0=0.6 output_dir=outputs/demo-beta/monitoring",
    "output_dir (outputs/monitoring): annotators.csv, eta.json for training, results.json, intervals.png",
    "tasks/annotators/monitor.py",
)
_CONTRACT = Program(
    "Which contract to offer annotators, and what it costs not to see their effort.",
    "trl-ext contract datasets=pku profiles=paper_high n_list=51 skip_plots=True",
    "outputs/contract_gaps/: tables as CSV, results.json, figures",
    "tasks/annotators/contract_gaps.py",
)
_REPORT = Program(
    "One HTML file of all evidence about a run, or several beside each other.",
    "trl-ext report outputs/demo-beta --output report.html",
    "the --output file, which needs nothing else to be shown",
    "trl_ext.reporting",
    ARGPARSE,
)
_DOCTOR = Program(
    "What is there, what is missing, and the command that fixes it.",
    "trl-ext doctor --for zero",
    "nothing",
    "trl_ext.doctor",
    ARGPARSE,
)

# What `trl-ext report RUN` reads is below RUN: the examples write there
_RESULTS = "<output_dir>/<benchmark>/<model>/: results.json, rewards.jsonl; RewardBench's layout. output_dir: results"
_SETS = "tasks/rapl/evaluate_reward_model.py"
_SETS_WRITE = (
    "output_dir (outputs/evaluate-<model>): results.json with intervals, rewards; a line in outputs/results.jsonl"
)
_EVALUATE = Command(
    "Evaluate a reward model on RewardBench, RM-Bench, LIE, TRUE or your own pairs.",
    {
        "": Program(
            "RewardBench, the preference test sets, or pairs of your own.",
            "trl-ext evaluate --model outputs/demo-beta --dataset demo --output_dir outputs/demo-beta/evaluation",
            _RESULTS,
            "tasks/rewardbench/run_rm.py",
            OPTIONS,
        ),
        "rewardbench2": Program(
            "RewardBench 2: best of four, and Ties.",
            "trl-ext evaluate rewardbench2 --model Skywork/Skywork-Reward-V2-Qwen3-0.6B",
            _RESULTS,
            "tasks/rewardbench/run_v2.py",
            OPTIONS,
        ),
        "rm-bench": Program(
            "RM-Bench: right answers against wrong ones, in three styles each.",
            "trl-ext evaluate rm-bench --model outputs/demo-beta --dataset CLONE/data --output_dir outputs/demo-beta/evaluation",
            _RESULTS,
            "tasks/rewardbench/run_rm_bench.py",
            OPTIONS,
        ),
        "best-of-n": Program(
            "Choose the best of N candidates by reward.",
            "trl-ext evaluate best-of-n --model outputs/demo-beta --dataset candidates.jsonl --best_of 8",
            _RESULTS,
            "tasks/rewardbench/run_bon.py",
            OPTIONS,
        ),
        "dpo": Program(
            "The implicit reward of a DPO policy.",
            "trl-ext evaluate dpo --model MODEL --ref_model REFERENCE",
            _RESULTS,
            "tasks/rewardbench/run_dpo.py",
            OPTIONS,
        ),
        "judge": Program(
            "A language model that judges.",
            "trl-ext evaluate judge --model MODEL --dataset demo",
            _RESULTS,
            "tasks/rewardbench/run_generative.py",
            OPTIONS,
        ),
        "lie": Program(
            "LIE: what length, correctness and confidence are worth to the model.",
            "trl-ext evaluate lie model=outputs/demo-beta data=CLONE output_dir=outputs/demo-beta/evaluation/lie",
            _SETS_WRITE,
            _SETS,
            names={"data": "lie_data_dir"},
            needs="lie_data_dir",
        ),
        "true": Program(
            "TRUE: does the model prefer what is true?",
            "trl-ext evaluate true model=outputs/demo-beta data=CLONE output_dir=outputs/demo-beta/evaluation/true",
            _SETS_WRITE,
            _SETS,
            names={"data": "true_data_dir"},
            needs="true_data_dir",
        ),
        "attributes": Program(
            "Which attributes of answers the model rewards beyond people's preferences.",
            "trl-ext evaluate attributes model=outputs/demo-beta data=attributes.csv "
            "output_dir=outputs/demo-beta/evaluation/attributes",
            _SETS_WRITE,
            _SETS,
            names={"data": "attribute_bias_path"},
            needs="attribute_bias_path",
        ),
        "compare": Program(
            "A leaderboard of evaluated models, with intervals and paired tests.",
            "trl-ext evaluate compare --results results",
            "output_dir: leaderboard, tests, plots with their numbers",
            "tasks/rewardbench/compare.py",
            OPTIONS,
        ),
    },
)
_AUDIT = Command(
    "Find what to distrust: wrong labels, rewarded attributes, over-valued models.",
    {
        "labels": Program(
            "Rank training pairs by the evidence that their label is wrong, with a table of annotators.",
            "trl-ext audit labels train_data_path=demo output_dir=outputs/demo-beta",
            "<output_dir>/mislabels/: mislabels.csv (the most suspicious first), annotators.csv, mislabels.json. "
            "output_dir: outputs/mislabel-search",
            "tasks/find_mislabels.py",
        ),
        "attribute": Program(
            "From texts to the effect of an attribute on rewards (RATE): rewrite by rules, score, estimate, draw.",
            "trl-ext audit attribute model=outputs/demo-beta attribute=length output_dir=outputs/demo-beta/rate",
            "output_dir (outputs/rate): rewrites, scores, effects/ with intervals, figures with their numbers",
            "tasks/rate/run_all.py",
            defaults=("rewriters=rules", "lexical_reward=False"),
            names={"model": "reward_models"},
            needs="reward_models",
        ),
        "models": Program(
            "Which models' answers the reward model over-values, against ratings by people (CHARM). How to get both: docs/mismatch.md.",
            "trl-ext audit models model=outputs/demo-beta responses=RESPONSES ratings=RATINGS.csv output_dir=outputs/demo-beta/mismatch",
            "<output_dir>/mismatch/<model>/: mismatch.csv, agreement.csv, report.json, figures. "
            "output_dir: outputs/charm",
            "tasks/charm/mismatch.py",
        ),
    },
)

COMMANDS: dict[str, Command] = {
    "train": _single(_TRAIN),
    "score": _single(_SCORE),
    "evaluate": _EVALUATE,
    "calibrate": _single(_CALIBRATE),
    "audit": _AUDIT,
    "monitor": _single(_MONITOR),
    "contract": _single(_CONTRACT),
    "report": _single(_REPORT),
    "doctor": _single(_DOCTOR),
}
