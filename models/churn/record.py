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

from models.churn.calibration import CalibrationForm, calibration_faults
from models.churn.forms import PRIOR, RULE, Form, form_faults
from models.churn.forms.base import sane
from models.churn.forms.prior import PriorForm
from models.churn.forms.rule import RuleForm
from models.churn.scaling import Column
from models.features.base import Feature

FORMAT = 2
MAX_BYTES = 4_000_000
MAX_FEATURES = 2_000
MAX_FORMS = 16


class InvalidModel(ValueError):  # noqa: N818 - reads as what it is at every raise
    """A model record, or a checkpoint, that must not be used. The message names every fault found."""


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that scoring needs, and where it came from.

    `champion` names the one of `forms` that is served and `move` says why. `rule` and `prior` are always among the
    forms; all others are learned, and `calibrations` corrects the log-odds of those it names. `typical` is what is
    usual per column, in the column's unit, None where that is not known; empty if nothing is. `offset` is the offset
    on topic `examples` of the last example that is part of the model, -1 for none.
    """

    format: int = FORMAT
    version: str = ""
    sha256: str = ""
    key: str
    champion: str
    move: str = ""
    feature_version: str
    fingerprint: str
    columns: tuple[Column, ...]
    label_kind: Literal["cancellation", "inactivity"]
    horizon_days: float
    gap_days: float = 0.0
    offset: int = -1
    examples: int = 0
    positives: int = 0
    forms: dict[str, Form]
    calibrations: dict[str, CalibrationForm] = {}
    typical: tuple[float | None, ...] = ()
    metrics: dict[str, float] = {}


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(ModelRecord)


def fingerprint(features: Iterable[Feature | Column]) -> str:
    """A short hash of the columns' names, transforms and order."""
    listed = [[feature.name, feature.transform] for feature in features]
    return hashlib.sha256(_encoder.encode(listed)).hexdigest()[:16]


def label_key(kind: str, horizon_days: float, gap_days: float = 0.0) -> str:
    """The record key of a label's model, e.g. `inactivity-30d`, with a gap `inactivity-30d-gap7d`."""
    return f"{kind}-{horizon_days:g}d" + (f"-gap{gap_days:g}d" if gap_days else "")


def seal(record: ModelRecord) -> ModelRecord:
    """The record with its hash, and a version made of champion, examples learned and hash."""
    record = _decoder.decode(_encoder.encode(record))  # as a reader will have it: no integer where a float belongs
    digest = _digest(record)
    version = f"{record.champion}-{record.examples}-{digest[:10]}"
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
    yield from _form_faults(record)
    if len(record.typical) not in (0, len(record.columns)):
        yield f"{len(record.typical)} typical values for {len(record.columns)} columns (allowed: none, or one each)"
    numbers = (*record.metrics.values(), *(value for value in record.typical if value is not None))
    if not all(map(sane, numbers)):
        yield "metrics or typical values hold a number that is not finite or beyond 1e100"
    if record.offset < -1 or not 0 <= record.positives <= record.examples:
        yield f"offset {record.offset}, examples {record.examples}, positives {record.positives} do not fit together"


def _digest(record: ModelRecord) -> str:
    return hashlib.sha256(_encoder.encode(msgspec.structs.replace(record, sha256="", version=""))).hexdigest()


def _label_faults(record: ModelRecord) -> Iterator[str]:
    key = label_key(record.label_kind, record.horizon_days, record.gap_days)
    if not (math.isfinite(record.horizon_days) and record.horizon_days > 0):
        yield f"horizon of {record.horizon_days} days is not possible (allowed: above 0)"
    elif not (math.isfinite(record.gap_days) and record.gap_days >= 0):
        yield f"gap of {record.gap_days} days is not possible (allowed: from 0)"
    elif record.key != key:
        yield f"key '{record.key[:80]}' is not '{key}'"


def _column_faults(record: ModelRecord) -> Iterator[str]:
    names = [column.name for column in record.columns]
    if not 1 <= len(names) <= MAX_FEATURES:
        yield f"{len(names)} columns (allowed: 1 to {MAX_FEATURES})"
    if len(set(names)) != len(names):
        yield "a column's name occurs twice"
    if record.fingerprint != fingerprint(record.columns):
        yield f"fingerprint '{record.fingerprint[:80]}' is not that of the columns ('{fingerprint(record.columns)}')"


def _form_faults(record: ModelRecord) -> Iterator[str]:
    forms = record.forms
    if not isinstance(forms.get(RULE), RuleForm) or not isinstance(forms.get(PRIOR), PriorForm):
        yield "a form of type rule named 'rule' and one of type prior named 'prior' are needed"
    if len(forms) > MAX_FORMS:
        yield f"{len(forms)} forms (allowed: up to {MAX_FORMS})"
    if record.champion not in forms:
        yield f"champion '{record.champion[:80]}' is not one of the forms"
    yield from form_faults(forms, record.columns)
    for name, form in record.calibrations.items():
        if name not in forms or name in (RULE, PRIOR):
            yield f"calibration of '{name[:80]}', which is not a learned form"
        for fault in calibration_faults(form):
            yield f"calibration of '{name[:80]}': {fault}"
