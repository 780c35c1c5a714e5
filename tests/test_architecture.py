from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import ROOT

#: Calls that read the wall clock or the disk, as they look in the source. Time is a parameter in models.
FORBIDDEN_CALLS = frozenset(
    {
        "open",
        "time.time",
        "time.time_ns",
        "time.monotonic",
        "time.perf_counter",
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "date.today",
        "datetime.date.today",
    }
)
#: Functions that would run bytes that came from elsewhere.
EXECUTING = frozenset(
    {"eval", "exec", "pickle.load", "pickle.loads", "marshal.loads", "yaml.load", "dill.loads", "joblib.load"}
)
MOST_LINES = 300


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call in a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def found(packages: tuple[str, ...], forbidden: frozenset[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules(*packages)
        for line, name in calls(path)
        if name in forbidden
    ]


def test_models_read_neither_clock_nor_disk() -> None:
    """What models compute depends on their arguments alone; import-linter watches their imports."""
    assert found(("models",), FORBIDDEN_CALLS) == []


def test_nothing_runs_bytes_from_elsewhere() -> None:
    """Topics, files and requests are data: no unpickling, no evaluation."""
    assert found(("app", "streams", "models"), EXECUTING) == []


@pytest.mark.parametrize("source", ["x = open('f')", "import time\nnow = time.time()", "eval('1')"])
def test_the_search_finds_what_it_looks_for(tmp_path: Path, source: str) -> None:
    """The two tests above would see such calls."""
    module = tmp_path / "module.py"
    module.write_text(source)

    names = {name for _, name in calls(module)}

    assert names & (FORBIDDEN_CALLS | EXECUTING)


def test_modules_stay_small() -> None:
    """A module that grows past 300 lines is two modules."""
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules("app", "streams", "models")
        if (count := len(path.read_text("utf-8").splitlines())) > MOST_LINES
    }

    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    """Each module of the packages begins with a docstring, package markers too."""
    silent = [
        str(path.relative_to(ROOT))
        for path in modules("app", "streams", "models")
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]

    assert silent == []
