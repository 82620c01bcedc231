"""Every limit of the ledger in one place, asserted against each other."""

from typing import Final

MICROSECONDS: Final = 1_000_000

LINES_PER_RESERVATION_MAX: Final = 100
COMMANDS_PER_CALL_MAX: Final = 8_192
LINES_PER_CALL_MAX: Final = 32_768
RESERVATIONS_PER_BATCH_MAX: Final = 1_000
MOVEMENTS_PER_CALL_MAX: Final = 8_192
CATALOG_ITEMS_PER_CALL_MAX: Final = 8_192
AVAILABILITY_PAIRS_PER_CALL_MAX: Final = 8_192
QUANTITY_MAX: Final = 2**31 - 1
TTL_SECONDS_MAX: Final = 14_400
TTL_US_MAX: Final = TTL_SECONDS_MAX * MICROSECONDS
ID_BYTES_MAX: Final = 64
NAME_BYTES_MAX: Final = 256
GROUPS_MAX: Final = 64
RESTRICTIONS_MAX: Final = 16
BASE_UNIT_BYTES_MAX: Final = 32
WEIGHT_MILLIGRAMS_MAX: Final = 10**12
REFERENCE_BYTES_MAX: Final = 64
LINES_PER_BATCH_MAX: Final = 8_192
DETAIL_QUANTITY_MAX: Final = 2**47 - 1
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1_000
REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
# A group takes calls until their requests have these bytes, so that it stays short and its journal entry small.
GROUP_BYTES_MAX: Final = 1024 * 1024
# A backlog of expired holds is journaled in parts.
EXPIRED_PER_ENTRY_MAX: Final = 100_000

# The journal counts the lines of one command in 16 bits; a TRANSFER movement makes two lines.
assert 2 * MOVEMENTS_PER_CALL_MAX < 2**16
# A reservation counts its lines in 8 bits.
assert LINES_PER_RESERVATION_MAX < 2**8
# Quantities of one line live in 32 bits, sums of a stock level in 64.
assert QUANTITY_MAX < 2**31
