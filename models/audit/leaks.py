"""Does anything that is learned from, or tested on, know the future? Checks of features and of times.

Each check answers with findings, worst first; none means that nothing was seen. The kinds of leaks are those that
Kaufman, Rosset, Perlich and Stitelman (2012), "Leakage in data mining", ACM TKDD 6(4) describe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.audit.finding import Finding, Severity
from models.evaluation.measures import auc

Array = npt.NDArray[Any]

#: From this AUC on, a feature alone is too good to be true.
AUC_LIMIT = 0.98
#: Fewer examples of a class than this can be told apart by chance.
LEAST_OF_A_CLASS = 30
DAY_S = 86_400.0
_RELATIVE = 1e-5
_CLASSES: tuple[tuple[int, str, Severity], ...] = ((0, "stayers", "fault"), (1, "leavers", "warning"))


def single_features(names: Sequence[str], matrix: Array, labels: Array, limit: float = AUC_LIMIT) -> list[Finding]:
    """Features that by themselves part leavers from stayers with an AUC above `limit`, in either direction.

    `matrix` is rows x features. Being unknown (NaN) counts as a value, below or above all others, whichever parts
    better: a feature that is only filled for leavers is a leak too. Rows without a label (NaN) are left out; with fewer
    than 30 rows of either class there is no finding.
    """
    known = np.isfinite(labels)
    matrix, labels = matrix[known], labels[known]
    if min(labels.sum(), len(labels) - labels.sum()) < LEAST_OF_A_CLASS:
        return []
    found = [
        Finding(
            kind="single_feature",
            subject=name,
            size=size,
            severity="fault",
            sentence=f"{name} alone tells leavers from stayers with an AUC of {size:.3f}; does it know who left?",
        )
        for name, size in zip(names, (_best_auc(labels, column) for column in matrix.T), strict=True)
        if size > limit
    ]
    return _worst_first(found)


def known_too_late(as_of: Array, known_at: Array, subject: str = "features") -> list[Finding]:
    """Rows that rest on something that was known only after their prediction was made (both epoch seconds).

    `known_at` is when the newest thing that went into the row became known; NaN where nothing did.
    """
    late = known_at > as_of
    if not late.any():
        return []
    share = float(late.mean())
    worst = float((known_at - as_of)[late].max()) / DAY_S
    sentence = f"{share:.1%} of rows use {subject} known after the prediction, up to {worst:.1f} days later"
    return [Finding(kind="known_too_late", subject=subject, size=share, severity="fault", sentence=sentence)]


def differing_features(names: Sequence[str], served: Array, recomputed: Array) -> list[Finding]:
    """Features whose served values are not those recomputed from what was known at the time of the prediction.

    Both are rows x features, row by row of the same prediction; NaN equals NaN. Values are compared as float32 are:
    to a hundred-thousandth of their size.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    if served.shape != recomputed.shape:
        raise ValueError(f"served features of shape {served.shape} beside {recomputed.shape} (allowed: equal shapes)")
    if not len(served):
        return []
    shares = 1.0 - np.isclose(served, recomputed, rtol=_RELATIVE, atol=_RELATIVE, equal_nan=True).mean(axis=0)
    found = [
        Finding(
            kind="features_differ",
            subject=name,
            size=float(share),
            severity="fault",
            sentence=f"{name} was served otherwise than what was known then gives, in {share:.1%} of rows",
        )
        for name, share in zip(names, shares, strict=True)
        if share > 0.0
    ]
    return _worst_first(found)


def after_leaving(
    left_at: Array, last_at: Array, what: str, *, slack_s: float = DAY_S, share_limit: float = 0.02
) -> list[Finding]:
    """Customers who go on after they left: `what` is `events` or `scores`.

    One entry per customer, epoch seconds: when they left for good (NaN: they have not), and when the last event or
    score was (NaN: none). `slack_s` is let by. More than `share_limit` of leavers is a warning for events (a refund, a
    survey: what comes after leaving must not reach a feature), and any at all is a fault for scores.
    """
    leavers = np.isfinite(left_at)
    if not leavers.any():
        return []
    share = float((last_at[leavers] > left_at[leavers] + slack_s).mean())
    if share <= (share_limit if what == "events" else 0.0):
        return []
    return [
        Finding(
            kind="after_leaving",
            subject=what,
            size=share,
            severity="warning" if what == "events" else "fault",
            sentence=f"{share:.1%} of the customers who left have {what} more than {slack_s / DAY_S:g} days later",
        )
    ]


def early_learning(label: Array, due_at: Array, learned_at: Array) -> list[Finding]:
    """Examples that were learned before their horizon (gap included) ended; times are epoch seconds.

    Nobody can know before then that a customer stays: a fault. That one left can be known; but when leavers are learned
    earlier than stayers of the same day, the rate that is learned is too high: a warning.
    """
    early = learned_at < due_at
    found = []
    for value, subject, severity in _CLASSES:
        of_class = label == value
        share = float(early[of_class].mean()) if of_class.any() else 0.0
        if share:
            found.append(
                Finding(
                    kind="early_learning",
                    subject=subject,
                    size=share,
                    severity=severity,
                    sentence=f"{share:.1%} of {subject} were learned before their horizon ended",
                )
            )
    return found


def overlap(
    train_customer: Array, train_learned_at: Array, train_due_at: Array, test_customer: Array, test_as_of: Array
) -> list[Finding]:
    """Predictions made while a label of the same customer that reaches beyond them was already learned.

    Such a prediction rests on what happens after it. Customers are whole numbers, times epoch seconds; a training row
    counts from when it was learned until its horizon ends.
    """
    early = train_learned_at < train_due_at
    inside = _inside(
        train_customer[early], train_learned_at[early], train_due_at[early], test_customer, np.asarray(test_as_of)
    )
    share = float(inside.mean()) if len(inside) else 0.0
    if not share:
        return []
    sentence = f"{share:.1%} of predictions were made after a later truth of the same customer had been learned"
    return [Finding(kind="overlap", subject="predictions", size=share, severity="fault", sentence=sentence)]


def _best_auc(labels: Array, column: Array) -> float:
    unknown = np.isnan(column)
    values = np.asarray(column, dtype=np.float64)
    areas = [auc(labels, np.where(unknown, end, values)) for end in ((-np.inf, np.inf) if unknown.any() else (0.0,))]
    return max(max(area, 1.0 - area) for area in areas)


def _inside(owners: Array, starts: Array, ends: Array, customers: Array, times: Array) -> npt.NDArray[np.bool_]:
    """Whether each time lies in one of the intervals [start, end) of its customer: a sweep with a count of the open."""
    count = len(starts)
    who = np.concatenate([owners, owners, customers])
    when = np.concatenate([starts, ends, times])
    step = np.concatenate([np.ones(count), -np.ones(count), np.zeros(len(times))])
    # At one moment, ends come before what is asked would count them: first open and close, then ask.
    order = np.lexsort((step == 0, when, who))
    is_open = np.empty(len(who), dtype=bool)
    is_open[order] = np.cumsum(step[order]) > 0
    return is_open[2 * count :]


def _worst_first(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: (-finding.size, finding.subject))
