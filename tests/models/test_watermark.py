"""Progress of event time over sources of different pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.features.layout import NEVER
from models.watermark import Watermark


def test_the_slowest_source_decides_until_it_is_idle() -> None:
    """A source ahead waits for the others; one that has nothing more waits for nobody."""
    subject = Watermark()
    assert subject.move() == NEVER
    subject.advance("a", 100.0)
    subject.advance("b", 10.0)
    assert subject.move() == 10.0
    subject.idle("b")
    assert subject.move() == 100.0
    subject.advance("b", 20.0)
    subject.advance("a", 200.0)
    assert subject.move() == 100.0
    subject.advance("b", 150.0)
    assert subject.move() == 150.0


def test_with_all_idle_the_furthest_counts() -> None:
    """When nobody has anything more, nothing is missing."""
    subject = Watermark()
    for source, time in (("a", 5.0), ("b", 7.0)):
        subject.advance(source, time)
        subject.idle(source)

    assert subject.move() == 7.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e6), st.booleans())))
def test_it_never_falls(steps: list[tuple[str, float, bool]]) -> None:
    """Whatever the order of events and pauses, the watermark only rises, also after a restart."""
    subject, last = Watermark(), NEVER
    for source, time, idle in steps:
        subject.advance(source, time)
        if idle:
            subject.idle(source)
        assert subject.move() >= last
        last = subject.value
    again = Watermark()
    again.recover(last)
    assert again.move() == last
