"""Which part of the package may know which: read off the imports of its modules, without running them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest


ROOT = Path(__file__).resolve().parents[1]

# From what everything may know to what knows everything. A unit is a module with all that is below it, less those of its
# parts that stand here themselves. Units of a line don't know each other.
LAYERS = [
    ["version", "atomic_files", "lazy_exports", "privacy", "reasoning_tags"],
    # figures with intervals, of arrays alone: any part may measure
    ["cards", "losses", "evaluation.statistics", "reliability.arms", "reliability.json_io"],
    ["reliability.calibrators"],
    ["data", "evaluation.calibration"],
    ["json_lines", "shared_prefix", "evaluation.accuracy"],
    ["completions", "model_entries"],
    # from ratings to expected win rates, which a trainer can learn from
    ["arena.score_table"],
    ["arena.ratings"],
    ["arena.mismatch"],
    ["reliability"],
    ["trainer"],
    ["scoring"],
    ["reliability.correctness"],  # a reward model of its own kind, trained here
    ["evaluation"],
    ["arena", "annotators"],
    ["mislabels"],
    ["rate"],
    ["reporting"],
    ["hub"],
    ["evaluation.results.hub"],
    ["doctor"],
    ["cli"],
    ["__main__", "__init__"],
]

# Late imports against the order, each with its reason
LATE = {
    ("trainer", "hub"): "push_to_hub and checkpoints are methods of a Trainer; what is pushed is the hub's business",
    ("trainer", "reporting"): "an evaluation draws its reliability diagram where matplotlib is installed",
}

ORDER = {unit: level for level, units in enumerate(LAYERS) for unit in units}


class Import(NamedTuple):
    file: str
    line: int
    module: str
    late: bool


@cache
def exports_of(package: str) -> dict[str, str]:
    return getattr(import_module(package), "_EXPORTS", {})


def modules_of(node: ast.ImportFrom | ast.Import, package: list[str]) -> Iterator[str]:
    """Full names of the modules that an import statement reads, names of lazy packages resolved."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    target = package[: len(package) - node.level + 1] if node.level else []
    target = ".".join(target + (node.module.split(".") if node.module else []))
    for alias in node.names:
        if not target.startswith("trl_ext"):
            yield target
        elif (ROOT / target.replace(".", "/") / alias.name).with_suffix(".py").is_file():
            yield f"{target}.{alias.name}"
        elif target.count(".") == 1 and (ROOT / target.replace(".", "/")).is_dir():
            yield f"{target}.{exports_of(target).get(alias.name, '')}".rstrip(".")
        else:
            yield target


def imports_in(path: Path, root: Path = ROOT) -> Iterator[Import]:
    name = path.relative_to(root).with_suffix("")

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue  # never run
            if isinstance(child, ast.Import | ast.ImportFrom):
                for module in modules_of(child, list(name.parts[:-1])):
                    yield Import(str(path.relative_to(root)), child.lineno, module, late)
            yield from visit(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


def unit_of(module: str) -> str:
    parts = module.removeprefix("trl_ext").strip(".").split(".")
    for n in range(len(parts), 0, -1):
        if (unit := ".".join(parts[:n])) in ORDER:
            return unit
    raise AssertionError(f"{module} belongs to no layer: add its package to LAYERS, above all that it imports")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


PATHS = sorted((ROOT / "trl_ext").rglob("*.py"))
PACKAGES = sorted({path.parent for path in PATHS if (path.parent / "__init__.py").is_file()})


def test_parts_know_only_what_is_below_them():
    against = []
    for path in PATHS:
        unit = unit_of(module_of(path))
        for found in imports_in(path):
            if not found.module.startswith("trl_ext."):
                continue
            known = unit_of(found.module)
            if known == unit or ORDER[known] < ORDER[unit]:
                continue
            if not (found.late and (unit, known) in LATE):
                against.append(f"{found.file}:{found.line}: {unit} imports {known} ({found.module})")
    assert not against, "\n".join(against)


def test_every_exception_is_one():
    late = {
        (unit_of(module_of(p)), unit_of(f.module))
        for p in PATHS
        for f in imports_in(p)
        if f.module.startswith("trl_ext.") and f.late
    }
    assert set(LATE) <= late


@pytest.mark.parametrize("folder", ["tasks", "tests", "benchmarks"])
def test_the_package_knows_no_scripts(folder):
    assert not [found for path in PATHS for found in imports_in(path) if found.module.split(".")[0] == folder]


def test_a_package_says_what_it_is_for():
    silent = []
    for package in [*PACKAGES, *sorted(path.parent for path in (ROOT / "tasks").rglob("__init__.py"))]:
        text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
        if not text or len(text.split()) < 4:
            silent.append(str(package.relative_to(ROOT)))
    assert not silent


def test_import_trl_ext_is_quick_and_light():
    code = (
        "import time, sys; start = time.perf_counter(); import trl_ext; seconds = time.perf_counter() - start;"
        "print(seconds, *sorted({'torch', 'transformers', 'trl', 'datasets', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    seconds, *heavy = run.stdout.split()
    assert not heavy and float(seconds) < 1


@pytest.mark.parametrize("package", [f"trl_ext.{p.name}" for p in PACKAGES if p.parent == ROOT / "trl_ext"])
def test_what_a_package_exports_is_there_and_listed(package):
    module = import_module(package)
    assert all(hasattr(module, name) and name in dir(module) for name in getattr(module, "__all__", []))
