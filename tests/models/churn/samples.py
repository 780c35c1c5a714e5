"""A small world for the tests of this folder: features, a known law of churn, and examples drawn from it."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from models.features.base import Feature
from models.records import Example, ModelRef
from models.settings import LabelSettings, TrainerSettings

LABEL = LabelSettings(kind="inactivity", horizon_days=30)
TRAINER = TrainerSettings(candidates=("logistic",))
VERSION = "samples-1"
FEATURES = (
    Feature("days_since_order", "purchases", "days", "silence", "log1p"),
    Feature("order_cadence_days", "purchases", "days", "usual gap", "log1p"),
    Feature("spend_30d", "purchases", "money", "spend", "log1p"),
    Feature("trend", "clickstream", "ratio", "trend, of either sign"),
    Feature("balance", "purchases", "money", "of either sign", "log1p"),
    Feature("constant", "tenure", "count", "never varies"),
    Feature("rarely_known", "contact", "score", "mostly missing"),
)


def vectors(count: int, seed: int = 7) -> npt.NDArray[np.float32]:
    """Raw vectors with missing values, columns as FEATURES."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.exponential(20.0, count),
            rng.exponential(15.0, count),
            rng.exponential(80.0, count),
            rng.normal(size=count),
            rng.normal(scale=50.0, size=count),
            np.ones(count),
            rng.normal(size=count),
        ]
    )
    x[rng.random(count) < 0.2, 1] = np.nan
    x[rng.random(count) < 0.9, 6] = np.nan
    return x.astype(np.float32)


def truth(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The true probability: silence raises it, spend and trend lower it."""
    logit = -2.0 + 0.9 * np.log1p(x[:, 0].astype(float)) - 0.5 * np.log1p(x[:, 2].astype(float)) - 1.2 * x[:, 3]
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def labels(x: npt.NDArray[np.float32], seed: int = 11) -> npt.NDArray[np.int64]:
    """0 or 1, drawn from the true probability."""
    return (np.random.default_rng(seed).random(len(x)) < truth(x)).astype(np.int64)


def example(row: npt.NDArray[np.float32], label: int, probability: float = 0.2, number: int = 0) -> Example:
    """A matured example of a vector."""
    return Example(
        example_id=f"e{number}",
        customer_id=f"c{number}",
        as_of=0.0,
        matured_at=0.0,
        horizon_days=30.0,
        label=int(label),
        probability=probability,
        rule_probability=0.2,
        prior_probability=0.15,
        model=ModelRef("rule", "v"),
        feature_version=VERSION,
        features=tuple(None if value != value else value for value in row.tolist()),
    )


def examples(count: int, seed: int = 7) -> list[Example]:
    """Examples three hours apart, the first one negative, emitted with the true probability."""
    x = vectors(count, seed)
    drawn, true = labels(x, seed + 1), truth(x)
    drawn[0] = 0
    made = [example(x[i], int(drawn[i]), float(true[i]), i) for i in range(count)]
    return [msgspec.structs.replace(one, as_of=i * 10_800.0) for i, one in enumerate(made)]
