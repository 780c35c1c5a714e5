"""The benchmark's own parts: figures and tables, the generators, and the small job on the embedded broker."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import orjson
import pytest

from app.cli import build_parser, main
from models.events.decode import decode
from models.events.types import Event
from models.settings import Settings
from streams.embedded import EmbeddedBroker
from streams.topics import CLICKSTREAM
from tests.bench import job
from tests.bench.cluster import cluster
from tests.bench.contest import Contestant, Run, Size, contest, table
from tests.bench.events import SHARES, in_turn, mixed, roll_call
from tests.bench.latency import latencies
from tests.bench.peers.ours import probabilities
from tests.bench.report import Table, decimal, median, page, percentile
from tests.bench.stages import Clock, offline

NOW = 1_760_000_000.0


def test_a_table_is_markdown_with_figures_to_the_right() -> None:
    """Heading, columns, rows and notes come out in this order."""
    one = Table("Speed", ("what", "events/s"), [("ours", "1,000")], ("Quiet machine.",))

    text = page([one], ["two cores"])

    assert "- two cores" in text
    assert text.endswith("## Speed\n\n| what | events/s |\n| --- | ---: |\n| ours | 1,000 |\n\n- Quiet machine.\n")


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    """The smallest value that so many do not exceed, whatever the order."""
    assert percentile([float(value) for value in reversed(range(1, 101))], share) == expected


def test_statistics_of_nothing_are_dashes() -> None:
    """A row without results is printed, not an error."""
    assert (decimal(median([])), decimal(percentile([], 0.5))) == ("–", "–")


def test_small_events_are_the_same_every_time() -> None:
    """Same arguments, same bytes; and the first few are the first few of many."""
    assert list(job.events(200, 50)) == list(islice(job.events(1000, 50), 200))
    assert list(job.events(200, 50, seed=2)) != list(job.events(200, 50))


def test_scores_of_a_chunk_are_those_of_its_states() -> None:
    """The vectorised scores and those that the peers compute one by one agree."""
    state, states = None, []
    for _, raw in job.events(300, 1):
        state = job.update(state, orjson.loads(raw))
        states.append(state)

    assert np.allclose(probabilities(np.array(states)), [job.score(one) for one in states], rtol=1e-12)


def test_the_verdict_names_what_is_wrong() -> None:
    """Lost, doubled and wrong scores are told apart from right ones."""
    wanted = {"a": (2, 0.5)}
    right = [{"customer_id": "a", "events": n, "probability": 0.5} for n in (1, 2)]

    assert job.verdict(right, wanted) == ""
    assert job.verdict(right[:1], wanted) == "1 scores instead of 2"
    assert job.verdict(right[::-1], wanted) == "1 of 1 final scores differ"
    assert job.verdict([right[0], right[1] | {"probability": 0.500002}], wanted) == "1 of 1 final scores differ"


def test_mixed_events_are_valid_and_repeatable() -> None:
    """Each event decodes on its topic, at its time; the same arguments give the same bytes."""
    made = list(mixed(2000, 100, NOW - 1000, NOW))
    events = [decode(raw, topic, NOW, Settings().events) for topic, _, raw in made]

    assert all(
        isinstance(event, Event) and event.customer_id == key for event, (_, key, _) in zip(events, made, strict=True)
    )
    assert made == list(mixed(2000, 100, NOW - 1000, NOW))
    assert {topic for topic, *_ in made} == SHARES.keys()
    assert sum(topic == CLICKSTREAM for topic, *_ in made) == pytest.approx(1700, abs=80)


def test_everybody_joins_and_everybody_has_a_turn() -> None:
    """The roll call has each customer once; in turn, a customer comes again after all others."""
    assert len({key for _, key, _ in roll_call(50, NOW - 10, NOW)}) == 50
    keys = [key for _, key, _ in in_turn(100, 50, NOW - 10, NOW)]
    assert keys[:50] == keys[50:] == sorted(set(keys))


def test_every_step_of_the_full_job_is_timed() -> None:
    """The offline steps take all events in, and every customer who subscribed is scored."""
    clock, joined = Clock(), list(roll_call(40, NOW - 10, NOW))

    sent = offline(Settings(), joined, clock)

    assert sent["scores"] == sent["states"] == 40
    assert len(clock.spent) == 5


def test_latency_ends_with_the_first_score_that_holds_the_event() -> None:
    """Scores of earlier events do not count, later ones do, and an event without a score is told."""
    scores = [
        SimpleNamespace(key=b"a", timestamp=at, value=orjson.dumps({"source_offsets": {"clickstream/0": offset}}))
        for offset, at in ((4, 1_000), (7, 3_000), (9, 9_000))
    ]
    sent = [("a", "clickstream/0", 5, 2.5), ("a", "clickstream/0", 7, 2.75), ("a", "purchases/0", 1, 2.0)]

    assert latencies(sent, scores) == ([0.5, 0.25], 1)


def test_ratios_are_against_ours_and_failures_are_told() -> None:
    """A contestant that could not run has a row that says why."""
    ours = Contestant("ours", "tests.bench.peers.ours", runs=[Run(1000, 1.0, 0.5, 10.0), Run(1000, 0.5, 0.5, 10.0)])
    slow = Contestant("slow", "tests.bench.peers.slow", runs=[Run(1000, 10.0, 9.0, 10.0, "3 final scores differ")])
    gone = Contestant("gone", "tests.bench.peers.gone", failed="no wheel")

    rows = {row[0]: row for row in table([ours, slow, gone], Size()).rows}

    assert rows["ours"][1:4] == ("1,500", "1,000 to 2,000", "500.0")
    assert rows["slow"][-2:] == ("15.0×", "3 final scores differ")
    assert rows["gone"][-1] == "no wheel"


def test_the_small_job_is_done_right(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Our contestant, as a process on a real broker, gives every score once, and the last of each customer right."""
    size = Size(events=3000, few=10, customers=200, rounds=1, within_s=60.0)
    ours = Contestant("ours", "tests.bench.peers.ours", runs=[])

    with cluster(embedded_broker.bootstrap) as place:
        place.embedded = True
        found = contest(place, size, [ours])

    assert (ours.failed, [run.wrong for run in ours.runs]) == ("", [""])
    assert ours.runs[0].events == 3000
    assert math.isfinite(ours.runs[0].cpu_us)
    assert found.rows[0][-1] == "right"


def test_the_command_knows_its_parts() -> None:
    """`--only` takes some of the parts and refuses others."""
    parse = build_parser().parse_args

    assert parse(["bench", "--only", "floor,job"]).only == ("floor", "job")
    with pytest.raises(SystemExit):
        parse(["bench", "--only", "speed"])


def test_an_installed_package_says_that_it_cannot_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a checkout around it the command fails in one sentence."""
    monkeypatch.setattr("app.commands.bench._ROOT", tmp_path)

    assert main(["bench", "--quick"]) == 2
    assert "needs a source checkout" in capsys.readouterr().err


def test_results_are_kept_as_data_too() -> None:
    """A table survives the way through JSON."""
    one = Table("Speed", ("what",), [("ours",)])

    assert msgspec.json.decode(msgspec.json.encode(one), type=Table) == one
