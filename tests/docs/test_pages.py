"""
README, guides and migration pages: what they tell to run is run as printed, in order, as a newcomer would after `git clone`,
and what they show as output is compared with it.

Pages start from the run of `make train`, for which a small encoder, trained for a few steps, stands in. The last test runs
`make train` itself, and then the pages that start from it.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sacred.config.config_scope import get_config_comments

from tasks.train import default as TRAIN
from tests.docs.pages import PAGES, PRINTED, REASONS, ROOT, Block, missing_lines, placeholders, read_page
from tests.docs.workspace import Failed, environment, make_workspace, run_page, shortened


ALL = [read_page(path) for path in PAGES]
METHODS = {"outputs/demo-beta": "beta", "outputs/demo-none": "none"}
QUICK = (
    "model_name=bundled:all-minilm-l6-v2 use_peft=False train_last_layers=1 learning_rate=1e-3 train_dataset_size=128 "
    "trainer.max_steps=8 eval_strategy=no eval_before_training=False"
)
# For trainings of minutes: they begin, on the data that the page has made, and end with a model
SHORT = (
    "model_name=bundled:all-minilm-l6-v2 use_peft=False train_last_layers=1 train_dataset_size=32 trainer.max_steps=1 "
    "eval_strategy=no eval_before_training=False experiment_tag=short"
)
# The model is given on that page
SHORT_CALIBRATION = "trainer.max_steps=1 train_last_layers=1"


def by_name(pages, slow=()):
    return [pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page in slow else []) for page in pages]


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def trained(clone):
    """Makes quick runs in the clone, in place of those that a page starts from; each once."""

    def train(folders) -> Path:
        for folder in (folder for folder in folders if not (clone / folder).exists()):
            command = f"python tasks/train.py with rapl_method={METHODS[folder]} {QUICK}"
            ran = subprocess.run(
                ["bash", "-c", command], cwd=clone, env=environment(clone), capture_output=True, text=True
            )
            if ran.returncode:
                shutil.rmtree(clone / folder, ignore_errors=True)  # no other page starts from half a model
                raise Failed(ran.stdout[-2000:] + ran.stderr[-2000:])
        return clone

    return train


def copied(workspace: Path, folder: Path) -> Path:
    """A page's own copy: what one page writes, another does not find."""
    return shutil.copytree(workspace, folder / "trl_ext", symlinks=True)


def short_trainings(page) -> str:
    return SHORT_CALIBRATION if page.path.stem == "over_valued" else SHORT


@pytest.mark.parametrize("page", by_name(ALL, slow=[page for page in ALL if page.is_slow]))
def test_commands_run_as_printed(page, trained, tmp_path):
    assert any(block.runs for block in page.blocks)
    print(run_page(page, copied(trained(page.starts_from), tmp_path), short_trainings(page) if page.is_slow else None))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", by_name(page for page in ALL if not page.is_slow and any(block.trains for block in page.blocks))
)
def test_trainings_of_minutes_begin(page, trained, tmp_path):
    """On the files that the page makes. Those of slow pages are begun where the page is run."""
    print(run_page(page, copied(trained(page.starts_from), tmp_path), short_trainings(page)))


