from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.destinations.contract.expressions import FILTERS, NAMES, InvalidExpression, compile_expression
from tests.streams.sync.support import make_score

SCORE = make_score("user:ada", probability=0.6789, features={"days": 40.0, "gone": None}, other_horizons={"7": 0.25})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("probability * 100 | round(1)", 67.9),
        ("probability | round(0)", 1),
        ("customer_id | removeprefix('user:') | upper", "ADA"),
        ("reasons | names | join(', ')", "days_since_order, cancel_intent"),
        ("reasons | texts | first", "no order for 40 days"),
        ("'gold' if features.days > 30 else 'other'", "gold"),
        ("features['days'] / 0", None),
        ("features.gone + 1", None),
        ("features.nothing | default(0)", 0),
        ("features.gone == None", True),
        ("other_horizons['7']", 0.25),
        ("not likelihood_to_churn", False),
        ("likelihood_to_churn and band", "high"),
        ("false_start if False else 'x'", None),
        ("-probability + 1", 1 - 0.6789),
        ("scored_at | epoch", 1772359201),
        ("band | cut(2)", "hi"),
        ("'a' * 99999999", None),
        ("model + ' ' + model_version", "logistic v7"),
    ],
)
def test_expressions(text: str, expected: Any) -> None:
    """Each part of the language computes what it says, and what is unknown stays unknown."""
    if "false_start" in text:
        with pytest.raises(InvalidExpression, match="false_start"):
            compile_expression(text)
        return

    assert compile_expression(text)(SCORE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "1 +", "__import__('os')", "customer_id.__class__", "open('x')", "[1, 2]", "lambda: 1", "probability ** 9",
        "email", "band | eval", "band | round", "band | round('x')", "band | join(1)", "features", "reasons[0]",
        "(x := 1)", "f'{band}'", "1 < probability < 2", "band | cut(features.days)", "x" * 501, "(" * 300, "b'x'",
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    """What is not listed is refused when the settings are read, before any score."""
    with pytest.raises(InvalidExpression):
        compile_expression(text)


@given(
    left=st.sampled_from([*NAMES, "features.days", "features.gone", "1", "'a'", "None"]),
    sign=st.sampled_from(["+", "-", "*", "/", "<", "==", "and", "or"]),
    right=st.sampled_from([*NAMES, "features.days", "0", "''"]),
    then=st.sampled_from(sorted(set(FILTERS) - {"texts", "names"})),
)
def test_no_score_can_make_an_expression_fail(left: str, sign: str, right: str, then: str) -> None:
    """Whatever is computed of whatever, the result is a plain value or unknown, never an error."""
    arguments = {"round": "(1)", "cut": "(3)", "removeprefix": "('a')", "join": "(',')", "default": "(0)"}
    value = compile_expression(f"({left} {sign} {right}) | {then}{arguments.get(then, '')}")(SCORE)

    assert not isinstance(value, float) or math.isfinite(value)
    assert orjson.dumps(value, default=repr)
