"""From bytes to typed events.

`decode` turns the bytes of a record into an `Event` or a `Rejection`, and never raises. On the way: `catalog` knows
every event by name, `wire` holds the JSON that producers send, `clock` reads times, `fields` ids and numbers,
`facts` and `conversation` the properties, `reasons` the codes of refusal. `quarantine` builds the record of a
rejected event.
"""
