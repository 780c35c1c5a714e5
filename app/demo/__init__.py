"""`ebbtide demo`: the whole way of an event, once, with its figures.

`scenario` says which events and what is known about them, `stage` brings up broker, roles, receiver and console,
`settle` waits until everything that was sent has gone all the way, `figures` computes from the published snapshot,
`report` prints. Nothing is computed from anything but what the roles published.
"""

from app.demo.command import run

__all__ = ["run"]
