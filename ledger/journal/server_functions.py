"""The functions that run at the journal server (functions.lua): their names, their keys, and how they get there."""

from importlib import resources
from typing import Any, Final, NamedTuple, Self

from ledger.journal.connection import Connection
from ledger.journal.errors import JournalRefused

LIBRARY_NAME: Final = "onhand_journal_v2"
APPEND: Final = "onhand_append_v2"
CLAIM: Final = "onhand_claim_v2"
RELEASE: Final = "onhand_release_v2"
RENEW: Final = "onhand_renew_v2"
REPORT: Final = "onhand_report_v2"
SETTLE: Final = "onhand_settle_v2"
STANDBYS: Final = "onhand_standbys_v2"
TRIM: Final = "onhand_trim_v2"


class Keys(NamedTuple):
    """The keys of a shard, in the order in which the functions take them; functions.lua says what is in each."""

    journal: str
    epoch: str
    tail: str
    lease: str
    standbys: str

    @classmethod
    def of_shard(cls, shard: str) -> Self:
        """Return the keys under the hash tag {onhand:<shard>}, which keeps them at one node of a cluster."""
        assert shard
        assert not set(shard) & set("{}")
        return cls(*(f"{{onhand:{shard}}}:{name}" for name in cls._fields))


def shard_of(key: str) -> str:
    """Return the shard that has a key."""
    return key.partition(":")[2].partition("}")[0]


def function_call(function: str, keys: Keys, *arguments: bytes | str | int) -> tuple[bytes | str | int, ...]:
    """Return the command that calls a function."""
    return "FCALL", function, len(keys), *keys, *arguments


def call_function(connection: Connection, function: str, keys: Keys, *arguments: bytes | str | int) -> Any:
    """Call a function, and load it first where the server lacks it: a new one, or one whose functions were flushed.

    Raises as `JournalConnection.call` does.
    """
    command = function_call(function, keys, *arguments)
    try:
        return connection.call(*command)
    except JournalRefused as error:
        if "Function not found" not in error.reply:
            raise
    load_functions(connection)
    return connection.call(*command)


def load_functions(connection: Connection) -> None:
    """Load the functions unless the server has these very ones."""
    code = resources.files(__package__).joinpath("functions.lua").read_bytes()
    found = connection.call("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY_NAME, "WITHCODE")
    if not found or code not in found[0]:
        connection.call("FUNCTION", "LOAD", "REPLACE", code)
