"""What earlier releases left behind: a data folder each, what they said of it, and the last one's code.

    tests/releases/0.1/data.zip      a data folder that this release wrote: snapshots, archive, journal
    tests/releases/0.1/answers.json  what it answered to each of many requests when it stopped
    tests/releases/0.1/format.txt    the shape of its format
    tests/releases/0.1/code.tar.xz   its modules, as long as the release after it is the one in work

`python -m tests.releases` makes those of the release in work; they are never made anew once it is out.
"""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import MessageToDict
from onhand.rpcs import rpc_of

from engine.api.desk import METHOD_PATHS, METHODS, Desk
from engine.config import EngineConfig
from engine.errors import RefusedError
from engine.transport import Call
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.history import History
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import Entry, decode_entry
from ledger.journal.reading import JournalReader
from ledger.recovery import Recovered, recover

FOLDER: Final = Path(__file__).parent
STORED: Final = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit())
"""Releases, the oldest first."""
FORMAT_IN_WORK: Final = FOLDER / "format.txt"
"""The shape of this release's format, until it goes out."""


class Told(NamedTuple):
    """What a release says of its folder."""

    digests: dict[str, str]
    """Of the state at the end, by format: each format may compute it in another way."""
    seq: int
    answers: list[tuple[str, str, Any]]
    """Path of a method, its request in hexadecimal digits, and what came of it."""

    @classmethod
    def of(cls, release: str) -> "Told":
        """Read it."""
        found = json.loads((FOLDER / release / "answers.json").read_text())
        return cls(found["digests"], found["seq"], found["answers"])


def unpack_data(release: str, folder: Path) -> Path:
    """Unpack the data folder of a release into a folder; returns where it is."""
    with zipfile.ZipFile(FOLDER / release / "data.zip") as archive:
        archive.extractall(folder)
    return folder / "data"


@contextmanager
def opened(data: Path, *, uses_snapshots: bool = True) -> Iterator["Opened"]:
    """Recover what a data folder has, as an engine does at its start, without serving it: no time passes."""
    config = EngineConfig.model_construct(data_folder=data)
    with EmbeddedServer(data) as server, JournalReader(server.url) as journal:
        yield Opened(
            recover(
                journal,
                config.snapshot_folder if uses_snapshots else None,
                archive_folder=config.archive_folder,
                request_window_us=config.request_window_seconds * MICROSECONDS,
                retention_us=config.retention_seconds * MICROSECONDS,
            ),
            History(journal, config.archive_folder),
        )


class Opened:
    """A recovered book that is asked through the API, at the instant at which its last group was."""

    def __init__(self, recovered: Recovered, history: History) -> None:
        self.recovered = recovered
        self.book: Book = recovered.replayer.book
        self._history = history
        self._desk = Desk(self)  # type: ignore[arg-type]  # what the methods asked need of a role

    def history(self, first_seq: int, entry_count: int) -> Iterator[Entry]:
        """As a role has it."""
        for place, (last_seq, payload) in enumerate(self._history.entries(first_seq - 1)):
            if place == entry_count:
                return
            yield decode_entry(payload, None, last_seq)[0]

    def kept_ranges(self) -> list[tuple[int, int]]:
        """As a role has it."""
        return self._history.ranges()

    def answer(self, path: str, request: bytes) -> Any:
        """Return what a method answers, as JSON has it."""
        position = METHOD_PATHS.index(path)
        replies = self._desk.answer([Call(0, position, request)], self.book.ledger.time_us)
        while self._desk.is_working:
            replies = [*replies, *self._desk.answer([], self.book.ledger.time_us)]
        (reply,) = [each.response for each in replies]
        if isinstance(reply, RefusedError):
            return {"refused": reply.reason, "message": reply.message}
        response_type = rpc_of(METHODS[position].request_type).response_type
        return MessageToDict(response_type.FromString(reply), preserving_proto_field_name=True)


SETTLED: Final = ("RESERVATION_STATE_FULFILLED", "RESERVATION_STATE_CANCELLED")


def is_settled(reservation: dict[str, Any]) -> bool:
    """Tell whether an answer is a commitment of which nothing is open: 0.1 had no other word for its state."""
    is_committed = reservation.get("state") == "RESERVATION_STATE_COMMITTED" and "reservation_id" in reservation
    return is_committed and not any("open_quantity" in line for line in reservation.get("lines", []))


def is_said(stored: Any, found: Any) -> bool:
    """Tell whether an answer says all that was stored of an earlier one; it may say more."""
    if isinstance(stored, dict):
        if is_settled(stored) and isinstance(found, dict) and found.get("state") in SETTLED:
            stored = stored | {"state": found["state"]}
        return isinstance(found, dict) and all(name in found and is_said(stored[name], found[name]) for name in stored)
    if isinstance(stored, list):
        if isinstance(found, list) and len(found) < len(stored):  # a list of what is COMMITTED does not have these
            stored = [each for each in stored if not (isinstance(each, dict) and is_settled(each))]
        return isinstance(found, list) and len(stored) == len(found) and all(map(is_said, stored, found))
    return bool(stored == found)
