"""The sync role: scores to destinations, each its own consumer of `scores`.

The way of a score, one module per step::

    lane.py       a consumer of one destination: records in, offsets committed once they are settled
    backlog.py    one item per customer: queued, under way, or waiting behind one under way
    selection.py  is this score news for the destination, given what it last accepted?
    pending.py    the newest undelivered score per customer, by the time it is due
    batches.py    which items make the next request, within rows and bytes
    delivery.py   when a request may go: breaker, budget, parallel requests, pauses
    transports.py, http.py  one exchange: by guarded HTTP, or as records to a topic
    endings.py    what the answer means for every row: accepted, again, halved, dead
    dead_letters.py  what will not be delivered, and why
    ledger.py     what survives a restart: accepted scores, open attempts, positions, a log

`role.py` runs one lane per configured destination, so that a slow one delays nobody. `rates.py` holds what a
credential may still send, `retry.py` the waiting rules, `pauses.py` the operator's pauses, `plan.py` the dry run,
`report.py` the metrics, `receiver.py` a webhook receiver for demos and tests.
"""
