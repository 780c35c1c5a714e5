"""How large a published model may be."""

from __future__ import annotations

import logging

import msgspec

from models.churn import record as records
from models.churn.forms import PRIOR, RULE
from models.churn.serving import ServingModel

log = logging.getLogger(__name__)

#: Most bytes of a published model, before compression; the topic takes 2 MiB.
MODEL_BYTES = 1_900_000


class ModelTooLarge(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """The champion alone does not fit into a record of topic `model`."""


def fitted(model: ServingModel, limit: int = MODEL_BYTES) -> ServingModel:
    """The model, without the largest forms of challengers as long as it is too large.

    Raises
    ------
    ModelTooLarge
        When it is too large without any challenger.
    """
    while (size := len(model.to_record())) > limit:
        record = model.record
        sizes = {
            name: len(msgspec.json.encode(form))
            for name, form in record.forms.items()
            if name not in (PRIOR, RULE, record.champion)
        }
        if not sizes:
            raise ModelTooLarge(f"model '{model.version}' takes {size} bytes (allowed: {limit})")
        largest = max(sizes, key=lambda name: (sizes[name], name))
        log.error("challenger %s is not published: the model takes %d bytes (allowed: %d)", largest, size, limit)
        forms = {name: form for name, form in record.forms.items() if name != largest}
        calibrations = {name: form for name, form in record.calibrations.items() if name != largest}
        smaller = msgspec.structs.replace(record, forms=forms, calibrations=calibrations)
        model = ServingModel(records.seal(smaller))
    return model
