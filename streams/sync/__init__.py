"""The sync role: scores to destinations, each its own consumer of `scores`.

The way of a score, one module per step::

    lane.py       a consumer of one destination: records in, offsets committed once they are settled
    selection.py  is this score news for the destination, given what it last accepted?
    pending.py    the newest undelivered score per customer, by the time it is due
    backlog.py    one item per customer: queued, under way, or waiting behind one under way
    delivery.py   attempts, verdicts, retries
    dead_letters.py  what will not be delivered, and why
    http.py       one guarded HTTP exchange
    ledger.py     what survives a restart: accepted scores, open attempts, positions, a log

`role.py` runs one lane per configured destination, so that a slow one delays nobody. `retry.py` holds the
waiting rules, `report.py` the metrics, `receiver.py` a webhook receiver for demos and tests.
"""
