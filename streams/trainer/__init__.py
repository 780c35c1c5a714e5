"""The trainer: matured examples in, published models out. `role` (Kafka), `core` (without it), `signals` (metrics)."""

from streams.trainer.role import Trainer

__all__ = ["Trainer"]
