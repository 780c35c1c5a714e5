"""A model record from outside is used only if every check passes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.churn import record as records
from models.churn.calibration import CalibrationForm
from models.churn.forms.linear import LinearForm
from models.churn.forms.prior import PriorForm
from models.churn.record import InvalidModel, ModelRecord
from models.churn.serving import ServingModel
from tests.models.churn.samples import FEATURES, LABEL, VERSION

INITIAL = ServingModel.initial(FEATURES, VERSION, LABEL).record
RULE = INITIAL.forms["rule"]
PRIOR = INITIAL.forms["prior"]
LINEAR = LinearForm(weights=(0.1,) * 7, means=(0.2,) * 7, deviations=(1.0, 0.0, *(2.0,) * 5), intercept=-1.0, clip=5.0)
RECORD = records.seal(
    msgspec.structs.replace(
        INITIAL, forms={**INITIAL.forms, "logistic": LINEAR}, calibrations={"logistic": CalibrationForm()}
    )
)
RAW = records.encode(RECORD)


def resealed(**changes: Any) -> bytes:
    """The record with changes and a hash that fits them."""
    return records.encode(records.seal(msgspec.structs.replace(RECORD, **changes)))


def linear(**changes: Any) -> dict[str, Any]:
    return {"forms": {**RECORD.forms, "logistic": msgspec.structs.replace(LINEAR, **changes)}}


def rule(**changes: Any) -> dict[str, Any]:
    return {"forms": {**RECORD.forms, "rule": msgspec.structs.replace(RULE, **changes)}}


def prior(rate: float) -> dict[str, Any]:
    return {"forms": {**RECORD.forms, "prior": PriorForm(rate)}}


def test_reformatted_json_is_the_same_model() -> None:
    """Other key order and white space change nothing: the hash is over the canonical form."""
    plain = json.loads(RAW)
    shuffled = json.dumps(dict(reversed(plain.items())), indent=3).encode()

    assert records.decode(shuffled) == RECORD


def test_the_version_names_champion_examples_and_hash() -> None:
    """Two models with the same version are the same model."""
    assert RECORD.version == f"rule-0-{RECORD.sha256[:10]}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, "format 1"),
        ({"key": "cancellation-30d"}, "key 'cancellation-30d'"),
        ({"horizon_days": 0.0, "key": "inactivity-0d"}, "horizon"),
        ({"columns": ()}, "0 columns"),
        ({"columns": (*RECORD.columns[:-1], RECORD.columns[0])}, "occurs twice"),
        ({"columns": RECORD.columns[::-1]}, "fingerprint"),
        ({"gap_days": -1.0}, "gap of -1.0 days"),
        ({"gap_days": 7.0}, "key 'inactivity-30d' is not 'inactivity-30d-gap7d'"),
        ({"champion": "unknown"}, "champion 'unknown'"),
        ({"forms": {"rule": RULE, "logistic": LINEAR}}, "named 'prior' are needed"),
        ({"forms": {"rule": PRIOR, "prior": PRIOR, "logistic": LINEAR}}, "are needed"),
        ({"forms": {**RECORD.forms, **{f"form{i}": PRIOR for i in range(14)}}}, "17 forms"),
        ({"typical": (1.0,)}, "1 typical values for 7 columns"),
        ({"typical": (1e200,) * 7}, "typical"),
        (prior(0.0), "prior 0.0"),
        (prior(1.0), "prior 1.0"),
        ({"metrics": {"auc": 1e200}}, "metrics"),
        ({"positives": 3}, "do not fit"),
        ({"offset": -2}, "do not fit"),
        ({"calibrations": {"logistic": CalibrationForm(slope=-1.0, used=True)}}, "slope -1.0"),
        ({"calibrations": {"logistic": CalibrationForm(intercept=1e200)}}, "calibration of 'logistic'"),
        ({"calibrations": {"rule": CalibrationForm()}}, "calibration of 'rule'"),
        ({"calibrations": {"other": CalibrationForm()}}, "calibration of 'other'"),
        (linear(weights=LINEAR.weights[:-1]), "6 weights for 7 columns"),
        (linear(means=(1e300,) * 7), "means"),
        (linear(deviations=(-1.0,) * 7), "deviations"),
        (linear(deviations=(1e-200,) * 7), "deviations"),
        (linear(intercept=1e200), "intercept"),
        (linear(clip=0.0), "clip"),
        (rule(columns=("unknown",)), "rule column 'unknown'"),
        (rule(rates=RULE.rates[:-1]), "14 rates for 14 edges"),
        (rule(rates=RULE.rates[::-1]), "never fall"),
        (rule(rates=(0.0, *RULE.rates[1:])), "never fall"),
        (rule(edges=RULE.edges[::-1]), "edges"),
        (rule(unknown=1.0), "of the unknown"),
    ],
)
def test_each_fault_is_named(changes: dict[str, Any], message: str) -> None:
    """A record with a fitting hash and one fault is refused with that fault in words."""
    with pytest.raises(InvalidModel, match=message):
        records.decode(resealed(**changes))


def test_all_faults_are_told_at_once() -> None:
    """One message names every fault."""
    with pytest.raises(InvalidModel, match=r"format 9.*prior 2.0"):
        records.decode(resealed(format=9, **prior(2.0)))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        RAW[:-1],
        RAW + RAW,
        RAW.replace(b'"rate":0.15', b'"rate":NaN'),
        RAW.replace(b'"rate":0.15', b'"rate":1e999'),
        RAW.replace(b'"rate":0.15', b'"rate":"0.15"'),
        RAW.replace(b'"rate":0.15', b'"rate":0.15,"extra":1'),
        RAW.replace(b'"type":"rule"', b'"type":"pickle"'),
        RAW.replace(b'"transform":"log1p"', b'"transform":"exec"', 1),
        b"[" * 100_000,
        RAW[:-1] + b',"extra":' + b"[" * 100_000,
        b"\x80\x04cos\nsystem\n.",
        b" " * (records.MAX_BYTES + 1),
    ],
    ids=range(16),
)
def test_bytes_that_are_no_record_are_refused(raw: bytes) -> None:
    """Not JSON, truncated, wrong types, unknown fields, numbers that are none, too deep, a pickle, too large."""
    with pytest.raises(InvalidModel):
        records.decode(raw)


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    """No single changed byte gives another model: it is refused, or the record is the same."""
    at = data.draw(st.integers(0, len(RAW) - 1))
    raw = RAW[:at] + bytes([data.draw(st.integers(0, 255))]) + RAW[at + 1 :]
    try:
        found: ModelRecord | None = records.decode(raw)
    except InvalidModel:
        found = None

    assert found in (None, RECORD)


@given(st.binary(max_size=200))
def test_decoding_is_total(raw: bytes) -> None:
    """Whatever the bytes are, the only outcome besides a record is InvalidModel."""
    with pytest.raises(InvalidModel):
        records.decode(raw)
