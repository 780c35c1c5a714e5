"""The README against the code: what it names exists, what exists it names, and its examples work."""

from __future__ import annotations

import json
import re
import shlex
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import msgspec
import pytest

from app.cli import build_parser
from app.commands import COMMANDS
from app.settings import CONFIG, describe, environment, load
from models.events.catalog import CALLS
from models.events.decode import decode
from models.events.quarantine import QuarantineRecord
from models.events.reasons import REASONS
from models.events.types import Event
from models.features import FEATURE_NAMES, GROUPS
from models.records import Score
from models.schemas import load as load_schema
from models.settings import SECRETS, BrokerSettings, EventSettings, Settings, SyncSettings
from streams.destinations import configured
from streams.destinations.webhook import EVENT_TYPES, LEFT_TYPE
from streams.topics import SOURCES, topic_specs
from streams.warehouse.decode import REASONS as RECORD_REASONS
from streams.warehouse.findings import Findings, Metric
from streams.warehouse.snapshot import Publisher, live_path, snapshots_dir
from streams.warehouse.writer import WarehouseWriter
from tests.brokers import ROOT
from tests.metrics import declared_metrics
from tests.streams.warehouse.support import batch_of, make_label, make_score

README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / ".github").glob("*.md"))]
SECTIONS = [field.name for field in msgspec.structs.fields(Settings) if isinstance(field.default, msgspec.Struct)]
METRICS = {name + ("_total" if kind == "counter" else "") for name, kind in declared_metrics().items()}
SECRET = "whsec_cmVhZG1lLWV4YW1wbGUtcmVhZG1lLWV4YW1wbGU="


def blocks(*languages: str) -> list[str]:
    """The fenced code blocks of these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def typed_lines(program: str) -> list[str]:
    """The lines of shell blocks that run a program, without prompt, comment and variables in front."""
    lines = [
        line.removeprefix("$ ").split(" #")[0].strip() for text in blocks("sh", "bash") for line in text.splitlines()
    ]
    lines = [re.sub(r"^(\w+=\S* )+", "", line) for line in lines]
    return [line for line in lines if line.split(" ")[0] == program]


def examples(kind: str) -> list[dict[str, Any]]:
    """The JSON examples of a kind: event, message, score or quarantine."""
    found: dict[str, list[dict[str, Any]]] = {}
    for text in blocks("json"):
        example = json.loads(text)
        if example.get("type") in {"track", *CALLS}:
            found.setdefault("event", []).append(example)
        elif "data" in example:
            found.setdefault("message", []).append(example)
        else:
            found.setdefault("score" if "score_id" in example else "quarantine", []).append(example)
    assert found[kind]
    return found[kind]


def table_after(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table under a heading."""
    text = README.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_the_readme_names_every_command(name: str) -> None:
    """No command is undocumented."""
    assert re.search(rf"\bebbtide {name}\b", README)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_names_every_section_of_the_settings(section: str) -> None:
    """Each table of the settings file is described, as `[section]`."""
    assert f"`[{section}]`" in README


