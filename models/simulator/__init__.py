"""A seeded subscription shop whose customers leave for known causes.

`settings` says how large the shop is and what weighs on its customers. `dynamics` moves their hidden state from day to
day with the draws of `luck`, and `world` lets it happen once. `events` tells that world in public event JSON: `visits`
and `service` say what is done, `phrases`, `complaints` and `transcripts` what is spoken, `arrival` how it travels.
`truth` knows each customer's real probability of leaving, by way of the many `futures` that might have been: the best
that anybody could say. What the events alone can show of it is told by `observer`: the best that any learner could say.
`conditions` holds what an incident changes.
"""

from models.simulator.arrival import SimulatedEvent
from models.simulator.events import simulate
from models.simulator.settings import INCIDENTS, Causes, Incident, InvalidSimulatorSettings, SimulatorSettings
from models.simulator.truth import InvalidTruth, SimulatedTruth, TruthRow, UnknownCustomer

__all__ = [
    "INCIDENTS",
    "Causes",
    "Incident",
    "InvalidSimulatorSettings",
    "InvalidTruth",
    "SimulatedEvent",
    "SimulatedTruth",
    "SimulatorSettings",
    "TruthRow",
    "UnknownCustomer",
    "simulate",
]
