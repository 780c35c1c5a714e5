"""Examples for the trainer's tests: vectors of the real registry, labels of a known law, some records that are none."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from models.churn.learner import Learner
from models.churn.waiting import WaitingRoom
from models.features import FEATURE_NAMES, FEATURE_VERSION, FEATURES
from models.records import Example, ModelRef
from models.settings import BrokerSettings, LabelSettings, Settings, TrainerSettings, WorkerSettings
from streams.chunks import Outgoing
from streams.trainer.group import TrainerGroup

LABEL = LabelSettings(kind="inactivity", horizon_days=30)
#: Promotes and publishes after few examples.
HASTY = TrainerSettings(
    candidates=("logistic",),
    publish_every_s=0.05,
    checkpoint_examples=300,
    promotion_error=0.9,
    takeover_error=0.9,
    promotion_block=2,
)
SILENCE, SPEND = FEATURE_NAMES.index("days_since_order"), FEATURE_NAMES.index("spend_30d")


def settings_for(broker: BrokerSettings | None = None, label: LabelSettings = LABEL, **trainer: float) -> Settings:
    """Settings with short intervals and hasty promotions, for a broker or for none."""
    return Settings(
        broker=broker or BrokerSettings(),
        label=label,
        worker=WorkerSettings(commit_interval_s=0.2, tick_s=0.1, chunk_records=100),
        trainer=msgspec.structs.replace(HASTY, **trainer),
    )


def examples(count: int, seed: int = 1) -> list[Example]:
    """Examples whose label depends on silence and, more, on spend."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(10.0, (count, len(FEATURE_NAMES))).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    silence, spend = (np.nan_to_num(x[:, column].astype(float), nan=10.0) for column in (SILENCE, SPEND))
    logit = 0.5 + silence / 20.0 - spend / 2.0
    drawn = rng.random(count) < 1.0 / (1.0 + np.exp(-logit))
    return [
        Example(
            example_id=f"e{i}",
            customer_id=f"c{i % 500}",
            as_of=1.7e9 + i,
            matured_at=1.7e9 + 30 * 86_400 + i,
            horizon_days=30.0,
            label=int(drawn[i]),
            probability=0.2,
            rule_probability=0.25,
            prior_probability=0.15,
            model=ModelRef("rule", "v"),
            feature_version=FEATURE_VERSION,
            features=tuple(None if value != value else value for value in x[i].tolist()),
        )
        for i in range(count)
    ]


def leavers(count: int) -> list[Example]:
    """Examples of a young history in the order in which they mature: who leaves at once, who stays after 30 days."""
    made = []
    for i, one in enumerate(examples(count)):
        as_of = 1.7e9 + i * 3600.0
        matured = as_of + (i % 7) * 86_400 if one.label else as_of + 30 * 86_400
        made.append(msgspec.structs.replace(one, as_of=as_of, matured_at=matured))
    return sorted(made, key=lambda one: one.matured_at)


def encoded(count: int, seed: int = 1) -> list[bytes]:
    """`examples` as values of topic `examples`, see `values`."""
    return values(examples(count, seed))


def values(made: list[Example]) -> list[bytes]:
    """Values of topic `examples`, every 97th malformed, every 89th of another feature version."""
    encoded = []
    for i, example in enumerate(made):
        if i % 97 == 96:
            encoded.append(b'{"label": 2}')
        elif i % 89 == 88:
            encoded.append(msgspec.json.encode(msgspec.structs.replace(example, feature_version="older")))
        else:
            encoded.append(msgspec.json.encode(example))
    return encoded


class Subject(TrainerGroup):
    """A group of trainers as a test looks at it: mostly at the first of them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, FEATURES, FEATURE_VERSION)

    @property
    def learner(self) -> Learner:
        return self.first.learner

    @property
    def waiting(self) -> WaitingRoom:
        return self.first.waiting

    def go_on(self, *publications: list[Outgoing]) -> None:
        """Restore from a topic that holds some publications."""
        stored = self.stored()
        for record in (record for publication in publications for record in publication):
            stored.add(record.key, record.value)
        self.restore(stored)


def topic(*publications: list[Outgoing]) -> dict[bytes, bytes]:
    """What compaction leaves of some publications."""
    newest = {record.key: record.value for publication in publications for record in publication}
    return {key: value for key, value in newest.items() if key is not None and value is not None}


def records(values: Sequence[bytes | None], start: int = 0) -> list[Any]:
    """Records of topic `examples` from an offset on."""
    return [
        SimpleNamespace(offset=start + i, partition=0, key=b"c", value=value, timestamp=0)
        for i, value in enumerate(values)
    ]
