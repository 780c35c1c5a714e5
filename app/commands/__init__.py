"""One module per command of `ebbtide`; each offers `COMMANDS`, which the command line reads in this order."""

from __future__ import annotations

from app.commands import (
    backtest,
    bench,
    chaos,
    customer,
    demo,
    destinations,
    emulate,
    model,
    replay,
    role,
    settings,
    simulate,
    topics,
    up,
    verify,
)
from app.commands.base import Command

COMMANDS: tuple[Command, ...] = (
    *demo.COMMANDS,
    *up.COMMANDS,
    *role.COMMANDS,
    *simulate.COMMANDS,
    *replay.COMMANDS,
    *customer.COMMANDS,
    *model.COMMANDS,
    *topics.COMMANDS,
    *destinations.COMMANDS,
    *emulate.COMMANDS,
    *bench.COMMANDS,
    *chaos.COMMANDS,
    *verify.COMMANDS,
    *backtest.COMMANDS,
    *settings.COMMANDS,
)
