"""Carries events: the only package that talks to Kafka, DuckDB and destinations.

`chunks` is the transport, `worker` the features and scores, `trainer` the learner, `warehouse` the database, `sync` and
`destinations` the way out, `sources` and `replay` the way in of history, `topics` and `kafka` what all share.
"""
