"""The time zones that locations may have: those of the IANA database that are places or fixed offsets."""

import functools
from typing import Final
from zoneinfo import available_timezones

NO_ZONES: Final = frozenset({"Factory", "localtime", "posixrules"})
"""Files that stand beside the zones: the clock of this machine, and what a machine has before anybody set it."""
EXPECTED: Final = 'an IANA time zone such as "Europe/Berlin"'


@functools.cache
def time_zones() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset(available_timezones() - NO_ZONES)
