"""Runs of the genuine programs of rewardbench 0.1.4, and what they write."""

import ast
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...privacy import hide_home
from .environment import LAUNCHER, RewardBenchEnvironment, clean_environment
from .inputs import BridgeRow, check_pairs, write_candidates, write_core_set, write_preferences


# What each is called there: the command `rewardbench` on pairs and on the core set, and the scripts
PROGRAMS = {
    "preferences": "rewardbench",
    "core": "rewardbench",
    "run_rm": "run_rm",
    "run_dpo": "run_dpo",
    "run_v2": "run_v2",
}
DTYPES = ("float32", "float16", "bfloat16")
REFERENCE_FREE = ("avg", "norm", "sum")
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")


@dataclass(frozen=True)
class GenuineSettings:
    """
    What a genuine program is asked to do.

    Args:
        program (`str`, *optional*, defaults to `"preferences"`):
            `"preferences"` and `"core"`, the command `rewardbench` on pairs and on the core set with its sections;
            `"run_rm"` and `"run_dpo"`, the scripts for the core set; `"run_v2"`, that for RewardBench 2.
        batch_size (`int`, *optional*, defaults to `8`):
            Texts per batch.
        max_length (`int`, *optional*):
            Tokens of a text, beyond which the left is cut, or by `run_v2` the right. By default not at all by the
            command and at 2048 by the scripts. DPO has limits of its own.
        chat_template (`str`, *optional*):
            Name of a FastChat template. It matters only for a tokenizer without template.
        dtype (`str`, *optional*, defaults to `"float32"`):
            Precision of the model: `"float32"`, `"float16"` or `"bfloat16"`.
        attn_implementation (`str`, *optional*):
            `"eager"` or `"sdpa"`. By default transformers chooses.
        ref_free_type (`str`, *optional*):
            `"avg"`, `"norm"` or `"sum"`: rewards of `"run_dpo"` without reference model.
    """

    program: str = "preferences"
    batch_size: int = 8
    max_length: int | None = None
    chat_template: str | None = None
    dtype: str = "float32"
    attn_implementation: str | None = None
    ref_free_type: str | None = None

    def __post_init__(self):
        for name, allowed in (("program", PROGRAMS), ("dtype", DTYPES), ("ref_free_type", (None, *REFERENCE_FREE))):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}"
                )
        for name in ("batch_size", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}")
        if self.ref_free_type is not None and self.program != "run_dpo":
            raise ValueError(f"`ref_free_type` applies to run_dpo only, not to {self.program}")

    def arguments(self, has_reference: bool) -> list[str]:
        """The program's command line, run in the folder that holds its inputs under fixed names."""
        is_command = PROGRAMS[self.program] == "rewardbench"
        is_dpo = has_reference or self.program == "run_dpo"
        if has_reference and self.program not in ("preferences", "core", "run_dpo"):
            raise ValueError(f"{self.program} has no reference model")
        if is_dpo:
            self._check_dpo(has_reference)
        arguments = ["--model", "model", "--batch_size", str(self.batch_size), "--torch_dtype", self.dtype]
        if is_command:
            arguments += ["--output_dir", "results/"]
            if self.program == "preferences":
                arguments += ["--dataset", "preferences.jsonl", "--load_json"]
        else:
            arguments += ["--do_not_save", "--disable_beaker_save"]
            if self.program == "run_v2":
                arguments += ["--dataset", "candidates.jsonl"]
        if self.program != "run_v2":
            arguments.append("--not_quantized")
        if has_reference:
            arguments += ["--ref_model", "reference"]
        elif is_dpo:
            arguments += ["--ref_free_type", self.ref_free_type]
        if self.max_length is not None:
            arguments += ["--max_length", str(self.max_length)] + ["--force_truncation"] * is_command
        for name in ("chat_template", "attn_implementation"):
            if getattr(self, name) is not None:
                arguments += [f"--{name}", getattr(self, name)]
        return arguments

    def _check_dpo(self, has_reference: bool) -> None:
        for name in ("max_length", "attn_implementation"):
            if getattr(self, name) is not None:
                raise ValueError(f"rewardbench has no `{name}` for DPO")
        if has_reference == (self.ref_free_type is not None):
            raise ValueError("run_dpo needs either a reference model or `ref_free_type`")


@dataclass(frozen=True)
class GenuineResult:
    """
    What a genuine program gave.

    Args:
        rewards (`list[np.ndarray]`): For each row the rewards of its responses.
        figures (`dict[str, float]`): Accuracy of subsets, or `accuracy` of all, as the program reports them.
        sections (`dict[str, float]`): Sections of the core set, as the program reports them.
        versions (`dict[str, str]`): Versions of Python and packages in the environment.
        command (`list[str]`): Program and arguments.
        seconds (`float`): Wall time, with loading.
        log (`Path`): What the program printed.
    """

    rewards: list[np.ndarray]
    figures: dict[str, float]
    sections: dict[str, float]
    versions: dict[str, str]
    command: list[str]
    seconds: float
    log: Path = field(repr=False)


