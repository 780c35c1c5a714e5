"""The published model as plain data: the value of a record on topic `model`, its hash and its checks.

A record is one flat JSON object. Its `sha256` is taken over the canonical form: the same object with `sha256`
and `version` empty, keys sorted, no spaces. So a copy that was re-indented or re-ordered on the way stays valid and
one changed number does not. Nothing in a record is ever executed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from models.features.base import Feature, Transform

FORMAT = 1
MAX_BYTES = 4_000_000
MAX_FEATURES = 2_000
MAX_BINS = 200
#: Numbers beyond this size are refused, so that no sum of products can overflow; deviations below its inverse are too.
LARGEST = 1e100


class InvalidModel(ValueError):  # noqa: N818 - reads as what it is at every raise
    """A model record, or a checkpoint, that must not be used. The message names every fault found."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the model, in the order of the vector."""

    name: str
    transform: Transform


class RuleForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recency rule: the rate of the bin in which the largest known value of `columns` lies, in days.

    `edges` are the inner bin edges (a value equal to an edge lies right of it), `rates` the probability per bin,
    one more than edges, never falling.
    """

    columns: tuple[str, ...]
    edges: tuple[float, ...]
    rates: tuple[float, ...]


class LinearForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logistic regression: logit = intercept + sum of weight * z, z = (t(x) - mean) / deviation, within +-clip."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    intercept: float
    clip: float


class CalibrationForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Platt's map on the logit: slope * logit + intercept; the identity when not `used`."""

    slope: float = 1.0
    intercept: float = 0.0
    used: bool = False


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that scoring needs, and where it came from.

    `offset` is the offset on topic `examples` of the last example that is part of the model, -1 for none.
    """

    format: int = FORMAT
    version: str = ""
    sha256: str = ""
    key: str
    source: Literal["rule", "logistic"]
    feature_version: str
    fingerprint: str
    columns: tuple[Column, ...]
    label_kind: Literal["cancellation", "inactivity"]
    horizon_days: float
    offset: int = -1
    examples: int = 0
    positives: int = 0
    prior: float
    rule: RuleForm
    logistic: LinearForm
    calibration: CalibrationForm = CalibrationForm()
    metrics: dict[str, float] = {}


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(ModelRecord)


def fingerprint(features: Iterable[Feature | Column]) -> str:
    """A short hash of the columns' names, transforms and order."""
    listed = [[feature.name, feature.transform] for feature in features]
    return hashlib.sha256(_encoder.encode(listed)).hexdigest()[:16]


def label_key(kind: str, horizon_days: float) -> str:
    """The record key of a label's model, e.g. `inactivity-30d`."""
    return f"{kind}-{horizon_days:g}d"


def seal(record: ModelRecord) -> ModelRecord:
    """The record with its hash, and a version made of source, examples learned and hash."""
    record = _decoder.decode(_encoder.encode(record))  # as a reader will have it: no integer where a float belongs
    digest = _digest(record)
    version = f"{record.source}-{record.examples}-{digest[:10]}"
    return msgspec.structs.replace(record, sha256=digest, version=version)


def encode(record: ModelRecord) -> bytes:
    """The record as canonical JSON."""
    return _encoder.encode(record)


