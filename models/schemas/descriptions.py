"""What each field of the public records means, for the JSON Schemas: struct -> field -> description."""

from __future__ import annotations

from typing import Final

_TIME = "ISO-8601 (no zone means UTC), or a number of epoch seconds or, from 1e11 on, milliseconds."
_ID = "Text, or an integer that is read as its digits; up to 200 characters."
_AMOUNT = "In the event's own currency, from 0 to 1e12; a number in quotes is read too."

SCORE: Final[dict[str, dict[str, str]]] = {
    "Score": {
        "schema_version": "Version of this schema; raised when a field changes its meaning.",
        "score_id": "Unique id of this score.",
        "customer_id": "The customer's userId, or 'anonymous:' and the anonymousId; also the key of the record.",
        "probability": "Probability (0 to 1) of leaving within `horizon_days` after `as_of`; 1 if not eligible.",
        "band": "low, medium, high or critical by the settings' thresholds; left if not `eligible`.",
        "likelihood_to_churn": "True if eligible and the probability is at least the setting score.likely_from.",
        "eligible": "False once the customer has left, or is outside the cohort that the label speaks of.",
        "percentile": "Share, in percent, of the partition's scored customers whose probability is not greater.",
        "horizon_days": "Length of the time ahead that the probability speaks of, in days.",
        "label_kind": "What leaving means: cancellation or inactivity.",
        "reasons": "The strongest reasons, strongest first.",
        "model": "The model that made the probability.",
        "feature_version": "Version of the feature list.",
        "source_offsets": "topic/partition -> offset of the last record that is part of the score.",
        "as_of": "Time that the features speak of. ISO-8601 UTC.",
        "event_watermark": "Time of the newest event in the score's partition. ISO-8601 UTC.",
        "scored_at": "When the score was computed, by the clock. ISO-8601 UTC.",
        "revision": "Counts the scores of this customer; the highest one is the newest.",
        "features": "Feature name -> value as served to the model; null if unknown.",
        "other_horizons": "Days, such as 7 -> probability of leaving within so many, for label.other_horizons_days.",
    },
    "Reason": {
        "rank": "1 is the strongest.",
        "feature": "Name of the feature.",
        "value": "The customer's value; null if unknown.",
        "contribution": "Effect on the log-odds of leaving, against the average customer; positive is towards leaving.",
        "typical": "What is typical of customers, in the unit of the value; null if unknown.",
        "text": "The reason as a sentence for people.",
    },
    "ModelRef": {
        "name": "rule, prior, or the name of a learned model.",
        "version": "Version of the published model.",
    },
}

LABEL: Final[dict[str, dict[str, str]]] = {
    "LabelRecord": {
        "schema_version": "Version of this schema; raised when a field changes its meaning.",
        "customer_id": "The customer, as in the score; also the key of the record.",
        "as_of": "When the prediction was made, in seconds since 1970 (UTC), as are all times here.",
        "horizon_days": "Days after the gap within which leaving counts.",
        "gap_days": "Days after the prediction that are left out: who leaves in them could not have been kept.",
        "label_kind": "What leaving means: cancellation or inactivity.",
        "status": "pending; matured: it is known; revised: it was told otherwise before; void: nothing to learn.",
        "outcome": "What became of the customer within the horizon.",
        "label": "1 left, 0 stayed, null where it is not known or there is nothing to learn.",
        "probability": "The probability that was emitted when the prediction was made.",
        "rule_probability": "What the recency rule said then.",
        "prior_probability": "What the plain churn rate said then.",
        "own": "Model name -> what it said then before calibration, whether it was served or not.",
        "model": "The model that made the probability.",
        "feature_version": "Version of the feature list.",
        "known_at": "Clock at which this line was written.",
        "due_at": "When the horizon ends.",
    },
    "ModelRef": SCORE["ModelRef"],
}

