"""Which columns a published model looks at most. A summary for people; what moved one score are its reasons."""

from __future__ import annotations

from collections.abc import Sequence

from models.churn.forms import Form
from models.churn.forms.linear import LinearForm
from models.churn.forms.rule import RuleForm
from models.churn.forms.trees import TreesForm
from models.churn.scaling import Column


def importance(form: Form, columns: Sequence[Column]) -> dict[str, float]:
    """Columns with their weight in the form, the greatest first; empty for a form that has none of its own.

    Linear: the weight per standard deviation, signed, in log-odds. Trees: how much a column's splits change the rate,
    averaged over the trees, a split at depth d counted by its share of 1 / 2^d. The rule: 1 for each column it reads.
    """
    match form:
        case LinearForm():
            found = {column.name: weight for column, weight in zip(columns, form.weights, strict=True)}
        case TreesForm():
            found = _splits(form, columns)
        case RuleForm():
            found = dict.fromkeys(form.columns, 1.0)
        case _:
            found = {}
    known = {name: weight for name, weight in found.items() if weight}
    return dict(sorted(known.items(), key=lambda pair: -abs(pair[1])))


def _splits(form: TreesForm, columns: Sequence[Column]) -> dict[str, float]:
    total = dict.fromkeys((column.name for column in columns), 0.0)
    share = dict.fromkeys(form.roots, 1.0 / len(form.roots))
    for node, child in enumerate(form.children):
        if child:
            moved = sum(abs(form.rates[one] - form.rates[node]) for one in (child, child + 1)) / 2.0
            total[columns[form.features[node]].name] += share[node] * moved
            share[child] = share[child + 1] = share[node] / 2.0
    return total
