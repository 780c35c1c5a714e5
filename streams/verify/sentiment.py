"""The one input that is not recomputed: what the words of a conversation say.

Sentiment and intent come from word lists and rules, which SQL cannot repeat. SQL cuts the customer's words out of the
raw event, `models.text` reads them, and all that features make of it is SQL again.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from models.events.types import Conversation, Turn
from models.text.lexicon import understand
from streams.verify.store import Store, sql_of

_SIGNALS: Final = pa.schema(
    [
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
        ("sentiment", pa.float64()), ("cancel_intent", pa.float64()),
    ]
)  # fmt: skip
_AT_ONCE: Final = 2000


def read_conversations(store: Store) -> None:
    """Fill table `signals` with one row per conversation of table `told`."""
    store.create("signals", _SIGNALS)
    cursor = store.connection.cursor()
    try:
        cursor.execute(sql_of("conversations"))
        while rows := cursor.fetchmany(_AT_ONCE):
            read = ((*place, *_signals(texts or [])) for *place, texts in rows)
            store.append_rows("signals", _SIGNALS, read)
    finally:
        cursor.close()


def _signals(texts: list[str]) -> tuple[float | None, float]:
    turns = tuple(Turn("customer", text) for text in texts)
    found = understand(Conversation("", "chat", turns=turns))
    return (found.sentiment if found.has_text else None), found.cancel_intent
