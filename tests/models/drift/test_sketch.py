"""Sketches against the rows that they summarise."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.drift import InvalidSketch, Sketch, SketchState, learn_edges, psi, shifts

NAN = float("nan")
MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 12), st.just(3)),
    elements=st.one_of(st.sampled_from([0.0, 1.0, NAN]), st.floats(-1e3, 1e3, width=32)),
)
EDGES = np.array([[-1.0, 0.0, np.inf], [0.0, 0.0, np.inf], [5.0, 0.0, np.inf]], dtype=np.float32)


def of(*matrices: np.ndarray) -> Sketch:
    sketch = Sketch(EDGES)
    for matrix in matrices:
        sketch.update(matrix)
    return sketch


def close(a: Sketch, b: Sketch) -> bool:
    return (
        a.rows == b.rows
        and (a.histogram == b.histogram).all()
        and np.allclose(a.means, b.means, atol=1e-6)
        and np.allclose(a.squares, b.squares, rtol=1e-9, atol=1e-3)
    )


@given(MATRICES)
def test_a_sketch_says_what_the_rows_say(matrix: np.ndarray) -> None:
    """Rows, nulls, mean, variance and every bin, counted value by value."""
    sketch = of(matrix)

    assert sketch.rows == len(matrix)
    assert (sketch.histogram.sum(axis=0) == len(matrix)).all()
    for column in range(3):
        known = [float(v) for v in matrix[:, column] if not np.isnan(v)]
        bins = [sum(v > edge for edge in EDGES[:, column].tolist()) for v in known]
        assert sketch.histogram[:, column].tolist() == [bins.count(b) for b in range(4)] + [len(matrix) - len(known)]
        if known:
            assert sketch.means[column] == pytest.approx(np.mean(known), abs=1e-6)
            assert sketch.deviations[column] == pytest.approx(np.std(known), abs=1e-4)


@given(MATRICES, MATRICES)
def test_sketches_add_up_like_their_rows(one: np.ndarray, two: np.ndarray) -> None:
    """Merging, adding chunk by chunk, and adding all at once in any order are the same."""
    merged = of(one)
    merged.merge(of(two))

    assert close(merged, of(one, two))
    assert close(merged, of(np.vstack([two, one])))


@given(MATRICES)
def test_a_sketch_survives_json(matrix: np.ndarray) -> None:
    """Through plain data and back it is the same."""
    sketch = of(matrix)
    state = msgspec.json.decode(msgspec.json.encode(sketch.to_plain()), type=SketchState)
    back = Sketch.from_plain(state, EDGES)

    assert (back.rows, back.means.tolist(), back.squares.tolist()) == (
        sketch.rows,
        sketch.means.tolist(),
        sketch.squares.tolist(),
    )
    assert (back.histogram == sketch.histogram).all()


def test_a_sketch_of_other_features_is_refused() -> None:
    """The message has the number of features and of those allowed."""
    state = Sketch(EDGES[:, :2]).to_plain()

    with pytest.raises(InvalidSketch, match=r"2 features cannot be used \(allowed: 3"):
        Sketch.from_plain(state, EDGES)
    assert json.loads(msgspec.json.encode(state))["rows"] == 0


def test_learned_edges_cut_into_equal_parts() -> None:
    """Each bin gets a tenth of its sample; a feature without values, and one with a single value, have one bin."""
    rng = np.random.default_rng(1)
    sample = np.column_stack([rng.normal(size=1000), np.full(1000, np.nan), np.zeros(1000)]).astype(np.float32)
    sketch = Sketch(learn_edges(sample))
    sketch.update(sample)

    assert sketch.histogram[:, 0].tolist() == pytest.approx([100] * 10 + [0], abs=1)
    assert sketch.histogram[:, 1].tolist() == [0] * 10 + [1000]
    assert sketch.histogram[:, 2].tolist() == [1000] + [0] * 10


def test_the_index_is_the_published_sum() -> None:
    """Two bins of .5 and .5 against .8 and .2: .3 ln 1.6 - .3 ln .4 = .416; equal histograms have 0."""
    before, after = np.array([[50_000], [50_000]]), np.array([[80_000], [20_000]])

    assert psi(before, after).tolist() == pytest.approx([0.41589], abs=1e-4)
    assert psi(after, after * 2).tolist() == pytest.approx([0.0], abs=1e-6)


def test_shifts_tell_means_and_nulls_apart() -> None:
    """A feature that moved, one that went missing, and one never known."""
    rng = np.random.default_rng(2)
    before = np.column_stack([rng.normal(size=(4000, 2)), np.full(4000, np.nan)]).astype(np.float32)
    after = before + np.array([2.0, 0.0, 0.0], dtype=np.float32)
    after[:2000, 1] = np.nan
    edges = learn_edges(before)
    one, two = Sketch(edges), Sketch(edges)
    one.update(before)
    two.update(after)
    moved, missing, never = shifts(one, two)

    assert moved.deviations == pytest.approx(2.0, abs=0.01)
    assert (moved.null_rate, missing.null_rate_before, missing.null_rate) == (0.0, 0.0, 0.5)
    assert missing.psi > 0.25 < moved.psi
    assert (never.mean, never.deviations, never.psi) == (None, 0.0, 0.0)
