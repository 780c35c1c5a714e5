"""Forms: what a model is once it is published, as plain data, and how each kind is applied to a matrix.

One file per kind: its struct, every reason to refuse one from outside, and its scorer in numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from models.churn.forms.base import Scorer
from models.churn.forms.linear import LinearForm, LinearScorer, linear_faults
from models.churn.forms.prior import PriorForm, PriorScorer, prior_faults
from models.churn.forms.rule import RuleForm, RuleScorer, rule_faults
from models.churn.forms.trees import TreesForm, TreesScorer, trees_faults
from models.churn.scaling import Column

Form = RuleForm | PriorForm | LinearForm | TreesForm

#: The forms that every record has; all others are learned.
RULE, PRIOR = "rule", "prior"


def scorers(forms: Mapping[str, Form], columns: Sequence[Column]) -> dict[str, Scorer]:
    """Each form made ready for matrices of these columns."""
    return {name: _scorer(form, columns) for name, form in forms.items()}


def form_faults(forms: Mapping[str, Form], columns: Sequence[Column]) -> Iterator[str]:
    """Every reason not to use the forms of a record with these columns, in words."""
    for name, form in forms.items():
        for fault in _faults(form, columns):
            yield f"{name[:80]}: {fault}"


def _scorer(form: Form, columns: Sequence[Column]) -> Scorer:
    match form:
        case RuleForm():
            return RuleScorer(form, [column.name for column in columns])
        case PriorForm():
            return PriorScorer(form)
        case LinearForm():
            return LinearScorer(form, columns)
        case TreesForm():
            return TreesScorer(form, columns)


def _faults(form: Form, columns: Sequence[Column]) -> Iterator[str]:
    match form:
        case RuleForm():
            return rule_faults(form, {column.name for column in columns})
        case PriorForm():
            return prior_faults(form)
        case LinearForm():
            return linear_faults(form, len(columns))
        case TreesForm():
            return trees_faults(form, len(columns))
