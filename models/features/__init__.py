"""The feature registry: reads the group files of this folder; the order of groups and rows is the vector's.

Adding a group is one new file with a `GROUP`. `FEATURE_VERSION` changes with every change of names,
order, transforms or layouts, so vectors of different versions are never mixed.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil

from models.features.base import Feature, Group


def _find_groups() -> tuple[Group, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(module.GROUP for module in modules if hasattr(module, "GROUP"))


def _fingerprint(groups: tuple[Group, ...]) -> str:
    parts = [f"{g.name}:{g.layout.fingerprint()}" for g in groups]
    parts += [f"{f.name}:{f.transform}" for g in groups for f in g.features]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


GROUPS: tuple[Group, ...] = _find_groups()
FEATURES: tuple[Feature, ...] = tuple(feature for group in GROUPS for feature in group.features)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
FEATURE_VERSION: str = _fingerprint(GROUPS)
#: The positions in GROUPS of the groups that listen to each effect.
LISTENERS: dict[str, tuple[int, ...]] = {
    effect: tuple(i for i, group in enumerate(GROUPS) if effect in group.effects)
    for effect in sorted({effect for group in GROUPS for effect in group.effects})
}
