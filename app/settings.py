"""Settings from defaults, a TOML file and the environment, in this order; checked all at once.

The file's tables are the section names (`[label]`), its keys the field names. In the environment a setting
is `EBBTIDE_<SECTION>_<KEY>`; `EBBTIDE_BROKER` is short for `EBBTIDE_BROKER_BOOTSTRAP`; a secret can also come
from the file that `EBBTIDE_<SECTION>_<KEY>_FILE` names. `EBBTIDE_CONFIG` names the TOML file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from app.errors import SettingsError
from app.settings_check import conflicts
from app.settings_help import HELP
from app.settings_value import Field, InvalidValueError
from models.settings import SECRETS, Settings

__all__ = ["HELP", "Row", "describe", "environment", "fields", "load", "summary", "to_env"]

PREFIX = "EBBTIDE_"
CONFIG = "EBBTIDE_CONFIG"
BROKER_ALIAS = "EBBTIDE_BROKER"
#: Settings that are tables themselves; the tables of the others are sections.
_TABLES = frozenset({"destinations"})
#: Variables of the project that are no settings: they steer the tests.
NOT_SETTINGS = ("EBBTIDE_TEST_",)


class Row(msgspec.Struct, frozen=True):
    """One setting as shown to an operator; the value of a secret is never part of it."""

    name: str
    value: str
    default: str
    env: str
    help: str


class _Given(msgspec.Struct, frozen=True):
    """A value that somebody gave for a setting, and where."""

    field: Field
    value: Any
    origin: str


def load(env: Mapping[str, str], toml_path: str | None = None) -> Settings:
    """The settings of this process.

    Parameters
    ----------
    env
        The process environment; only names beginning with `EBBTIDE_` are read.
    toml_path
        The TOML file; without it the file named by `EBBTIDE_CONFIG`, if any.

    Raises
    ------
    SettingsError
        With every unknown name, wrong type, value out of range and conflict found.
    """
    faults: list[str] = []
    given = [*_from_toml(toml_path or env.get(CONFIG) or None, faults), *_from_env(env, faults)]
    values: dict[str, Any] = {}
    for item in given:
        try:
            values[item.field.name] = item.field.convert(item.value)
        except InvalidValueError as error:
            shown = "***" if item.field.secret else repr(item.value)
            faults.append(f"{item.field.name} = {shown} (from {item.origin}): {error}")
    settings = _build(values)
    faults.extend(conflicts(settings))
    if faults:
        raise SettingsError(faults)
    return settings


def fields() -> dict[str, Field]:
    """Every setting by its dotted name, in the order of the sections."""
    found: dict[str, Field] = {}
    for outer in msgspec.structs.fields(Settings):
        if isinstance(outer.default, msgspec.Struct):
            for inner in msgspec.structs.fields(type(outer.default)):
                name = f"{outer.name}.{inner.name}"
                found[name] = Field(name, inner.type, inner.default, name in SECRETS)
        else:
            default = outer.default if outer.default_factory is msgspec.NODEFAULT else outer.default_factory()
            found[outer.name] = Field(outer.name, outer.type, default, outer.name in SECRETS)
    return found


def environment() -> dict[str, Field]:
    """Every environment variable that sets something directly, with its setting."""
    return {BROKER_ALIAS: fields()["broker.bootstrap"]} | {_variable(name): field for name, field in fields().items()}


def describe(settings: Settings) -> tuple[Row, ...]:
    """One row per setting, secrets masked."""
    return tuple(
        Row(name, field.show(_value(settings, name)), field.show(field.default), _variable(name), HELP.get(name, ""))
        for name, field in fields().items()
    )


def summary(settings: Settings) -> str:
    """The settings that are not the default, in one line for the log, secrets masked."""
    changed = [f"{row.name}={row.value}" for row in describe(settings) if row.value != row.default]
    return " ".join(changed) or "all defaults"


def to_env(settings: Settings) -> dict[str, str]:
    """The environment from which `load` makes the same settings again: how a supervisor hands them on."""
    values = ((name, field, _value(settings, name)) for name, field in fields().items())
    return {_variable(name): field.to_text(value) for name, field, value in values if value != field.default}


def _variable(name: str) -> str:
    return PREFIX + name.replace(".", "_").upper()


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _build(values: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        (sections.setdefault(section, {}) if section else top)[key] = value
    base = Settings()
    changed = {name: msgspec.structs.replace(getattr(base, name), **keys) for name, keys in sections.items()}
    return msgspec.structs.replace(base, **top, **changed)


def _from_toml(path: str | None, faults: list[str]) -> Iterator[_Given]:
    if path is None:
        return
    known, strange = fields(), False
    for name, value in _flatten(_read_toml(path, faults)):
        if name in known:
            yield _Given(known[name], value, path)
        else:
            strange = True
            faults.append(f"{path}: {_unknown('key', name, known)}")
    if strange:
        faults.append(f"known keys: {', '.join(known)}")


def _read_toml(path: str, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        faults.append(f"cannot read settings file {path!r}: {(error.strerror or str(error)).lower()}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"settings file {path!r} is not TOML: {error}")
    return {}


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if not prefix and key in _TABLES:
            yield key, value
        elif isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, dict) or prefix or key not in Settings.__struct_fields__:
            yield f"{prefix}{key}", value


def _from_env(env: Mapping[str, str], faults: list[str]) -> Iterator[_Given]:
    known, strange = environment(), False
    files = {f"{_variable(name)}_FILE": name for name in sorted(SECRETS)}
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable == CONFIG or variable.startswith(NOT_SETTINGS):
            continue
        if variable in known:
            yield _Given(known[variable], env[variable], variable)
        elif variable in files:
            yield from _from_secret_file(files[variable], variable, env, faults)
        else:
            strange = True
            faults.append(_unknown("environment variable", variable, [*known, *files, CONFIG]))
    if strange:
        faults.append(f"known environment variables: {', '.join([CONFIG, *known, *files])}")
    both = env.get(BROKER_ALIAS), env.get(_variable("broker.bootstrap"))
    if None not in both and both[0] != both[1]:
        faults.append(
            f"{BROKER_ALIAS} and {_variable('broker.bootstrap')} differ: {both[0]!r} and {both[1]!r}; set one"
        )


def _from_secret_file(name: str, variable: str, env: Mapping[str, str], faults: list[str]) -> Iterator[_Given]:
    if _variable(name) in env:
        faults.append(f"{variable} and {_variable(name)} are both set; set one")
        return
    try:
        secret = Path(env[variable]).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or type(error).__name__).lower()
        faults.append(f"{name}: cannot read file {env[variable]!r} (from {variable}): {reason}")
        return
    if not secret:
        faults.append(f"{name}: file {env[variable]!r} (from {variable}) is empty")
        return
    yield _Given(fields()[name], secret, variable)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else ""
    return f"unknown {what} {name!r}{hint}"
