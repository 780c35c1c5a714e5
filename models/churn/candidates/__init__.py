"""The models that can be learned: one file each, with a `CANDIDATE`; the registry reads this folder.

Adding a model is one new file. What it publishes must be one of `models.churn.forms`. The conformance suite
(`tests/models/churn/test_candidates.py`) runs over all of them by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from models.churn.candidates.base import CandidateSpec


def _find() -> dict[str, CandidateSpec]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    specs: list[CandidateSpec] = [module.CANDIDATE for module in modules if hasattr(module, "CANDIDATE")]
    return {spec.name: spec for spec in specs}


#: Every kind of learned model by its name.
CANDIDATES: dict[str, CandidateSpec] = _find()