QUARANTINE: Final[dict[str, dict[str, str]]] = {
    "QuarantineRecord": {
        "reason": "Why the event was refused.",
        "detail": "The field, what was found and what is allowed; fit for a log.",
        "topic": "Topic that the event was read from.",
        "partition": "Partition of that topic.",
        "offset": "Offset in that partition.",
        "key": "Key of the record, base64; null if it had none.",
        "raw": "Value of the record, base64; null for a tombstone.",
        "raw_bytes": "Full size of the value in bytes.",
        "truncated": "Whether the key or the value was cut to its limit here.",
        "quarantined_at": "When the event was refused, by the clock. ISO-8601 UTC.",
    }
}

_PRODUCT: Final = {
    "product_id": f"Id of the product. {_ID}",
    "sku": f"Taken as the id where there is no product_id. {_ID}",
    "name": f"Taken as the id where there is no sku either. {_ID}",
    "quantity": "Units, 1 if absent; from 0 to 1e12.",
}

EVENT: Final[dict[str, dict[str, str]]] = {
    "Envelope": {
        "type": "The call.",
        "event": "Name of a track call, such as Order Completed; up to 200 characters.",
        "userId": f"The customer. {_ID} Must not begin with 'anonymous:'.",
        "anonymousId": f"The visitor, used while no userId is known. {_ID}",
        "messageId": f"Identifies the event; a second event of the customer with the same one changes nothing. {_ID}",
        "timestamp": f"When it happened; taken before all other times. {_TIME}",
        "originalTimestamp": f"When it happened, by the client's clock. {_TIME}",
        "sentAt": f"When the client sent it, by the client's clock. {_TIME}",
        "receivedAt": f"When the server got it; corrects the client's clock. {_TIME}",
    },
    "ProductProperties": _PRODUCT,
    "OrderProperties": {
        "order_id": f"Id of the order. {_ID}",
        "revenue": f"Value of the order; for a refund taken after total. {_AMOUNT}",
        "total": f"Taken where there is no revenue; for a refund the amount given back. {_AMOUNT}",
        "value": f"Taken where there is neither. {_AMOUNT}",
        "discount": f"Discount on the whole order. {_AMOUNT}",
        "products": "The products; ids of the first 1,000 and units of all are read.",
    },
    "SubscriptionProperties": {
        "subscription_id": f"Id of the subscription. {_ID}",
        "order_id": f"Taken as the reference where there is no subscription_id. {_ID}",
        "price": f"Price of the subscription; for a payment taken last. {_AMOUNT}",
        "revenue": f"Amount of a payment; taken for a subscription without price. {_AMOUNT}",
        "total": f"Taken where there is no revenue. {_AMOUNT}",
        "value": f"Taken where there is no total. {_AMOUNT}",
        "discount": f"Discount. {_AMOUNT}",
        **_PRODUCT,
        "reason": "Why the subscription ended or the payment failed; a text such as payment_failed is read.",
        "cancellation_reason": "The same; goes before `reason`.",
    },
    "ConversationProperties": {
        "conversation_id": f"Id of the conversation. {_ID}",
        "channel": "How it was held. Common other names (voice, phone, messaging, e-mail) are understood too.",
        "started_at": f"Start. {_TIME}",
        "ended_at": f"End. {_TIME}",
        "agent": f"Who served. {_ID}",
        "queue": f"Queue or department. {_ID}",
        "turns": "The transcript in order; the newest 2,000 turns are read.",
        "transcript": "Another name for turns.",
        "recording": "Where the audio of a call lies; the audio itself is never sent.",
        "resolved": "Whether the matter was settled; null if unknown.",
        "rating": "The customer's rating, on the producer's own scale, from 0.",
    },
    "TurnProperties": {
        "role": "customer (also user, end_user, visitor, caller, external), agent (also admin, operator, supervisor, "
        "internal) or system; anything else is system.",
        "text": "What was said; the first 20,000 characters are read.",
        "time": f"When. {_TIME}",
    },
    "RecordingProperties": {
        "uri": "Where the audio lies.",
        "duration_s": "Length in seconds.",
    },
}
