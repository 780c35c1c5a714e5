"""Small expressions over a score, for the fields that a destination is sent.

    churn_percent = "probability * 100 | round(1)"
    top_reason    = "reasons | texts | first | default('none')"
    days_silent   = "features.days_since_last_event"
    tier          = "'gold' if features.monetary_365d > 500 else 'other'"

The grammar is Python's own, read by `ast` and never run: every node becomes one of the functions below, and a node
that is not listed is refused when the settings are read. Ready-made evaluators (simpleeval, CEL, JMESPath) bring
functions, attributes and loops that would have to be shut off again, and none has the pipe.

An unknown value is None, and stays None through arithmetic and filters, `default` apart. So no score can make an
expression fail.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from models.records import Reason, Score

Evaluate = Callable[[Score], Any]
_LONGEST = 500

#: What an expression can name.
NAMES: Mapping[str, Evaluate] = {
    "customer_id": lambda score: score.customer_id,
    "probability": lambda score: score.probability,
    "band": lambda score: score.band,
    "likelihood_to_churn": lambda score: score.likelihood_to_churn,
    "eligible": lambda score: score.eligible,
    "percentile": lambda score: score.percentile,
    "horizon_days": lambda score: score.horizon_days,
    "label_kind": lambda score: score.label_kind,
    "model": lambda score: score.model.name,
    "model_version": lambda score: score.model.version,
    "feature_version": lambda score: score.feature_version,
    "score_id": lambda score: score.score_id,
    "revision": lambda score: score.revision,
    "as_of": lambda score: score.as_of,
    "scored_at": lambda score: score.scored_at,
    "reasons": lambda score: score.reasons,
}
#: What an expression can look into: `features.NAME`, `other_horizons['7']`.
TABLES: Mapping[str, Callable[[Score], Mapping[str, Any]]] = {
    "features": lambda score: score.features,
    "other_horizons": lambda score: score.other_horizons,
}


class InvalidExpression(ValueError):  # noqa: N818 - reads as the fact that it states
    """The text is no expression; the message says what is not understood and what is allowed."""


def compile_expression(text: str) -> Evaluate:
    """The function that computes an expression. It is pure, total and bounded. Raises InvalidExpression."""
    if len(text) > _LONGEST:
        raise InvalidExpression(f"an expression of {len(text)} characters, allowed: up to {_LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InvalidExpression(f"{text!r} is no expression, such as: probability * 100 | round(1)") from None
    return _compile(tree.body)


def reason_text(reason: Reason) -> str:
    """A reason in words: its sentence where the model wrote one, else the feature's name."""
    return reason.text or reason.feature.replace("_", " ")


def _compile(node: ast.expr) -> Evaluate:
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, str | bool | int | float):
            return lambda _: value
        case ast.Name(id=name) if name in NAMES:
            return NAMES[name]
        case ast.Attribute(value=ast.Name(id=table), attr=key) if table in TABLES:
            return _look_up(table, key)
        case ast.Subscript(value=ast.Name(id=table), slice=ast.Constant(value=key)) if table in TABLES:
            return _look_up(table, str(key))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _filter(_compile(left), right)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _both(_ARITHMETIC[type(op)], _compile(left), _compile(right))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _both(operator.sub, lambda _: 0, _compile(operand))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand)
            return lambda score: not inner(score)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _both(_COMPARISONS[type(op)], _compile(left), _compile(right))
        case ast.BoolOp(op=op, values=values):
            return _joined([_compile(value) for value in values], every=isinstance(op, ast.And))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            condition, yes, no = _compile(test), _compile(body), _compile(orelse)
            return lambda score: yes(score) if condition(score) else no(score)
    raise InvalidExpression(
        f"{ast.unparse(node)!r} is not understood, allowed: {', '.join(NAMES)}, features.NAME, other_horizons['7'], "
        f"numbers, texts, + - * /, comparisons, and, or, not, if-else, and behind | the filters {', '.join(FILTERS)}"
    )


def _look_up(table: str, key: str) -> Evaluate:
    read = TABLES[table]
    return lambda score: read(score).get(key)


def _both(apply: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(score: Score) -> Any:
        first, second = left(score), right(score)
        if (first is None or second is None) and apply not in (operator.eq, operator.ne):
            return None
        try:
            return _finite(apply(first, second))
        except (TypeError, ValueError, ArithmeticError):
            return None

    return evaluate


def _joined(parts: Sequence[Evaluate], *, every: bool) -> Evaluate:
    def evaluate(score: Score) -> Any:
        value: Any = None
        for part in parts:
            value = part(score)
            if bool(value) != every:
                break
        return value

    return evaluate


def _filter(value: Evaluate, node: ast.expr) -> Evaluate:
    match node:
        case ast.Name(id=name):
            given: list[Any] = []
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if all(isinstance(a, ast.Constant) for a in args):
            given = [argument.value for argument in args if isinstance(argument, ast.Constant)]
        case _:
            name, given = "", []
    if name not in FILTERS or len(given) != len(FILTERS[name][1]) or not all(map(isinstance, given, FILTERS[name][1])):
        raise InvalidExpression(f"{ast.unparse(node)!r} is no filter, allowed: {', '.join(map(_signature, FILTERS))}")
    apply = FILTERS[name][0]

    def evaluate(score: Score) -> Any:
        found = value(score)
        if found is None and name != "default":
            return None
        try:
            return _finite(apply(found, *given))
        except (TypeError, ValueError, AttributeError, ArithmeticError, IndexError):
            return None

    return evaluate


def _signature(name: str) -> str:
    types = FILTERS[name][1]
    words = {str: "text", int: "number"}
    return name + (f"({', '.join(words.get(kind, 'value') for kind in types)})" if types else "")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Only numbers: a text times a large number would be a large text."""

    def checked(left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TypeError
        return apply(left, right)

    return checked


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: _numbers(operator.sub),
    ast.Mult: _numbers(operator.mul),
    ast.Div: _numbers(operator.truediv),
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
#: Filters with the types of their arguments.
FILTERS: dict[str, tuple[Callable[..., Any], tuple[type, ...]]] = {
    "round": (lambda value, digits: round(value, digits) if digits else round(value), (int,)),
    "lower": (lambda value: value.lower(), ()),
    "upper": (lambda value: value.upper(), ()),
    "text": (lambda value: str(value).lower() if isinstance(value, bool) else str(value), ()),
    "cut": (lambda value, length: value[: max(0, length)], (int,)),
    "removeprefix": (lambda value, prefix: value.removeprefix(prefix), (str,)),
    "epoch": (lambda value: int(datetime.fromisoformat(value).timestamp()), ()),
    "names": (lambda value: [reason.feature for reason in value], ()),
    "texts": (lambda value: [reason_text(reason) for reason in value], ()),
    "first": (lambda value: value[0], ()),
    "join": (lambda value, separator: separator.join(value), (str,)),
    "default": (lambda value, other: other if value is None else value, (object,)),
}
