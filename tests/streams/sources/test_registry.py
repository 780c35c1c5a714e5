from __future__ import annotations

from importlib.util import find_spec

import pytest

from models.events.decode import decode
from models.events.types import Event
from models.settings import EventSettings
from models.simulator import SimulatorSettings, simulate
from streams.sources import SourceError
from streams.sources.registry import named_sources, open_sources

MASTER = """ customer_id  date number_of_cds  dollar_value
 00004 19970101  2   29.33
 00021 19970101  3   63.34
 00004 19970118  2   29.73

 00004 19970802  1    0.00
"""
LINE = b'{"type":"track","event":"Order Completed","userId":"a","timestamp":"1997-01-10T00:00:00Z","properties":{}}\n'


@pytest.fixture
def master(tmp_path):
    path = tmp_path / "CDNOW_master.txt"
    path.write_text(MASTER)
    return path


def decoded(event):
    found = decode(event.raw, event.topic, 2e9, EventSettings())
    assert isinstance(found, Event)
    return found


def test_every_named_source_is_found_by_its_file():
    """The registry is the folder."""
    assert {"cdnow", "completejourney", "simulator"} <= named_sources().keys()
    assert all(name == source.name and source.usage.startswith(name) for name, source in named_sources().items())


def test_cdnow_is_told_as_orders_in_the_order_of_their_dates(master):
    """Each line is one order of its amount at noon of its date; the heading and empty lines are none."""
    opened = open_sources([f"cdnow:{master}"])
    events = list(opened.events)

    told = [(one.key, one.time / 86_400 % 1, decoded(one).value, decoded(one).units) for one in events]
    assert told == [
        ("cdnow-00004", 0.5, 29.33, 2.0), ("cdnow-00021", 0.5, 63.34, 3.0), ("cdnow-00004", 0.5, 29.73, 2.0),
        ("cdnow-00004", 0.5, 0.0, 1.0),
    ]  # fmt: skip
    assert [one.time for one in events] == sorted(one.time for one in events)
    assert opened.share(2, 0.0) == 0.5


@pytest.mark.parametrize("line", ["00004 19970101 2", "00004 19971301 2 1.0", "00004 19970101 two 1.0", "a b c d e f"])
def test_a_file_that_is_not_cdnow_is_refused(tmp_path, line):
    """A line that is no purchase ends the reading before the first event, with the place."""
    path = tmp_path / "master.txt"
    path.write_text(f"00004 19970101 2 29.33\n{line}\n")

    with pytest.raises(SourceError, match="after 1 purchases of CDNOW"):
        open_sources([f"cdnow:{path}"])


@pytest.mark.skipif(find_spec("lifetimes") is not None, reason="the package is here")
def test_cdnow_without_its_package_says_what_to_do():
    """Without a path and without the package the message names both ways."""
    with pytest.raises(SourceError, match="pip install lifetimes, or name the file: cdnow:PATH"):
        open_sources(["cdnow"])


def test_the_simulator_takes_its_settings_from_the_name():
    """A named shop is the shop of these settings, event by event."""
    settings = SimulatorSettings(customers=3, days=9, seed=5)
    opened = open_sources(["simulator:customers=3,days=9,seed=5"])

    assert list(map(tuple, opened.events)) == list(map(tuple, simulate(settings)))
    assert opened.share(0, settings.start_time + 4.5 * 86_400) == 0.5


@pytest.mark.parametrize("text", ["simulator:customers", "simulator:shops=2", "simulator:days=x", "simulator:days=0"])
def test_wrong_settings_of_the_simulator_are_refused(text):
    """A setting that is unknown, not a number or outside its limits is named."""
    with pytest.raises(SourceError, match="cannot open source 'simulator"):
        open_sources([text])


def test_files_and_named_sources_are_merged_by_time(tmp_path, master):
    """Several sources give one stream in the order of time."""
    path = tmp_path / "events.ndjson"
    path.write_bytes(LINE)

    events = list(open_sources([str(path), f"cdnow:{master}"]).events)

    assert [one.key for one in events] == ["cdnow-00004", "cdnow-00021", "a", "cdnow-00004", "cdnow-00004"]


def test_all_missing_files_are_named_with_what_is_allowed():
    """What is neither a file nor a name is told at once, with the names there are."""
    with pytest.raises(SourceError, match=r"'none', 'other:x' \(named sources: cdnow\[:PATH\], completejourney"):
        open_sources(["none", "cdnow", "other:x"])