@pytest.mark.slow
def test_a_newcomer_runs_everything(tmp_path):
    """What the README begins with, and every page that starts from the model that it made."""
    (tmp_path / "source").mkdir()
    source = make_workspace(tmp_path / "source")
    readme = next(page for page in ALL if page.name == "README.md")
    first = readme.blocks[0].code.partition("\n")
    assert first[0].startswith("git clone ") and "make train" in first[2]
    second = "accelerate launch tasks/train.py with rapl_method=none"
    for script in (first[2], second):
        subprocess.run(["bash", "-ec", script], cwd=source, env=environment(source), check=True)
    assert (source / "report.html").is_file()
    failures = []
    for page in (page for page in ALL if page.starts_from):
        workspace = copied(source, tmp_path / page.path.stem)
        try:
            print(page.name, run_page(page, workspace))
        except Failed as failure:
            failures.append(str(failure))
        shutil.rmtree(workspace)
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("page", by_name(ALL))
class TestWhatIsPrinted:
    def test_what_is_not_run_says_why(self, page):
        for block in page.blocks:
            assert block.reason is None or block.reason in REASONS, f"line {block.line}: {block.reason!r}"
            assert block.reason is None or block.language in ("bash", "python"), f"line {block.line}"

    def test_outputs_say_how_far_they_are_those_of_the_command(self, page):
        for block in page.blocks:
            assert (block.printed in PRINTED) == (block.language == "text"), f"line {block.line}: {block.printed!r}"

    def test_what_runs_has_nothing_to_fill_in(self, page):
        found = {block.line: names for block in page.blocks if block.runs and (names := placeholders(block.code))}
        assert not found, "say why the block is not run, by a comment above it, or print what can be run"

    def test_scripts_exist(self, page):
        scripts = set(re.findall(r"(?:tasks|benchmarks)/[\w/]+\.py", page.path.read_text(encoding="utf-8")))
        assert [name for name in sorted(scripts) if not (ROOT / name).exists()] == []

    def test_it_starts_from_runs_that_are_known(self, page):
        assert set(page.starts_from) <= set(METHODS)


class TestComparison:
    PRINTED = "INFO - started\nada  12   0.961\nben  9  -inf\n95 % intervals [.1, 2e-05]\n"

    @pytest.mark.parametrize(
        ("printed", "text", "missing"),
        [
            ("as it stands", "ada 12 0.961\n95 % intervals [.1, 2e-05]\n", 0),
            ("as it stands", "ada 12 0.962\n", 1),
            ("as it stands", "ben 9 -inf\nada 12 0.961\n", 1),
            ("with other figures", "ada 13 1\nben 0 -0.3\n\n94 % intervals [-.1, inf]\n", 0),
            ("with other figures", "ada 13\n", 1),
            ("with other figures", "eve 13 0.2\n", 1),
        ],
    )
    def test_lines_that_were_not_printed_are_found(self, printed, text, missing):
        assert len(missing_lines(Block("text", text, 1, None, printed), self.PRINTED)) == missing

    def test_trainings_are_shortened(self):
        code = "accelerate launch tasks/train.py with rapl_method=p \\\n    a=1   # two\npython tasks/charm/train.py with b=2\nls\n"
        first, second, third = shortened(code, "max_steps=1 c=3").splitlines()
        assert " ".join(first.split()).endswith("rapl_method=p a=1 max_steps=1 c=3 # two")
        assert second.endswith("b=2 train.max_steps=1 train.c=3") and third == "ls"


def test_comments_of_keys_stand_where_print_config_finds_them():
    comments = get_config_comments(TRAIN._func)
    for key, words in {
        "calibrate": "platt, isotonic",
        "noise_method": "forward",
        "group_by_length": "similar length",
        "verify_round_trip": "compare",
    }.items():
        assert words in comments[key], key
    assert not any(comment.startswith(("Optimisation", "pairs, stored")) for comment in comments.values())


def test_the_stand_in_is_documented():
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"python tasks/train.py with rapl_method=beta {QUICK}" in " ".join(text.replace("\\\n", " ").split())


def test_the_readme_is_short_and_has_what_others_rely_on():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    first = text.splitlines()[:30]
    assert any("make train" in line for line in first) and any(line.startswith("![") for line in first)
    assert "make test" in text and "accelerate launch tasks/train.py with rapl_method=beta" in text


def test_every_linked_file_exists():
    documents = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("tasks/*/README.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert target.startswith("http") or (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index)}
    pages = {path for path in ROOT.glob("docs/**/*.md") if path != ROOT / "docs" / "README.md"}
    assert not pages - linked
