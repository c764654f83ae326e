"""
README, guides and migration pages: what they tell to run is run as printed, in order, as a newcomer would after `git clone`.

Pages start from the run of `make train`. In the fast tests a small encoder, trained for two steps, stands in for it; the slow
test runs `make train` and then every page, the slow ones too.
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
    "model_name=bundled:all-minilm-l6-v2 use_peft=False train_dataset_size=16 trainer.max_steps=2 "
    "per_device_train_batch_size=4 gradient_accumulation_steps=1 eval_strategy=no eval_before_training=False"
)


def by_name(pages):
    return [pytest.param(page, id=page.name) for page in pages]


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def trained(clone) -> Path:
    """The clone with quick runs in place of those that pages start from."""
    for folder in sorted({folder for page in ALL if not page.is_slow for folder in page.starts_from}):
        subprocess.run(
            ["bash", "-c", f"python tasks/train.py with rapl_method={METHODS[folder]} {QUICK}"],
            cwd=clone,
            env=environment(clone),
            check=True,
            capture_output=True,
        )
    return clone


def copied(workspace: Path, folder: Path) -> Path:
    """A page's own copy: what one page writes, another does not find."""
    return shutil.copytree(workspace, folder / "trl_ext", symlinks=True)


@pytest.mark.parametrize("page", by_name(page for page in ALL if not page.is_slow))
def test_commands_run_as_printed(page, clone, request, tmp_path):
    if not any(block.runs for block in page.blocks):
        pytest.skip("nothing to run: every block of the page says why")
    workspace = copied(request.getfixturevalue("trained") if page.starts_from else clone, tmp_path)
    print(run_page(page, workspace))


@pytest.mark.slow
def test_a_newcomer_runs_everything(tmp_path):
    """`git clone`, `make train` and then every page, on the model that it made."""
    source = make_workspace(tmp_path / "source") if (tmp_path / "source").mkdir() is None else None
    readme = next(page for page in ALL if page.name == "README.md")
    assert any("make train" in block.code for block in readme.blocks)
    made = ["make", "train"], ["bash", "-c", "accelerate launch tasks/train.py with rapl_method=none"]
    for command in made:
        subprocess.run(command, cwd=source, env=environment(source), check=True)
    failures = []
    for page in ALL:
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
        scripts = {name for block in page.blocks for name in re.findall(r"(?:tasks|benchmarks)/[\w/]+\.py", block.code)}
        assert not [name for name in scripts if block_is_ours(page, name) and not (ROOT / name).exists()]

    def test_it_starts_from_runs_that_are_known(self, page):
        assert set(page.starts_from) <= set(METHODS)


def block_is_ours(page, name) -> bool:
    return any(name in block.code for block in page.blocks if block.language in ("bash", "python"))


def test_every_guide_has_something_to_run():
    assert [page.name for page in ALL if "guides/" in page.name and not any(block.runs for block in page.blocks)] == []


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
