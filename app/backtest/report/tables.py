"""Everything of a report that is a table or a list of facts."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime

from app.backtest.report.words import percent
from models.backtest.audit import AuditReport
from models.backtest.judge import measured
from models.backtest.result import Horizon, Result
from models.evaluation import EMITTED, Evaluation, Interval

_ROWS = 15
_MEASURES = (
    ("auc", "AUC", "a leaver ranks above a stayer", 3),
    ("average_precision", "average precision", "right among those called leavers", 3),
    ("log_loss", "log loss", "lower is better", 3),
    ("brier", "Brier score", "lower is better", 3),
    ("ece", "calibration error", "lower is better", 3),
    ("lift_at_top", "lift in the top tenth", "times as many leavers as by chance", 2),
    ("precision_at_top", "leavers in the top tenth", "share that leaves", 3),
    ("profit", "profit per prediction", "following the probabilities", 2),
)  # fmt: skip
_COMPARED = {"auc": 1, "log_loss": -1, "brier": -1, "profit": 1}


def comparison(horizon: Horizon) -> str:
    """The model beside rule and prior, with intervals and who wins."""
    predictors = [measured(horizon.evaluations, horizon.judged_days, name) for name in (EMITTED, "rule", "prior")]
    emitted = predictors[0]
    if not emitted.measures:
        return _note("Too few known outcomes for any figure.")
    rows = []
    for key, name, about, digits in _MEASURES:
        cells = [_cell(one.measures[key], digits) for one in predictors]
        rows.append(
            f"<tr><th>{name}<br><small class=quiet>{about}</small></th>{''.join(cells)}{_winner(emitted, key)}</tr>"
        )
    head = "<th></th><th class=n>model</th><th class=n>rule</th><th class=n>prior</th><th>model against rule</th>"
    caption = f"{emitted.rows:,} predictions of {emitted.customers:,} customers; below: 95 % intervals"
    return _table(head, rows, caption, "against")


def _cell(value: Interval, digits: int) -> str:
    return f"<td class=n>{value.value:.{digits}f}<small>{value.low:.{digits}f} to {value.high:.{digits}f}</small></td>"


def _winner(emitted: Evaluation, key: str) -> str:
    better = _COMPARED.get(key)
    if better is None:
        return "<td></td>"
    difference = emitted.against["rule"][key]
    low, high = sorted((better * difference.low, better * difference.high))
    word, tone = ("better", "good") if low > 0 else ("worse", "bad") if high < 0 else ("no clear difference", "quiet")
    return f"<td><span class={tone}>{word}</span><small>{difference.value:+.4f}</small></td>"


def windows(horizon: Horizon) -> str:
    """The emitted probabilities over the last days and over all time."""
    rows = []
    for one in horizon.evaluations:
        if one.predictor != EMITTED or one.cohort != "all":
            continue
        name = "all time" if one.window_days is None else f"last {one.window_days:g} days"
        told = one.measures
        cells = (
            "".join(
                f"<td class=n>{told[key].value:.3f}</td>" for key in ("auc", "average_precision", "log_loss", "ece")
            )
            + f"<td class=n>{told['lift_at_top'].value:.2f}</td>"
            if told
            else "<td class='n quiet' colspan=5>too few known outcomes</td>"
        )
        rows.append(f"<tr><th>{name}</th><td class=n>{one.rows:,}</td><td class=n>{one.positives:,}</td>{cells}</tr>")
    names = ("predictions", "left", "AUC", "average precision", "log loss", "calibration error", "lift, top tenth")
    return _table("<th>known in</th>" + "".join(f"<th class=n>{name}</th>" for name in names), rows)


def horizons(result: Result) -> str:
    """All horizons of the run side by side; empty for a single one."""
    if len(result.horizons) == 1:
        return ""
    rows = []
    for one in result.horizons:
        cells = _cells(measured(one.evaluations, one.judged_days), ("rate", "auc", "log_loss", "ece", "lift_at_top"))
        rows.append(f"<tr><th>{one.horizon_days:g} days</th>{cells}</tr>")
    names = ("left", "AUC", "log loss", "calibration error", "lift, top tenth")
    return _table("<th>horizon</th>" + "".join(f"<th class=n>{name}</th>" for name in names), rows)


def _cells(one: Evaluation, keys: Sequence[str]) -> str:
    if not one.measures:
        return f"<td class='n quiet' colspan={len(keys)}>too few known outcomes</td>"
    return "".join(f"<td class=n>{one.measures[key].value:.3f}</td>" for key in keys)


def importance(horizon: Horizon) -> str:
    """The columns that move the model most."""
    top = horizon.importance[:_ROWS]
    if not top:
        return _note("The model in use reads no column.")
    largest = top[0].mean_size
    rows = [
        f"<tr><th>{html.escape(one.description)}<br><small class=quiet>{html.escape(one.feature)}</small>"
        f"{' <span class=tag>echoes the label</span>' if one.echoes_label else ''}</th>"
        f"<td class=bar>{_bar(one.mean_size / largest)}</td><td class=n>{one.mean_size:.3f}</td></tr>"
        for one in top
    ]
    return _table("<th>column</th><th></th><th class=n>log-odds</th>", rows)


def drift(horizon: Horizon) -> str:
    """The columns that moved most between the first half and the last quarter."""
    top = horizon.drift[:_ROWS]
    if not top:
        return _note("Fewer than four weekly cut-offs: nothing to compare.")
    rows = [
        f"<tr><th>{html.escape(one.feature)}</th><td class=bar>{_bar(min(1.0, one.psi), one.psi > _MOVED)}</td>"
        f"<td class=n>{one.psi:.2f}</td><td class=n>{_mean(one.mean_before)} → {_mean(one.mean_after)}</td>"
        f"<td class=n>{percent(one.unknown_before)} → {percent(one.unknown_after)}</td></tr>"
        for one in top
    ]
    return _table("<th>column</th><th></th><th class=n>PSI</th><th class=n>mean</th><th class=n>unknown</th>", rows)


#: A population stability index above this is a clear move.
_MOVED = 0.25


def label_card(horizon: Horizon) -> str:
    """What was predicted of whom."""
    card = horizon.card
    known = card.left + card.stayed
    return _pairs([
        ("what counts as leaving", card.definition),
        ("who is predicted", card.cohort),
        ("horizon and gap", f"{card.horizon_days:g} days, {card.gap_days:g} days gap"),
        ("customers", f"{card.customers:,}"),
        ("judged predictions", f"{card.predictions:,} at weekly cut-offs"),
        ("left", f"{card.left:,}" + (f" ({percent(card.left / known)} of those known)" if known else "")),
        ("stayed", f"{card.stayed:,}"),
        ("no label", f"{card.void:,} (left in the gap, or because a payment failed)"),
        ("not known yet", f"{card.unknown:,} (the horizon ends after the data)"),
    ])  # fmt: skip


def sufficiency(result: Result) -> str:
    """Whether there is enough history, and what served meanwhile."""
    found = result.sufficiency
    rows = [
        f"<tr><th>{html.escape(one.name.replace('_', ' '))}</th><td>{html.escape(one.sentence)}</td>"
        f"<td class={'good' if one.met else 'bad'}>{'enough' if one.met else one.level}</td></tr>"
        for one in found.criteria
    ]
    served = ", then ".join(f"{one.model} from {one.since[:10]}" for one in result.served)
    return _table("<th></th><th></th><th></th>", rows, f"{found.sentence} Served: {served}.")


def audit(found: AuditReport) -> str:
    """What was looked for, and found."""
    if found.clean:
        return _pairs([("verdict", "no leak found"), ("looked for", "; ".join(found.checks))])
    rows = [
        f"<tr><th>{html.escape(one.kind.replace('_', ' '))}</th><td>{html.escape(one.sentence)}</td>"
        f"<td class={'bad' if one.severity == 'fault' else 'quiet'}>{one.severity}</td></tr>"
        for one in found.findings
    ]
    return _table("<th>kind</th><th>what was seen</th><th></th>", rows)


def data(result: Result) -> str:
    """What was read, and what was refused."""
    found = result.data
    refused = ", ".join(f"{name} {count:,}" for name, count in found.refused.items()) or "none"
    judged, timings = found.judged_share_of_customers, result.timings
    return _pairs([
        ("source", ", ".join(found.sources)),
        ("events", f"{found.events:,} from {found.first_event[:10]} to {found.last_event[:10]}"),
        ("customers", f"{found.customers:,}"),
        ("repeated", f"{found.duplicates:,}"),
        ("refused", refused),
        ("out of order", f"{found.late:,} too late to be sorted in"),
        ("judged", "all customers" if judged == 1 else f"{percent(judged)} of the customers, drawn by number"),
        ("run", f"{timings['wall_s']:.0f} s, {timings['events_per_cpu_s']:,.0f} events per second of CPU"),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
    ])  # fmt: skip


def tiles(result: Result) -> str:
    """The figures at a glance."""
    first = result.horizons[0]
    told = measured(first.evaluations, first.judged_days).measures
    facts = [(f"{result.data.customers:,}", "customers"), (f"{result.data.events:,}", "events")]
    if told and first.campaign is not None:
        auc = told["auc"]
        facts = [
            (f"{first.campaign.lift.value:.1f} ×", f"leavers in the top {percent(first.campaign.share)}"),
            (percent(told["rate"].value), f"leave within {first.horizon_days:g} days"),
            (f"{auc.value:.3f}", f"AUC, {auc.low:.3f} to {auc.high:.3f}"),
            (f"{100 * told['ece'].value:.1f}", "points of calibration error"),
        ]
    return "".join(f"<div class=tile><b>{html.escape(a)}</b><span>{html.escape(b)}</span></div>" for a, b in facts)


def day(text: str) -> str:
    """A moment as a date for reading."""
    return f"{datetime.fromisoformat(text):%-d %B %Y}"


def _mean(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _bar(share: float, warn: bool = False) -> str:
    return f'<div class=track><i {"class=warn " if warn else ""}style="width:{100 * share:.1f}%"></i></div>'


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    told = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
    return f"<div class=box><dl class=pairs>{told}</dl></div>"


def _table(head: str, rows: Sequence[str], caption: str = "", kind: str = "") -> str:
    told = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    begin = f"<table class={kind}>" if kind else "<table>"
    return f"<div class=box>{begin}{told}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _note(text: str) -> str:
    return f"<div class=box><p class=quiet>{html.escape(text)}</p></div>"
