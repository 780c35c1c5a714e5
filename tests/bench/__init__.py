"""The benchmark behind `ebbtide bench`: how fast the transport and the worker are, beside their peers.

`run` puts the parts together, `report` prints them; one module per part:

- `contest` - the same small job in every framework (`job` is the job, `peers/` the programs), and the floor;
- `full` - the real worker on mixed events, with `stages` for where its time goes;
- `scaling` - two workers, and ever more customers;
- `latency` - from an event's due time to its score on the topic, under an even load (`sender`).

Peers run in environments of their own: what they import from here (`job`) needs the standard library only.
"""
