"""How `onhand serve` ends, in the codes of sysexits.h, which tell whoever starts engines whether to do it again.

    75  try again: what was missing may be there by then
    78  never again, until a setting is changed, or another release installed
    65  never again, until a person has looked at the journal or the snapshots

docs/operating.md has the same table, by what happened.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ledger.journal.errors import (
    DamagedJournalFiles,
    JournalCorrupt,
    JournalError,
    JournalOfOtherRelease,
    JournalOfOtherShard,
    NoServerToRun,
    SnapshotNotFetched,
    UnsafeJournalServer,
)

TRY_AGAIN: Final = os.EX_TEMPFAIL
WRONG_SETTING: Final = os.EX_CONFIG
DAMAGED: Final = os.EX_DATAERR
BY_ERROR: Final[Sequence[tuple[type[JournalError], int]]] = (
    (JournalOfOtherRelease, WRONG_SETTING),
    (SnapshotNotFetched, TRY_AGAIN),
    (JournalCorrupt, DAMAGED),
    (DamagedJournalFiles, DAMAGED),
    (JournalOfOtherShard, WRONG_SETTING),
    (UnsafeJournalServer, WRONG_SETTING),
    (NoServerToRun, WRONG_SETTING),
    (JournalError, TRY_AGAIN),
)
"""The first that an error is an instance of says how it ends."""
PASSING: Final = frozenset(
    [errno.EADDRINUSE, errno.EAGAIN, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC]
)
"""What the system refuses now, and may grant later."""


def exit_code_of(error: JournalError | OSError) -> int:
    """Return the code with which an engine ends that cannot start, or must not go on."""
    if isinstance(error, OSError):
        return TRY_AGAIN if error.errno in PASSING else WRONG_SETTING
    return next(code for kind, code in BY_ERROR if isinstance(error, kind))


def told_of_end(error: JournalError | OSError, data_folder: Path) -> str:
    """Return what an engine says of it; the system's own words do not name the disk that is full."""
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return f"no space left on {data_folder}: {error}" if is_full else str(error)
