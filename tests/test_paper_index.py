"""Every loss and trainer is in docs/losses.md and docs/paper_index.md, and what they print can be run."""

import copy
import importlib
import inspect
import json
import re
import shlex
from pathlib import Path

import pytest
from sacred.arg_parser import get_config_updates

import trl_ext
from tests.tiny import tiny_checkpoint
from trl_ext import losses, trainer


ROOT = Path(__file__).resolve().parents[1]
PAPERS = (ROOT / "docs" / "paper_index.md").read_text(encoding="utf-8")
LOSSES = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")

NAMES = [
    *losses.__all__,
    *(name for module in (trl_ext, trainer) for name in module.__all__ if name.endswith("Trainer")),
]
# What a caller can minimise, not the base or what they return
OBJECTIVES = [
    getattr(losses, name)
    for name in losses.__all__
    if hasattr(getattr(losses, name), "get_config_dict") and not inspect.isabstract(getattr(losses, name))
]
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", PAPERS, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
BLOCKS = re.findall(r"```python\n(.*?)```", PAPERS, re.DOTALL)


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_loss_and_trainer_has_an_entry(name):
    # named as a whole: `HingeLoss` is no entry of a `Hinge`
    for page, text in (("paper_index", PAPERS), ("losses", LOSSES)):
        assert re.search(rf"`{name}[`(.]", text), f"{name} has no entry in docs/{page}.md"


@pytest.mark.parametrize(
    "name", [name for name in losses.__all__ if name.lower().endswith("loss") and name != "PairwiseLoss"]
)
def test_every_loss_has_a_row_with_a_formula(name):
    row, *others = [line for line in LOSSES.splitlines() if re.match(rf"\| `{name}[`(]", line)]
    assert not others, "one row, or two texts grow apart"
    cells = [cell for cell in re.split(r"(?<!\\)\|", row) if cell.strip()]
    assert len(cells) == 4, "loss, formula, columns, when"


def test_nothing_public_is_left_out():
    # a loss that lacks a citation or can't be rebuilt would not be among the objectives
    named = {name for name in losses.__all__ if name.endswith("Loss")} - {"PairwiseLoss"}
    assert named == {found.__name__ for found in OBJECTIVES}


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda found: found.__name__)
def test_citation_is_bibtex_and_the_configuration_rebuilds_the_loss(objective):
    loss = objective()
    entries = re.findall(r"^@(\w+)\{([\w:-]+),$", loss.citation, re.MULTILINE)
    assert entries and loss.citation.count("{") == loss.citation.count("}")
    for field in ("title", "year"):
        assert re.search(rf"^\s*{field}\s*=", loss.citation, re.MULTILINE), field
    settings = loss.get_config_dict()
    assert set(settings) == set(inspect.signature(objective).parameters)
    assert type(loss)(**settings).get_config_dict() == settings


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_names_of_the_page_are_importable_from_the_package(name):
    assert callable(getattr(losses, name, None) or getattr(trl_ext, name, None))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_pass_the_checks_of_their_script(command, tmp_path, monkeypatch):
    words = shlex.split(command)
    words = words[{"python": 1, "accelerate": 2}[words[0]] :]
    script, arguments = words[0], words[2:] if words[1:2] == ["with"] else words[1:]
    assert (ROOT / script).is_file()
    experiment = importlib.import_module(script.removesuffix(".py").replace("/", ".")).ex
    updates, named = get_config_updates(arguments)
    # Sacred's own way from a command line to a configuration: the hooks check every key and value
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    experiment._create_run("main", config_updates=updates, named_configs=named)


# Others than those on data that are not here: LIE, and what tasks/charm/calibrate.py writes
TRAININGS = [
    command for command in COMMANDS if " tasks/train.py" in command and "lie" not in command and "charm" not in command
]
LOSS_OF = {
    "rapl_method=beta": "BetaRAPLLoss",
    "rapl_method=none": "BradleyTerryLoss",
    "rapl_method=joint": "CommitmentLoss",
    "rapl_method=smoothing": "SoftLabelLoss",
    "rapl_method=p": "EpsilonRAPLLoss",
    "reward_head=gaussian": "GaussianRewardLoss",
    "noise_method=soft_label": "SoftLabelLoss",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(set(TRAININGS)))
def test_trainings_load_their_data_and_have_the_loss_that_they_stand_for(command, model, tmp_path, monkeypatch):
    train = importlib.import_module("tasks.train")
    data = importlib.import_module("tasks.train_data")
    arguments = importlib.import_module("tasks.train_arguments")
    monkeypatch.chdir(tmp_path)
    for name, extra in (
        ("pairs.jsonl", {"label": 1.0}),
        ("judged_pairs.jsonl", {"anchor_chosen": 2, "anchor_rejected": 0}),
    ):
        rows = [{"prompt": f"Q{i}", "chosen": f"yes {i}", "rejected": f"no {i}"} | extra for i in range(8)]
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = shlex.split(command)
    updates, named = get_config_updates(words[words.index("with") + 1 :])
    updates = updates | {"output_dir": "out", "trainer": updates.get("trainer", {}) | {"use_cpu": True}}
    config = copy.deepcopy(dict(train.ex._create_run("main", config_updates=updates, named_configs=named).config))
    found = data.load_training_data(config)
    method = arguments.method_name(config)
    rows = {
        "train_dataset": found.train.select(range(8)),
        "eval_dataset": found.evaluation and found.evaluation.select(range(8)),
    }
    trainer = arguments.trainer_classes(method)[1](
        model,
        arguments.training_arguments(config, found, method),
        **rows,
    )
    losses = [type(loss).__name__ for loss in trainer.card_losses()]
    # the first of them decides
    settings = [f"{key}={config[key]}" for key in ("reward_head", "noise_method", "rapl_method")]
    deciding = [setting for setting in settings if setting not in ("reward_head=scalar", "noise_method=None")]
    if deciding[0] == "reward_head=ensemble":
        deciding.pop(0)
    assert losses == [LOSS_OF.get(deciding[0], losses[0])]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/paper_index.md", "exec"), {})


def test_links_lead_to_files_and_sections():
    sections = {
        re.sub(r"[^\w\- ]", "", line[3:].lower()).replace(" ", "-")
        for line in PAPERS.splitlines()
        if line[:3] == "## "
    }
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", PAPERS):
        file, _, anchor = target.partition("#")
        assert not file or (ROOT / "docs" / file).exists(), target
        assert file or anchor in sections, target
