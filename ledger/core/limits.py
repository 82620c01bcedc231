"""Every limit of the ledger in one place, with its reason, asserted against each other: `onhand inspect limits`.

What a name ends with before _MAX is the unit; where that is none, the limit counts what the name says.
"""

from typing import Final

MICROSECONDS: Final = 1_000_000
TIME_US_MAX: Final = 253_402_300_800 * MICROSECONDS - 1
"""The last one before the year 10000: so late a timestamp of the contract may be."""

LINES_PER_RESERVATION_MAX: Final = 100
"""A reservation counts its lines in 8 bits, and a refusal can list every one that is short."""
LINES_PER_DOCUMENT_MAX: Final = 100
"""A document counts its lines in 8 bits, and one verb concerns them all."""
DOCUMENTS_PER_RESERVATION_MAX: Final = 100
"""A reservation counts the open documents that bring it units in 8 bits."""
COMMANDS_PER_CALL_MAX: Final = 8_192
"""A bulk call is decided whole: so many keep the writer for milliseconds."""
LINES_PER_CALL_MAX: Final = 32_768
"""Four lines for each command of the largest bulk call."""
RESERVATIONS_PER_BATCH_MAX: Final = 1_000
"""Row-shaped batches are for people; what is larger goes as columns."""
MOVEMENTS_PER_CALL_MAX: Final = 8_192
"""The journal counts the lines of one command in 16 bits, and a TRANSFER makes two lines."""
CATALOG_ITEMS_PER_CALL_MAX: Final = 8_192
"""A call of a catalog feed is one command: it is decided whole."""
AVAILABILITY_PAIRS_PER_CALL_MAX: Final = 8_192
"""Skus times locations of one read: the writer answers it, so it must be short."""
AVAILABILITY_TOTALS_PER_CALL_MAX: Final = 65_536
"""The same where nothing is told of each location: reading is the smaller part of it. 100 skus at 655 locations."""
QUANTITY_MAX: Final = 2**31 - 1
"""Units of one line live in 32 bits; sums of a stock level have 64."""
TTL_SECONDS_MAX: Final = 14_400
"""A cart or a checkout; what is held for longer is an order. The expiry wheel goes once around in 4.7 hours."""
TTL_US_MAX: Final = TTL_SECONDS_MAX * MICROSECONDS
"""The same, as the ledger counts time."""
ID_BYTES_MAX: Final = 64
"""Ids of skus, locations and groups, in UTF-8: names of other systems, with room for a prefix."""
NAME_BYTES_MAX: Final = 256
"""What is shown to people, in UTF-8; the catalog is in memory."""
GROUPS_MAX: Final = 64
"""Location groups of one location; all are looked through when a location changes them."""
RESTRICTIONS_MAX: Final = 16
"""Restrictions of one sku; the catalog is in memory."""
BASE_UNIT_BYTES_MAX: Final = 32
"""The name of a unit of measure, in UTF-8."""
WEIGHT_MILLIGRAMS_MAX: Final = 10**10
"""Ten tonnes, what routing can price: what is heavier is a mistake of units, or no parcel."""
REFERENCE_BYTES_MAX: Final = 64
"""Who did it and what for, in UTF-8: it is in the journal with every write."""
LINES_PER_BATCH_MAX: Final = 8_192
"""Lines of one row-shaped batch together, so that a group of batches stays one journal entry."""
DOCUMENTS_PER_BATCH_MAX: Final = 1_000
"""A wave of picks: as many documents as a row-shaped batch has reservations."""
DETAIL_QUANTITY_MAX: Final = 2**47 - 1
"""A stored answer keeps the high half of such a quantity in the 15 bits beside the number of its line."""
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1_000
"""Items of one page of a list: the writer makes it, so it must be short."""
REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""What gRPC clients and servers take by default."""
GROUP_BYTES_MAX: Final = 1024 * 1024
"""A group takes calls until their requests have these bytes, so that it stays short and its journal entry small."""
EXPIRED_PER_ENTRY_MAX: Final = 100_000
"""Holds that end in one entry: a larger backlog is journaled in parts."""
EXPLAINED_MAX_DEFAULT: Final = 10_000
"""How many of the last plans keep what explains them, unless a setting says otherwise."""

# The journal counts the lines of one command in 16 bits; a TRANSFER movement makes two lines.
assert 2 * MOVEMENTS_PER_CALL_MAX < 2**16
# A reservation counts its lines in 8 bits.
assert 2 * LINES_PER_RESERVATION_MAX < 2**8  # while a hold is moved or replaced it may have those of before, too
# So do a document its lines, and a reservation its documents.
assert max(LINES_PER_DOCUMENT_MAX, DOCUMENTS_PER_RESERVATION_MAX) < 2**8
# Quantities of one line live in 32 bits, sums of a stock level in 64.
assert QUANTITY_MAX < 2**31
