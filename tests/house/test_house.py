"""The house itself: what importing costs, what imports what, and that the documents keep their promises."""

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hiddenstate

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
MODULES = sorted(info.name for info in pkgutil.walk_packages(hiddenstate.__path__, "hiddenstate."))
WITH_TORCH = ("hiddenstate.nn", "hiddenstate.train")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    heavy = (
        "torch",
        "polars",
        "narwhals",
        "rich",
        "cyclopts",
        "matplotlib",
        "safetensors",
        "sklearn",
        "pandas",
    )
    loaded = run_python("import sys, hiddenstate; print(*sorted(sys.modules))").split()
    assert not set(heavy) & set(loaded)


def test_everything_but_nn_and_train_imports_without_torch():
    names = [name for name in MODULES if not name.startswith(WITH_TORCH) and not name.endswith("__main__")]
    assert len(names) > 20
    code = f"import sys; sys.modules['torch'] = None\nfor n in {names!r}: __import__(n)\nprint('all')"
    assert run_python(code) == "all"


def test_public_names_exist():
    for name in hiddenstate.__all__:
        assert getattr(hiddenstate, name) is not None
    assert set(hiddenstate.__all__) <= set(dir(hiddenstate))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hiddenstate.nonsense


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_idea_and_a_function_fits_a_screen(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            assert node.end_lineno - body[0].lineno < 50, node.name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), target


def test_commands_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    wanted = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= wanted <= targets


def test_every_case_of_bad_input_has_its_test():
    page = (ROOT / "docs" / "bad-input.md").read_text()
    tests = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page))
    assert len(tests) >= 30
    missing = [f"{file}::{name}" for file, name in tests if f"def {name}(" not in (ROOT / file).read_text()]
    assert not missing
