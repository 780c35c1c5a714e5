"""The contestants of the small job (`tests.bench.job`): one program each, `python -m tests.bench.peers.NAME TASK`."""
