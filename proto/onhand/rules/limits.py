"""Limits of the engine that its client checks too: one wrong command shall not fail the others of its bulk call."""

from typing import Final

MICROSECONDS: Final = 1_000_000
TIME_US_MAX: Final = 253_402_300_800 * MICROSECONDS - 1
"""The last one before the year 10000: so late a timestamp of the contract may be."""

COMMANDS_PER_CALL_MAX: Final = 8_192
LINES_PER_CALL_MAX: Final = 32_768
LINES_PER_RESERVATION_MAX: Final = 100
LINES_PER_DOCUMENT_MAX: Final = 100
DOCUMENTS_PER_RESERVATION_MAX: Final = 100
MOVEMENTS_PER_CALL_MAX: Final = 8_192
QUANTITY_MAX: Final = 2**31 - 1
TTL_SECONDS_MAX: Final = 14_400
TTL_US_MAX: Final = TTL_SECONDS_MAX * MICROSECONDS
REFERENCE_BYTES_MAX: Final = 64

ORDERS_PER_CALL_MAX: Final = 1_024
"""Some 50 ms of the writer over 100 locations, with two lines each."""
LINES_PER_ORDER_MAX: Final = 100
UNITS_PER_ORDER_MAX: Final = 1_000_000
AMOUNT_MAX: Final = 10**12
"""Micros of money."""