def run_genuine(
    model: str | Path,
    rows: list[BridgeRow],
    folder: str | Path,
    environment: RewardBenchEnvironment,
    settings: GenuineSettings | None = None,
    *,
    reference: str | Path | None = None,
    device: str = "cpu",
    timeout: float | None = None,
) -> GenuineResult:
    """
    Let a genuine program of rewardbench 0.1.4 score rows with a model, offline.

    Args:
        model (`str` or `Path`):
            Folder of [`export_legacy_copy`].
        rows (`list[BridgeRow]`):
            Rows of [`read_bridge_rows`].
        folder (`str` or `Path`):
            Folder to make, for the inputs, the outputs and the log.
        environment ([`RewardBenchEnvironment`]):
            Environment with rewardbench.
        settings ([`GenuineSettings`], *optional*):
            Program and options.
        reference (`str` or `Path`, *optional*):
            Reference model of DPO: a folder of [`export_legacy_copy`] with `kind="language"`.
        device (`str`, *optional*, defaults to `"cpu"`):
            `"cpu"` or `"cuda"`.
        timeout (`float`, *optional*):
            Seconds after which the program is ended.

    Returns:
        [`GenuineResult`]

    Raises:
        RuntimeError: The program failed, took too long, or wrote something unexpected; the message has the end of its
            log.
    """
    settings = GenuineSettings() if settings is None else settings
    if device not in ("cpu", "cuda"):
        raise ValueError(f"`device` must be 'cpu' or 'cuda', got {device!r}")
    arguments = settings.arguments(reference is not None)
    versions = environment.versions()
    folder = Path(folder)
    folder.mkdir(parents=True)
    for name, source in (("model", model), ("reference", reference)):
        if source is not None:
            if not (Path(source) / "config.json").exists():
                raise ValueError(f"{hide_home(Path(source))} is no folder of a model: make one with export_legacy_copy")
            (folder / name).symlink_to(Path(source).absolute(), target_is_directory=True)
    _write_rows(rows, folder, settings.program)
    launch = ["--device", device, "--dtype", settings.dtype, PROGRAMS[settings.program], *arguments]
    started = time.perf_counter()
    log = _run([str(environment.python), "-s", str(LAUNCHER), *launch], folder, device, timeout)
    seconds = time.perf_counter() - started
    try:
        rewards, figures, sections = _read_outputs(folder, settings, reference is not None, log, len(rows))
    except (OSError, KeyError, ValueError) as error:
        raise RuntimeError(
            f"rewardbench wrote something unexpected ({type(error).__name__}: {error}):\n{_end_of(log)}"
        ) from error
    return GenuineResult(rewards, figures, sections, versions, launch, seconds, log)


def _write_rows(rows: list[BridgeRow], folder: Path, program: str) -> None:
    if program == "run_v2":
        write_candidates(rows, folder / "candidates.jsonl")
        return
    check_pairs(rows)
    if program == "preferences":
        write_preferences(rows, folder / "preferences.jsonl")
    else:
        write_core_set(rows, folder)


def _run(command: list[str], folder: Path, device: str, timeout: float | None) -> Path:
    """Run a command in a folder; its output goes to a log there. It is ended with its own processes."""
    variables = {name: "1" for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")}
    variables |= {"WANDB_MODE": "disabled", "HF_HOME": str(folder.absolute() / "cache"), "TOKENIZERS_PARALLELISM": "false"}
    if device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    variables = clean_environment(variables)
    for name in _SECRETS:
        variables.pop(name, None)
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code is None:
        raise RuntimeError(f"rewardbench took longer than {timeout:g} s and was ended:\n{_end_of(log)}")
    if code:
        raise RuntimeError(f"rewardbench ended with {code}; its log is {hide_home(log)}:\n{_end_of(log)}")
    return log


def _end_of(log: Path, count: int = 12) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-count:])


def _read_outputs(
    folder: Path, settings: GenuineSettings, has_reference: bool, log: Path, count: int
) -> tuple[list[np.ndarray], dict[str, float], dict[str, float]]:
    text, results = log.read_text(encoding="utf-8", errors="replace"), folder / "results"
    if PROGRAMS[settings.program] == "rewardbench":
        lines = [json.loads(line) for line in (results / "model_outputs.jsonl").read_text().splitlines()]
        pairs = [(line["scores_chosen"], line["scores_rejected"]) for line in lines]
        summary = json.loads((results / "model.json").read_text())
        figures = {"accuracy": summary["accuracy"], **(summary["extra_results"] or {})}
    else:
        name = "model" if has_reference or settings.program != "run_dpo" else "model_ref_free"
        scores = json.loads((results / "eval-set-scores" / f"{name}.json").read_text())
        is_v2 = settings.program == "run_v2"
        pairs = scores["scores"] if is_v2 else list(zip(scores["scores_chosen"], scores["scores_rejected"], strict=True))
        figures = _printed_figures(text)
    if len(pairs) != count:
        raise ValueError(f"{len(pairs)} rows instead of {count}")
    # A row of the core set is a number in 0.1.4, one of RewardBench 2 and of the scripts a list of one number
    rewards = [np.asarray(pair, dtype=np.float64).reshape(-1) for pair in pairs]
    return rewards, figures, _printed_sections(text)


def _printed_figures(text: str) -> dict[str, float]:
    """Subset accuracies as the scripts print them: `name: correct/total (share)`, or for ties an overall score."""
    pattern = r"^(\S[^\n:]*): (?:[\d.]+/\d+ \(([\d.e-]+)\)|Overall score (-?[\d.e-]+))$"
    return {name: float(share or score) for name, share, score in re.findall(pattern, text, re.MULTILINE)}


def _printed_sections(text: str) -> dict[str, float]:
    found = re.findall(r"^.*(\{'Chat': [^}]*\})", text, re.MULTILINE)
    return ast.literal_eval(found[-1]) if found else {}
