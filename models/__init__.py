"""Pure: events, features, customer state, labels, churn models, text understanding, evaluation. No I/O, no clock.

The way of an event: `events` (bytes to a typed event) - `engine` (guards, features, labels, scores) with `features`
(mergeable summaries), `state`, `labels`, `timers`, `ranks` - `churn` (models and their published form). `records` are
what roles exchange, `schemas` their JSON Schemas, `simulator` a shop to try it on, `settings` every knob.
"""