def test_settings_in_the_readme_exist() -> None:
    """Every `section.key` in the text is a setting, and every variable is one that is read."""
    named = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})\.\w+)`", README))
    variables = set(re.findall(r"\bEBBTIDE_[A-Z_]+\b", README)) - {"EBBTIDE_SECTION_KEY", CONFIG}
    files = {f"EBBTIDE_{name.replace('.', '_').upper()}_FILE" for name in SECRETS}

    assert named - {row.name for row in describe(Settings())} == set()
    assert variables - {*environment(), *files} == set()


def test_the_readme_names_every_secret_and_its_file() -> None:
    """An operator finds out how to keep each secret out of the environment."""
    for name in SECRETS:
        assert f"`{name}`" in README
        assert f"`EBBTIDE_{name.replace('.', '_').upper()}_FILE`" in README


def test_defaults_in_the_readme_are_those_of_the_code() -> None:
    """A value in brackets behind a setting's name in the table of settings is its default."""
    defaults = {row.name: row.default for row in describe(Settings())}
    told = {
        name: value.replace(",", "")
        for _, _, cell in table_after("## Settings")
        for name, value in re.findall(r"`([\w.]+)` \(([^)]+)\)", cell)
    }

    assert len(told) > 20
    assert told.pop("broker.bootstrap") == "the broker in memory"
    for name, value in told.items():
        assert number_or_text(value) == number_or_text(defaults[name]), name


def number_or_text(text: str) -> float | str:
    """0.6 and 0.60 are the same default."""
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_files_in_the_readme_can_be_loaded(text: str, tmp_path: Path) -> None:
    """The example of a settings file has no unknown key and no value out of range."""
    path = tmp_path / "ebbtide.toml"
    path.write_text(text, "utf-8")

    assert load({}, str(path)) != Settings()
    assert set(tomllib.loads(text)) & {*SECTIONS, "destinations"}


@pytest.mark.parametrize("topic", [spec.name for spec in topic_specs(BrokerSettings())])
def test_the_readme_names_every_topic(topic: str) -> None:
    """Each topic is described in the table of topics."""
    assert any(f"`{topic}`" in row[0] for row in table_after("### All topics"))


def test_the_table_of_topics_tells_partitions_and_clean_up() -> None:
    """What the table says of partitions and of what is kept is what `ebbtide topics create` makes."""
    specs = {spec.name: spec for spec in topic_specs(BrokerSettings(partitions=7))}
    for names, partitions, kept, *_ in table_after("### All topics"):
        for name in re.findall(r"`(\w[\w-]*)`", names):
            assert specs[name].partitions == (1 if partitions == "1" else 7), name
            assert specs[name].compacted == (kept == "newest per key"), name


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_readme_names_every_metric(metric: str) -> None:
    """Each metric is described."""
    assert f"`{metric}`" in README


def test_the_readme_names_no_metric_that_does_not_exist() -> None:
    """A metric in the README can be queried."""
    named = set(re.findall(r"`(ebbtide_\w+)`", README))

    assert named - METRICS == set()


def test_the_readme_explains_every_reason_of_quarantine() -> None:
    """A code on a quarantine record is in the table of reasons, and the table has no other."""
    told = {code for row in table_after("### What is refused") for code in re.findall(r"`(\w+)`", row[0])}

    assert told == set(REASONS)
    assert [code for code in (*RECORD_REASONS, "malformed_example") if f"`{code}`" not in README] == []


def test_the_readme_counts_the_features_of_every_group() -> None:
    """The table of groups has each group, with its file and its number of features."""
    told = {row[0]: (int(row[1]), row[3]) for row in table_after("### Features")}

    assert {name: count for name, (count, _) in told.items()} == {g.name: len(g.features) for g in GROUPS}
    assert all(f"(models/features/{name}.py)" in link for name, (_, link) in told.items())


def test_commands_in_the_readme_can_be_typed() -> None:
    """Every line of a shell block that runs ebbtide is understood by the command line."""
    lines = typed_lines("ebbtide")
    parser = build_parser()

    assert lines
    for line in lines:
        if line != "ebbtide --help":
            parser.parse_args(shlex.split(line)[1:])


def test_make_targets_in_the_readme_exist() -> None:
    """Every `make` line names a target of the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = [word for line in typed_lines("make") for word in shlex.split(line)[1:] if "=" not in word]

    assert {"demo", "test"} <= set(named) <= set(targets)


def test_options_of_the_demo_in_the_readme_exist() -> None:
    """What `ARGS` hands on from make is understood by `ebbtide demo`."""
    handed = [re.findall(r'ARGS="([^"]*)"', line) for line in typed_lines("make")]
    options = [text for texts in handed for text in texts]

    assert options
    for text in options:
        build_parser().parse_args(["demo", *shlex.split(text)])


@pytest.mark.parametrize("event", examples("event"), ids=lambda event: str(event.get("event", event["type"])))
def test_events_in_the_readme_are_accepted(event: dict[str, Any]) -> None:
    """What the README tells producers to send becomes an event on exactly the topic that it stands under."""
    text = json.dumps(event)
    outcomes = {topic: decode(text.encode(), topic, 4e9, EventSettings()) for topic in SOURCES}
    accepted = [topic for topic, outcome in outcomes.items() if isinstance(outcome, Event)]
    own_words = json.dumps(event["messageId"])
    heading = re.findall(r"On `(\w+)`", README.partition(own_words)[0])

    jsonschema.validate(event, load_schema("event"))
    assert accepted == heading[-1:], outcomes


def test_the_refused_event_in_the_readme_is_one() -> None:
    """The example of a quarantine record fits its schema, and its bytes are refused for its reason."""
    for example in examples("quarantine"):
        record = msgspec.convert(example, QuarantineRecord)
        raw = record.raw_value()
        jsonschema.validate(example, load_schema("quarantine"))

        refused = decode(raw, record.topic, 4e9, EventSettings())

        assert (refused.reason, refused.detail) == (record.reason, record.detail)
        assert len(raw or b"") == record.raw_bytes


def test_the_score_in_the_readme_is_one() -> None:
    """The example of a score fits its schema, and names features that exist."""
    for example in examples("score"):
        jsonschema.validate(example, load_schema("score"))
        score = msgspec.convert(example, Score, strict=True)

        assert set(example) == set(score.__struct_fields__)
        assert set(score.features) | {reason.feature for reason in score.reasons} <= set(FEATURE_NAMES)


def test_the_webhook_message_in_the_readme_is_one() -> None:
    """The example of a message is what the webhook makes of the example of a score."""
    sync = SyncSettings(webhook_url="https://example.com/hook", webhook_secret=SECRET)
    webhook = configured(Settings(sync=sync), {})["webhook"]
    (score,) = (msgspec.convert(example, Score) for example in examples("score"))
    score = msgspec.structs.replace(score, reasons=score.reasons[:1])

    body = webhook.build([webhook.change(score, "entered")], 0.0).body

    assert examples("message") == [json.loads(body)]
    assert {row[0].strip("`") for row in table_after("### The webhook")} == {*EVENT_TYPES.values(), LEFT_TYPE}


