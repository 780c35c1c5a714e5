"""What the command line says in one line, and the exit status that goes with it.

AppError              1  a part failed; the message says which and what to do
└── UsageError        2  the command or its input is wrong; running it again will not help
    ├── SettingsError    one or more settings, all named
    └── NoBrokerError         nothing to connect to
"""

from __future__ import annotations

from collections.abc import Sequence


class AppError(Exception):
    """An expected failure: shown without a traceback."""

    exit_code = 1


class UsageError(AppError):
    """The command was given something it cannot use."""

    exit_code = 2


class SettingsError(UsageError):
    """All faults of the settings that were read, in the order they were found."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


class NoBrokerError(UsageError):
    """No broker is named, and no `ebbtide up` runs with this data directory."""
