"""Control records: what an operator, or a drift alarm, tells the trainer.

They travel on topic `examples` among the examples, so their place is part of the order, and a trainer that is started
again comes to the same model. Their key is `control`; what tells them from the examples of a customer of that name is
the field `control`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CONTROL_KEY = b"control"

Action = Literal["promote", "pin", "rollback", "auto", "drift"]
_Text = Annotated[str, Meta(max_length=200)]


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One command.

    - `promote`: make the candidate `name` the champion; the league goes on from there.
    - `pin`: serve the kept version `version` as it was, while learning goes on.
    - `rollback`: pin what was served before the last move, or before the version pinned now.
    - `auto`: serve the league's champion again.
    - `drift`: start a challenger that knows only what comes from now on.

    `key` is the label key of the model meant, e.g. `inactivity-30d`; empty means all of them. `id` is repeated in the
    answer. `note` says why, for the history.
    """

    control: Action
    id: Annotated[str, Meta(max_length=64)] = ""
    key: _Text = ""
    name: _Text = ""
    version: _Text = ""
    note: _Text = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: `done`, or why not in `text`."""

    id: str
    control: str
    done: bool
    text: str
    offset: int


class _Marked(msgspec.Struct):
    control: msgspec.Raw


_marked = msgspec.json.Decoder(_Marked)
_controls = msgspec.json.Decoder(Control)


def is_control(key: bytes | None, value: bytes | None) -> bool:
    """Whether a record of topic `examples` is a control record, good or not, and so no example."""
    if key != CONTROL_KEY or not value:
        return False
    try:
        _marked.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def decode_control(value: bytes) -> Control:
    """The command in a record that `is_control`.

    Raises
    ------
    msgspec.MsgspecError
        An action or field that is not known, a wrong type, or a text that is too long.
    """
    return _controls.decode(value)


def encode_control(control: Control) -> bytes:
    """The value of the record."""
    return msgspec.json.encode(control)
