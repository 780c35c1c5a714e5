"""May the figures be believed? Leaks of the future into features or training, and whether there is enough data.

- `leaks`: features that are too good, known too late, or otherwise than they should be; learning before the truth.
- `echoes`: events that are part of leaving.
- `sufficiency`: a verdict on the amount of data.
"""

from models.audit.echoes import EchoLimits, label_echoes
from models.audit.finding import Finding
from models.audit.leaks import (
    after_leaving,
    differing_features,
    early_learning,
    known_too_late,
    overlap,
    single_features,
)
from models.audit.sufficiency import Criterion, Facts, Verdict, verdict

__all__ = [
    "Criterion",
    "EchoLimits",
    "Facts",
    "Finding",
    "Verdict",
    "after_leaving",
    "differing_features",
    "early_learning",
    "known_too_late",
    "label_echoes",
    "overlap",
    "single_features",
    "verdict",
]
