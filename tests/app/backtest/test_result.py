from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from app.cli import main
from models.backtest.result import Result
from models.evaluation import auc, log_loss

SHOP = "simulator:customers=300,days=120,seed=2"
ARGV = ["backtest", SHOP, "--label", "cancellation:30d"]
VOID = {"meta", "br", "path", "use", "rect", "line"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with everything: exit status, result, report, predictions."""
    folder = tmp_path_factory.mktemp("run")
    files = {name: folder / name for name in ("out.parquet", "out.json", "out.html")}
    status = main([
        *ARGV, "--horizons", "7d", "--audit", "--predictions", str(files["out.parquet"]), "--json",
        str(files["out.json"]), "--report", str(files["out.html"]),
    ])  # fmt: skip
    return status, files


@pytest.fixture(scope="module")
def result(run):
    return msgspec.json.decode(run[1]["out.json"].read_bytes(), type=Result)


class Page(HTMLParser):
    """Collects what a page is made of, and checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.attributes = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_json_is_the_documented_result(run, result):
    """What is written decodes to the schema, field by field, and says that the run is complete."""
    plain = json.loads(run[1]["out.json"].read_bytes())

    assert (run[0], result.schema_version, result.ended) == (0, 1, "complete")
    assert set(plain) == set(Result.__struct_fields__)
    assert [one.horizon_days for one in result.horizons] == [30.0, 7.0]
    assert result.audit is not None
    assert result.audit.clean


def test_measures_are_those_of_the_predictions_written(run, result):
    """AUC and log loss of a weekly cut-off, computed from the file of predictions by plain means, are those told."""
    table = pq.read_table(run[1]["out.parquet"]).to_pydict()
    horizon = result.horizons[0]
    compared = 0
    for cutoff in horizon.cutoffs:
        rows = [
            i
            for i, at in enumerate(table["as_of"])
            if at.isoformat().startswith(cutoff.as_of[:19])
            and table["horizon_days"][i] == 30.0
            and table["label"][i] is not None
        ]
        labels = np.array([table["label"][i] for i in rows])
        said = np.array([table["probability"][i] for i in rows])
        assert (len(rows), int(labels.sum())) == (cutoff.labelled, cutoff.positives)
        if cutoff.measures:
            told = cutoff.measures["emitted"]
            assert told["auc"].value == pytest.approx(auc(labels, said), abs=1e-9)
            assert told["log_loss"].value == pytest.approx(log_loss(labels, said), abs=1e-9)
            compared += 1
    assert compared >= 3


def test_the_label_card_counts_every_judged_prediction_once(result):
    """Stayed, left, void and unknown make up all judged predictions."""
    for card in (horizon.card for horizon in result.horizons):
        assert card.stayed + card.left + card.void + card.unknown == card.predictions
        assert min(card.stayed, card.left, card.unknown) > 0
    assert "within 30 days" in result.horizons[0].card.definition


def test_importance_and_drift_name_columns(result):
    """Both lists are sorted, and name columns of the vector; drift names the probability too."""
    horizon = result.horizons[0]

    sizes, moved = [one.mean_size for one in horizon.importance], [one.psi for one in horizon.drift]
    assert sizes == sorted(sizes, reverse=True)
    assert moved == sorted(moved, reverse=True)
    assert "probability" in {one.feature for one in horizon.drift}


def test_the_report_is_one_page_that_asks_for_nothing(run):
    """No script, no address, no file: what is shown is in the page. Elements are closed and ids are unique."""
    text = run[1]["out.html"].read_text("utf-8")
    page = Page(text)

    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    addresses = {value for name, value in page.attributes if name in ("src", "href", "xlink:href")}
    assert all(address.startswith("#") for address in addresses)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_every_chart_has_a_title_and_a_text_for_who_cannot_see_it(run):
    """Charts are images with a title and a description, and take their colours from the page."""
    text = run[1]["out.html"].read_text("utf-8")

    charts = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(charts) == 10
    for chart in charts:
        assert re.match(r'<svg role="img" aria-labelledby="[\w-]+ [\w-]+" viewBox', chart)
        assert re.search(r"<title id=[^>]+>[^<]+</title><desc id=[^>]+>[^<]+</desc>", chart)
        assert "#0102" not in chart
        assert "var(--tide)" in chart or "var(--warm)" in chart


def test_the_verdict_comes_first_and_in_words(run, result):
    """The page begins with what to do, before any table or chart."""
    text = run[1]["out.html"].read_text("utf-8")

    verdict = text.index("Contact the 10\u00a0%")
    assert verdict < text.index("<svg")
    assert verdict < text.index("<table")
    assert f"{result.horizons[0].campaign.lift.value:.1f} times as many" in text


def test_names_from_outside_are_text_in_the_page(tmp_path):
    """Markup in a file's name or in an event's name is shown, never interpreted."""
    source = tmp_path / "<script>alert(1)<"
    source.write_bytes(
        b'{"type":"track","event":"Order Completed","userId":"<b>","properties":{},"timestamp":"2025-01-01T01:00:00Z"}'
    )
    target = tmp_path / "out.html"

    assert main(["backtest", str(source), "--label", "inactivity:5d", "--report", str(target)]) == 0

    assert "script" not in Page(target.read_text("utf-8")).tags


def test_a_history_that_is_too_short_says_so(tmp_path, capsys):
    """Without a known outcome there is a report all the same, which says what is missing."""
    target = tmp_path / "out.html"

    assert (
        main(["backtest", "simulator:customers=20,days=15", "--label", "cancellation:30d", "--report", str(target)])
        == 0
    )

    assert "not enough history with known outcomes yet" in capsys.readouterr().out
    assert "not enough history with known outcomes yet" in target.read_text("utf-8")


def test_a_report_without_its_library_is_refused_before_the_run(monkeypatch, capsys):
    """What to install is told at once, not after an hour."""
    for name in [name for name in sys.modules if name.startswith("app.backtest.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert main([*ARGV, "--report", "out.html"]) == 2

    assert "pip install 'ebbtide[report]'" in capsys.readouterr().err
