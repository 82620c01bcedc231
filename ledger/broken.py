"""The end of a ledger that did something half."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ledger.journal.errors import JournalError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class LedgerBroken(BaseException):
    """A write failed inside: memory may hold half of it, which no journal says. Only a new start is right.

    No Exception, so that it passes every guard that answers one call's failure and goes on.
    """


def whole_or_broken(write: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a write that raises LedgerBroken where it raised what is no error of the journal: a bug, or no memory."""

    @functools.wraps(write)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return write(*args, **kwargs)
        except JournalError:
            raise
        except Exception as error:
            raise LedgerBroken(f"{write.__qualname__}: {error!r}") from error

    return guarded
