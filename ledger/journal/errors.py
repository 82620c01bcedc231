"""What can go wrong with a journal, named by what the caller must do about it."""


class JournalError(Exception):
    """Base of all errors of the journal."""


class JournalUnavailable(JournalError):  # noqa: N818 - named by the state, as the API's JOURNAL_UNAVAILABLE is
    """The journal server cannot be used now; nothing is known to be wrong with the journal: try again later."""


class JournalRefused(JournalUnavailable):
    """The journal server answered a command with an error; it was not carried out."""

    def __init__(self, message: str, reply: str) -> None:
        super().__init__(message)
        self.reply = reply
        """The server's own words, its error code first."""


class JournalUnsafe(JournalUnavailable):
    """The journal server's settings cannot keep the durability asked for any more: nothing may be acknowledged."""


class JournalUnsettled(JournalUnavailable):
    """Whether the last entry is in the journal is unknown: acknowledge nothing until `settle` has returned."""


class JournalFenced(JournalError):  # noqa: N818 - named by the state
    """Another writer took over: this one can never append again, and what it did not make durable is void."""


class JournalCorrupt(JournalError):  # noqa: N818 - named by the state
    """The journal is not what was written: entries are missing, changed or foreign. A person must look at it."""


class JournalOfOtherRelease(JournalCorrupt):
    """An entry has a format that this release does not read; nothing is wrong with it. It says which release does."""


class JournalOfOtherShard(JournalError):  # noqa: N818 - named by the state
    """The server has journals of other shards, and none of the one that is asked for."""


class JournalBackwards(JournalCorrupt):
    """The journal ends with an older entry of this writer: the server lost what came after, as in a failover."""

    def __init__(self, message: str, last_seq: int) -> None:
        super().__init__(message)
        self.last_seq = last_seq
        """Where the journal ends now."""


class JournalHeld(JournalError):  # noqa: N818 - named by the state
    """Another writer has the lease: wait until it runs out, or take over by force."""

    def __init__(self, message: str, address: str, seconds_left: float) -> None:
        super().__init__(message)
        self.address = address
        """Of the other writer, as clients dial it."""
        self.seconds_left = seconds_left
        """Until the lease runs out, unless it is renewed."""


class UnsafeJournalServer(JournalError):  # noqa: N818 - named by the state
    """The journal server's settings cannot keep the durability asked for."""


class EmbeddedServerFailed(JournalError):  # noqa: N818 - named by the state
    """The journal server in the data folder could not be started or stopped."""


class NoServerToRun(EmbeddedServerFailed):
    """There is no journal server that could run in the data folder as the settings want it."""


class DamagedJournalFiles(EmbeddedServerFailed):
    """The journal server's files are not what it wrote: it does not start with them. A person must look at them."""


class DataFolderInUse(EmbeddedServerFailed):
    """Another engine holds the data folder."""


class JournalTrimmed(JournalCorrupt):
    """The journal begins later than a book without a snapshot needs it."""


class SnapshotNotFetched(JournalTrimmed):
    """The same, and the primary, which has a snapshot, could not give it now."""


class DigestMismatch(JournalCorrupt):
    """A ledger that applied the same entries as its writer is not equal to the writer's."""
