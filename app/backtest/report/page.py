"""The page: the verdict first, then what it rests on."""

from __future__ import annotations

import html
from collections.abc import Iterable
from importlib.resources import files

from app.backtest.report import figures, tables
from app.backtest.report.words import headline, verdict
from models.backtest.result import Result

#: Nothing is loaded and nothing runs, whatever the page holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def report_html(result: Result) -> str:
    """The whole report as one HTML document without scripts or addresses."""
    first = result.horizons[0]
    span = (
        "all known outcomes" if first.judged_days is None else f"outcomes of the last {first.judged_days:g} known days"
    )
    body = [
        _header(result),
        _verdict(result),
        f"<div class=tiles>{tables.tiles(result)}</div>",
        _section("Who to contact", f"From {span}.", _charts(figures.campaign_figures(first))),
        _section(
            "Against simpler ways",
            "Rule: the longer a customer is silent, the riskier. Prior: the same risk for everybody. Differences count "
            "as clear when chance would bring them in fewer than 5 of 100 cases.",
            tables.comparison(first),
        ),
        _section("How well risks are ranked", "", _charts(figures.ranking_figures(first))),
        _section(
            "Over time",
            "Every point judges only what was said on that day, by the model of that day.",
            _charts(figures.time_figures(first)) + tables.windows(first),
        ),
        _section("Several horizons", "", tables.horizons(result)),
        _section(
            "What moves the risk",
            "Mean size of each column's part in the log-odds, model at the end.",
            tables.importance(first),
        ),
        _section(
            "What has changed",
            "First half of the weeks against the last quarter. A population stability index (PSI) above .25 is a clear "
            "change.",
            tables.drift(first),
        ),
        _section("The label", "", tables.label_card(first)),
        _section("Is the history enough?", "", tables.sufficiency(result)),
        _section("Audit", "", tables.audit(result.audit)) if result.audit is not None else "",
        _section("Data and run", "", tables.data(result)),
    ]
    style = (files(__package__) / "report.css").read_text("utf-8")
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark">'
        f"<title>Ebbtide backtest: {html.escape(', '.join(result.data.sources))}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _header(result: Result) -> str:
    data, first = result.data, result.horizons[0]
    stopped = {"complete": "", "stopped": " Stopped before the end.", "fault": f" Ended early: {result.fault}"}
    definition = first.card.definition[0].upper() + first.card.definition[1:]
    about = (
        f"{', '.join(data.sources)}: {data.customers:,} customers, {tables.day(data.first_event)} to "
        f"{tables.day(data.last_event)}. {definition}.{stopped[result.ended]}"
    )
    return f"<header><h1>Who will leave: a backtest</h1><p class=about>{html.escape(about)}</p></header>"


def _verdict(result: Result) -> str:
    leaks = result.audit is not None and not result.audit.clean
    poor = leaks or result.horizons[0].campaign is None or result.sufficiency.level == "not enough"
    rest = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in verdict(result))
    return (
        f"<section class='verdict{' poor' if poor else ''}' aria-label=Verdict>"
        f"<strong>{html.escape(headline(result))}</strong><ul>{rest}</ul></section>"
    )


def _section(title: str, about: str, content: str) -> str:
    told = f"<p class=about>{html.escape(about)}</p>" if about else ""
    return f"<section><h2>{html.escape(title)}</h2>{told}{content}</section>" if content else ""


def _charts(found: Iterable[str]) -> str:
    told = "".join(found)
    return f"<div class=charts>{told}</div>" if told else ""