def test_the_signature_check_in_the_readme_works() -> None:
    """The code for receivers believes what we sign, and nothing else."""
    sync = SyncSettings(webhook_url="https://example.com/hook", webhook_secret=SECRET)
    webhook = configured(Settings(sync=sync), {})["webhook"]
    now = time.time()
    request = webhook.build([webhook.change(make_score(), "entered")], now)
    old = webhook.build([webhook.change(make_score(), "entered")], now - 3600)
    names: dict[str, Any] = {}
    (code,) = [text for text in blocks("python") if "def is_genuine" in text]
    exec(code, names)  # noqa: S102 - our own README
    is_genuine = names["is_genuine"]

    assert is_genuine(SECRET, request.headers, request.body)
    assert not is_genuine(SECRET, request.headers, request.body + b" ")
    assert not is_genuine("whsec_" + "A" * 44, request.headers, request.body)
    assert not is_genuine(SECRET, old.headers, old.body)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory with one snapshot, while its writer still has the live file open."""
    folder = tmp_path / "data"
    writer = WarehouseWriter(live_path(folder))
    try:
        label = make_label(as_of=1_767_225_600.0, due_at=1_769_817_600.0)
        writer.apply(batch_of([make_score("ada"), make_score("bob", probability=0.61)], [label]))
        measured = Metric(
            as_of=1_769_817_600.0, horizon_days=30.0, window_days=30.0, cohort="all", predictor="emitted",
            kind="realised", measure="auc", value=0.7, low=0.6, high=0.8, predictions=900, customers=300, positives=90,
        )  # fmt: skip
        writer.note(Findings(clock=1_769_817_600.0, metrics=[measured]), Settings().warehouse)
        Publisher(writer, snapshots_dir(folder), 3).publish(datetime(2026, 1, 1, tzinfo=UTC))
        yield folder
    finally:
        writer.close()


def test_the_code_for_readers_in_the_readme_works(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain duckdb reads the newest snapshot while the writer runs, most likely customers first."""
    monkeypatch.chdir(data_dir.parent)
    (code,) = [text for text in blocks("python") if "import duckdb" in text]

    exec(code, {})  # noqa: S102 - our own README

    assert capsys.readouterr().out.splitlines() == ["bob  0.610", "ada  0.400"]


def test_the_queries_in_the_readme_work(data_dir: Path) -> None:
    """Each query runs on a snapshot and finds something."""
    (path,) = snapshots_dir(data_dir).glob("*.duckdb")
    queries = [query for text in blocks("sql") for query in text.split(";") if query.strip()]

    assert queries
    with duckdb.connect(str(path), read_only=True) as snapshot:
        for query in queries:
            assert snapshot.execute(query).fetchall(), query


def test_the_readme_names_every_table_of_a_snapshot(data_dir: Path) -> None:
    """Tables and views of a snapshot are those of the table in the README."""
    (path,) = snapshots_dir(data_dir).glob("*.duckdb")
    with duckdb.connect(str(path), read_only=True) as snapshot:
        tables = {name for (name,) in snapshot.execute("SELECT table_name FROM information_schema.tables").fetchall()}
    told = {name for row in table_after("### DuckDB") for name in re.findall(r"`(\w+)`", row[0])}

    assert told == tables


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Relative links point to files of this repository."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    files = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in files if not (page.parent / link).exists()] == []


def test_links_within_the_readme_lead_to_headings() -> None:
    """The list of contents names every section, and each link has its heading."""
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    anchors = [heading.lower().replace(" ", "-").replace(",", "") for heading in headings]

    assert re.findall(r"\]\(#([^)]+)\)", README) == anchors