def decode(raw: bytes) -> ModelRecord:
    """A checked record.

    Raises
    ------
    InvalidModel
        Too large, not JSON, a field missing, unknown or of a wrong type, or any fault that `faults` finds.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidModel(f"model record of {len(raw)} bytes is too large (allowed: {MAX_BYTES})")
    try:
        record = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidModel(f"model record of {len(raw)} bytes is not valid: {error}") from error
    found = list(faults(record))
    if found:
        raise InvalidModel(f"model record '{record.key[:80]}' version '{record.version[:80]}': " + "; ".join(found))
    return record


def faults(record: ModelRecord) -> Iterator[str]:
    """Every reason not to use the record, in words."""
    if record.format != FORMAT:
        yield f"format {record.format} is not known (allowed: {FORMAT})"
    sealed = seal(record)
    if record.sha256 != sealed.sha256:
        yield f"sha256 '{record.sha256[:80]}' is not that of the content ('{sealed.sha256}')"
    elif record.version != sealed.version:
        yield f"version is not that of the content ('{sealed.version}')"
    yield from _label_faults(record)
    yield from _column_faults(record)
    yield from _linear_faults(record.logistic, len(record.columns))
    yield from _rule_faults(record.rule, {column.name for column in record.columns})
    if not 0.0 < record.prior < 1.0:
        yield f"prior {record.prior} is not a probability (allowed: between 0 and 1, both excluded)"
    numbers = (record.calibration.slope, record.calibration.intercept, *record.metrics.values())
    if not all(map(_sane, numbers)):
        yield "calibration or metrics hold a number that is not finite or beyond 1e100"
    if not record.calibration.slope > 0.0:
        yield f"calibration slope {record.calibration.slope} would turn the order round (allowed: above 0)"
    if record.offset < -1 or not 0 <= record.positives <= record.examples:
        yield f"offset {record.offset}, examples {record.examples}, positives {record.positives} do not fit together"


def _sane(number: float) -> bool:
    return abs(number) <= LARGEST


def _digest(record: ModelRecord) -> str:
    return hashlib.sha256(_encoder.encode(msgspec.structs.replace(record, sha256="", version=""))).hexdigest()


def _label_faults(record: ModelRecord) -> Iterator[str]:
    if not (math.isfinite(record.horizon_days) and record.horizon_days > 0):
        yield f"horizon of {record.horizon_days} days is not possible (allowed: above 0)"
    elif record.key != label_key(record.label_kind, record.horizon_days):
        yield f"key '{record.key[:80]}' is not '{label_key(record.label_kind, record.horizon_days)}'"


def _column_faults(record: ModelRecord) -> Iterator[str]:
    names = [column.name for column in record.columns]
    if not 1 <= len(names) <= MAX_FEATURES:
        yield f"{len(names)} columns (allowed: 1 to {MAX_FEATURES})"
    if len(set(names)) != len(names):
        yield "a column's name occurs twice"
    if record.fingerprint != fingerprint(record.columns):
        yield f"fingerprint '{record.fingerprint[:80]}' is not that of the columns ('{fingerprint(record.columns)}')"


def _linear_faults(form: LinearForm, columns: int) -> Iterator[str]:
    for name, numbers in (("weights", form.weights), ("means", form.means), ("deviations", form.deviations)):
        if len(numbers) != columns:
            yield f"logistic has {len(numbers)} {name} for {columns} columns"
        if not all(map(_sane, numbers)):
            yield f"logistic {name} hold a number that is not finite or beyond 1e100"
    if any(deviation != 0.0 and deviation < 1.0 / LARGEST for deviation in form.deviations):
        yield "logistic deviations hold a negative number or one too small to divide by (allowed: 0, or 1e-100 up)"
    if not (_sane(form.intercept) and _sane(form.clip) and form.clip > 0):
        yield f"logistic intercept {form.intercept} and clip {form.clip} must be finite, clip above 0"


def _rule_faults(rule: RuleForm, names: set[str]) -> Iterator[str]:
    for name in rule.columns:
        if name not in names:
            yield f"rule column '{name[:80]}' is not a column of the model"
    if len(rule.rates) != len(rule.edges) + 1 or len(rule.rates) > MAX_BINS:
        yield f"rule has {len(rule.rates)} rates for {len(rule.edges)} edges (allowed: one more, up to {MAX_BINS})"
    if not all(map(_sane, rule.edges)) or list(rule.edges) != sorted(set(rule.edges)):
        yield "rule edges are not finite and rising"
    if not all(0.0 < rate < 1.0 for rate in rule.rates) or list(rule.rates) != sorted(rule.rates):
        yield "rule rates are not probabilities that never fall"
