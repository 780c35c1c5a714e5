"""How good the probabilities are, honestly: measures, curves, profit, intervals, windows, and estimates.

- `measures`: exact measures on arrays; `progressive`: the same in constant memory, one example at a time.
- `curves`: ROC, precision and recall, gain, reliability, as a report draws them.
- `profit`: what a retention campaign earns.
- `influence` and `intervals`: how sure each measure is, with customers as the independent units.
- `windows`: everything together over the last 7, 30 and 90 days, against the references, by cohort.
- `cohorts`: groups of customers that settings declare.
- `estimate`: what is to be expected before the labels are known.
"""

from models.evaluation.cohorts import Cohort, parse_cohorts
from models.evaluation.curves import (
    GainCurve,
    PrecisionRecallCurve,
    ReliabilityBin,
    RocCurve,
    gain_curve,
    precision_recall_curve,
    reliability,
    roc_curve,
)
from models.evaluation.estimate import estimate
from models.evaluation.intervals import Clusters, Interval, around, wilson
from models.evaluation.measures import (
    EPSILON,
    auc,
    average_precision,
    brier,
    ece,
    lift_at,
    log_loss,
    log_losses,
    precision_at,
    recall_at,
    top_decile_lift,
)
from models.evaluation.profit import ProfitCurve, profit_above, profit_at, profit_curve
from models.evaluation.progressive import ProgressiveMetrics
from models.evaluation.windows import EMITTED, Evaluation, EvaluationRows, Least, evaluate

__all__ = [
    "EMITTED",
    "EPSILON",
    "Clusters",
    "Cohort",
    "Evaluation",
    "EvaluationRows",
    "GainCurve",
    "Interval",
    "Least",
    "PrecisionRecallCurve",
    "ProfitCurve",
    "ProgressiveMetrics",
    "ReliabilityBin",
    "RocCurve",
    "around",
    "auc",
    "average_precision",
    "brier",
    "ece",
    "estimate",
    "evaluate",
    "gain_curve",
    "lift_at",
    "log_loss",
    "log_losses",
    "parse_cohorts",
    "precision_at",
    "precision_recall_curve",
    "profit_above",
    "profit_at",
    "profit_curve",
    "recall_at",
    "reliability",
    "roc_curve",
    "top_decile_lift",
    "wilson",
]
