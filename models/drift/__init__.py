"""Is the world still the one the model learned? Alarms within a budget of false ones.

- `sketch`: what a feature matrix looked like over a period, in a few numbers that add up.
- `psi`: how far one period is from another.
- `budget`: from an alarm budget to a limit.
- `monitor`: the features and probabilities that are served, once a day.
- `stream`: the labels and losses of examples, one by one.
"""

from models.drift.budget import limit
from models.drift.monitor import PROBABILITY, DriftAlarm, DriftMonitor
from models.drift.psi import Shift, psi, shifts
from models.drift.sketch import InvalidSketch, Sketch, SketchState, learn_edges
from models.drift.stream import Change, ChangeDetector, PageHinkley

__all__ = [
    "PROBABILITY",
    "Change",
    "ChangeDetector",
    "DriftAlarm",
    "DriftMonitor",
    "InvalidSketch",
    "PageHinkley",
    "Shift",
    "Sketch",
    "SketchState",
    "learn_edges",
    "limit",
    "psi",
    "shifts",
]
