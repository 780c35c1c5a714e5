"""Logistic regression as numbers: weights on clipped standard scores, and on products of two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from models.churn.forms.base import LARGEST, Matrix, Vector, number_faults, sane
from models.churn.scaling import Column, Transforms, inverse, standardise

MAX_PAIRS = 10_000


class LinearForm(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type", tag="linear"
):
    """Logit = intercept + sum of weight * z + sum over pairs (i, j) of pair weight * z_i * z_j.

    z = (t(x) - mean) / deviation, within +-clip, 0 where x is not known; z_i * z_j lies within +-pair_clip.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    intercept: float
    clip: float
    pairs: tuple[tuple[int, int], ...] = ()
    pair_weights: tuple[float, ...] = ()
    pair_clip: float = 1.0


class LinearScorer:
    """A `LinearForm` ready to be applied to matrices. The average customer has the mean in every column.

    What a product adds belongs half and half to its two columns.
    """

    def __init__(self, form: LinearForm, columns: Sequence[Column]) -> None:
        weights, inverses = np.array(form.weights), inverse(np.array(form.deviations))
        pairs, pair_weights = pair_columns(form.pairs), np.array(form.pair_weights)
        alive = (pair_weights != 0.0) & (inverses[pairs] != 0.0).all(axis=0)
        pairs, self._pair_weights = pairs[:, alive], pair_weights[alive]
        # Columns that cannot move anything, such as those that never varied, are not computed.
        moving = (weights != 0.0) & (inverses != 0.0)
        moving[pairs.ravel()] = True
        self._used = np.flatnonzero(moving)
        self._transforms = Transforms([columns[at] for at in self._used.tolist()])
        self._weights, self._inverses = weights[self._used], inverses[self._used]
        self._means = np.array(form.means)[self._used]
        self._clip, self._pair_clip = form.clip, form.pair_clip
        self._pairs = np.searchsorted(self._used, pairs)
        # The ends of all pairs by column: of which pair each is, where each column begins, and which columns these are.
        order = np.argsort(self._pairs, axis=None, kind="stable")
        self._shares = order % max(len(self._pair_weights), 1)
        self._receivers, self._starts = np.unique(self._pairs.ravel()[order], return_index=True)
        self.base = form.intercept

    def contributions(self, x: Matrix) -> Vector:
        """Weight times standard score, and half of each product; 0 where the value is not known."""
        z = self._scores(x)
        moved: Vector = z * self._weights
        if len(self._receivers):
            halves = self._products(z)[:, self._shares] * 0.5
            moved[:, self._receivers] += np.add.reduceat(halves, self._starts, axis=1)
        everywhere = np.zeros(x.shape)
        everywhere[:, self._used] = moved
        return everywhere

    def logits(self, x: Matrix) -> Vector:
        """Log-odds per row. Summed row by row, so a row's result does not depend on its neighbours."""
        z = self._scores(x)
        logits: Vector = (z * self._weights).sum(axis=1) + self.base
        if len(self._receivers):
            logits += self._products(z).sum(axis=1)
        return logits

    def _scores(self, x: Matrix) -> Vector:
        z = standardise(self._transforms.apply(x[:, self._used]), self._means, self._inverses, self._clip)
        np.copyto(z, 0.0, where=np.isnan(z))
        return z

    def _products(self, z: Vector) -> Vector:
        weighted = products(z, self._pairs, self._pair_clip)
        weighted *= self._pair_weights
        return weighted


def pair_columns(pairs: Sequence[tuple[int, int]]) -> npt.NDArray[np.intp]:
    """Pairs as an array of two rows: the first columns, the second ones."""
    return np.array(pairs, dtype=np.intp).reshape(len(pairs), 2).T


def products(z: Vector, pairs: npt.NDArray[np.intp], clip: float) -> Vector:
    """Clipped products of the columns of each pair, for rows of standard scores or for one row."""
    found: Vector = np.take(z, pairs[0], axis=-1)
    found *= np.take(z, pairs[1], axis=-1)
    np.maximum(found, -clip, out=found)
    np.minimum(found, clip, out=found)
    return found


def linear_faults(form: LinearForm, columns: int) -> Iterator[str]:
    """Every reason not to use the form with so many columns."""
    lists = (("weights", form.weights), ("means", form.means), ("deviations", form.deviations))
    yield from number_faults(lists, columns)
    if any(deviation != 0.0 and deviation < 1.0 / LARGEST for deviation in form.deviations):
        yield "deviations hold a negative number or one too small to divide by (allowed: 0, or 1e-100 up)"
    if not (sane(form.intercept) and sane(form.clip) and form.clip > 0):
        yield f"intercept {form.intercept} and clip {form.clip} must be finite, clip above 0"
    yield from _pair_faults(form, columns)


def _pair_faults(form: LinearForm, columns: int) -> Iterator[str]:
    if len(form.pairs) > MAX_PAIRS or len(form.pair_weights) != len(form.pairs):
        yield (
            f"{len(form.pair_weights)} weights of {len(form.pairs)} pairs (allowed: one each, up to {MAX_PAIRS} pairs)"
        )
    if not all(0 <= first < columns and 0 <= second < columns for first, second in form.pairs):
        yield f"a pair has a column that is not one of the {columns}"
    if not all(map(sane, form.pair_weights)):
        yield "weights of pairs hold a number that is not finite or beyond 1e100"
    if not (sane(form.pair_clip) and form.pair_clip > 0):
        yield f"pair_clip {form.pair_clip} must be finite and above 0"
