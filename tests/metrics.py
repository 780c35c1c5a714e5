"""The names of all metrics, read from the source: no role has to run for it."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.brokers import ROOT

_KINDS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def declared_metrics() -> dict[str, str]:
    """Base name (`ebbtide_…`, without a kind's suffix) of every metric that the code declares, with its kind."""
    return {
        f"ebbtide_{name.removesuffix('_total')}": kind
        for path in sorted((ROOT / "streams").rglob("*.py")) + sorted((ROOT / "app").rglob("*.py"))
        for name, kind in _declared(path)
    }


def metric_names() -> set[str]:
    """Every sample name that Prometheus can see."""
    return {name + suffix for name, kind in declared_metrics().items() for suffix in _KINDS[kind]}


def _declared(path: Path) -> list[tuple[str, str]]:
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _KINDS):
            continue
        if node.args and ast.unparse(node.func.value).endswith("telemetry"):
            found += [(name, node.func.attr) for name in _names(node.args[0], tree)]
    return found


def _names(argument: ast.expr, tree: ast.Module) -> list[str]:
    """The metric's name, or one for each key of the dictionary that an f-string's variable runs through."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
        prefix = str(argument.values[0].value)
        return [prefix + key for key in _keys_run_through(argument.values[1], tree)]
    raise AssertionError(f"a metric's name is neither text nor text and a key: {ast.unparse(argument)}")


def _keys_run_through(value: ast.expr, tree: ast.Module) -> list[str]:
    assert isinstance(value, ast.FormattedValue)
    variable = ast.unparse(value.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension | ast.For) and variable in ast.unparse(node.target):
            table = ast.unparse(node.iter).removesuffix(".items()")
            for assigned in ast.walk(tree):
                if isinstance(assigned, ast.Assign) and ast.unparse(assigned.targets[0]) == table:
                    return list(ast.literal_eval(assigned.value))
    raise AssertionError(f"cannot tell what {variable!r} in a metric's name runs through")
