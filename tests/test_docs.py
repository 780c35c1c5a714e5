"""The README against the code: what it names exists, and what exists it names."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import msgspec
import pytest

from app.cli import build_parser
from app.commands import COMMANDS
from models.events.decode import decode
from models.events.types import Event
from models.settings import BrokerSettings, EventSettings, Settings
from streams.topics import SOURCES, topic_specs
from tests.brokers import ROOT
from tests.metrics import declared_metrics

README = (ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else ""
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / ".github").glob("*.md"))]
SECTIONS = [field.name for field in msgspec.structs.fields(Settings) if isinstance(field.default, msgspec.Struct)]


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


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_the_readme_names_every_command(name: str) -> None:
    """No command is undocumented."""
    assert re.search(rf"\bebbtide {name}\b", README)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_names_every_section_of_the_settings(section: str) -> None:
    """Each table of the settings file is described, as `[section]`."""
    assert f"`[{section}]`" in README


@pytest.mark.parametrize("topic", [spec.name for spec in topic_specs(BrokerSettings())])
def test_the_readme_names_every_topic(topic: str) -> None:
    """Each topic is described."""
    assert f"`{topic}`" in README


@pytest.mark.parametrize(
    "metric", sorted(name + ("_total" if kind == "counter" else "") for name, kind in declared_metrics().items())
)
def test_the_readme_names_every_metric(metric: str) -> None:
    """Each metric is described."""
    assert f"`{metric}`" in README


def test_the_readme_names_no_metric_that_does_not_exist() -> None:
    """A metric in the README can be queried."""
    declared = {name + ("_total" if kind == "counter" else "") for name, kind in declared_metrics().items()}
    named = set(re.findall(r"`(ebbtide_\w+)`", README))

    assert named - declared == set()


def test_commands_in_the_readme_can_be_typed() -> None:
    """Every line of a shell block that runs ebbtide is understood by the command line."""
    lines = typed_lines("ebbtide")
    parser = build_parser()

    assert lines
    for line in lines:
        parser.parse_args(shlex.split(line)[1:])


def test_make_targets_in_the_readme_exist() -> None:
    """Every `make` line names a target of the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = [word for line in typed_lines("make") for word in line.split()[1:] if "=" not in word]

    assert {"demo", "test"} <= set(named) <= set(targets)


def test_events_in_the_readme_are_accepted() -> None:
    """What the README tells producers to send becomes an event."""
    events = [text for text in blocks("json") if "type" in json.loads(text)]

    assert events
    for text in events:
        name = json.loads(text).get("event", "")
        decoded = [decode(text.encode(), topic, 4e9, EventSettings()) for topic in SOURCES]

        assert any(isinstance(event, Event) for event in decoded), f"{name}: {decoded}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Relative links point to files of this repository."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    files = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in files if not (page.parent / link).exists()] == []
