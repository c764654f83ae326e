"""
README, guides and migration pages: what they tell to run is run as printed, in order, as a newcomer would after `git clone`.

Pages start from the run of `make train`, for which a small encoder, trained for a few steps, stands in. The last test runs
`make train` itself, and then the pages that start from it.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, REASONS, ROOT, placeholders, read_page
from tests.docs.workspace import Failed, environment, make_workspace, run_page


ALL = [read_page(path) for path in PAGES]
METHODS = {"outputs/demo-beta": "beta", "outputs/demo-none": "none"}
QUICK = (
    "model_name=bundled:all-minilm-l6-v2 use_peft=False train_last_layers=1 learning_rate=1e-3 train_dataset_size=128 "
    "trainer.max_steps=8 eval_strategy=no eval_before_training=False calibrate=None"
)


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
            assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
        return clone

    return train


def copied(workspace: Path, folder: Path) -> Path:
    """A page's own copy: what one page writes, another does not find."""
    return shutil.copytree(workspace, folder / "trl_ext", symlinks=True)


@pytest.mark.parametrize("page", by_name(ALL, slow=[page for page in ALL if page.is_slow]))
def test_commands_run_as_printed(page, trained, tmp_path):
    assert any(block.runs for block in page.blocks)
    print(run_page(page, copied(trained(page.starts_from), tmp_path)))


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

    def test_what_runs_has_nothing_to_fill_in(self, page):
        found = {block.line: names for block in page.blocks if block.runs and (names := placeholders(block.code))}
        assert not found, "say why the block is not run, by a comment above it, or print what can be run"

    def test_scripts_exist(self, page):
        scripts = set(re.findall(r"(?:tasks|benchmarks)/[\w/]+\.py", page.path.read_text(encoding="utf-8")))
        assert [name for name in sorted(scripts) if not (ROOT / name).exists()] == []

    def test_it_starts_from_runs_that_are_known(self, page):
        assert set(page.starts_from) <= set(METHODS)


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
