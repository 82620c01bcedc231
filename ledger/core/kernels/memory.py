"""What the ledger remembers of request ids: the stored answer, and the fingerprint that tells equal content."""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.kernels.holds import free_held_lines, take_held_line
from ledger.core.kernels.index import hash_key, insert, remove
from ledger.core.kernels.output import answer
from ledger.core.limits import DETAIL_QUANTITY_MAX
from ledger.core.operations import ADVANCES_DOCUMENT, HAS_TTL, KNOWN_AS, MAKES_RESERVATION, OPERATIONS, TRAITS
from ledger.core.records import (
    ALLOW_PARTIAL,
    ANY_SKU,
    APPLIED_OVERSOLD,
    FIELD_NAMES,
    FIRST_UNKNOWN,
    NO_LOCATION,
    SETS_BACKORDER_LIMIT,
    SETS_SAFETY_STOCK,
    USES_SAFETY_STOCK,
)
from ledger.core.state import (
    REQUEST_COUNT,
    REQUEST_FIRST,
    REQUEST_FORGOTTEN,
    REQUEST_FREE,
    REQUEST_LAST,
    REQUEST_TOTAL,
)
from ledger.core.statuses import FulfillmentState, Operation, ReservationState, Status, TransferState

OK = int(Status.OK)
COMPARED_FLAGS = ALLOW_PARTIAL | SETS_SAFETY_STOCK | SETS_BACKORDER_LIMIT | USES_SAFETY_STOCK

FIELD_METHOD = FIELD_NAMES.index("method")
FIELD_LINES = FIELD_NAMES.index("lines")
FIELD_QUANTITY = FIELD_NAMES.index("quantity")
FIELD_RESERVATION = FIELD_NAMES.index("reservation_id")
FIELD_VERSION = FIELD_NAMES.index("expected_version")
FIELD_TTL = FIELD_NAMES.index("ttl")
FIELD_CONTENT = FIELD_NAMES.index("content")

# A fingerprint is 32 bits of hash over everything, and below them the operation and a few bits of hash over each field,
# to name what differs: operation 4, reservation 5, version 5, lines 6, quantity 6, ttl 6.
METHOD_SHIFT, METHOD_BITS = 28, 4
RESERVATION_SHIFT, RESERVATION_BITS = 23, 5
VERSION_SHIFT, VERSION_BITS = 18, 5
LINES_SHIFT, LINES_BITS = 12, 6
QUANTITY_SHIFT, QUANTITY_BITS = 6, 6
TTL_SHIFT, TTL_BITS = 0, 6
# An operation beyond what its bits hold has this there, and what is more than it where the others have the ttl's hash:
# fingerprints of the operations that are older stay what they are, in journals and images too.
METHOD_ESCAPE = (1 << METHOD_BITS) - 1
assert max(Operation) - METHOD_ESCAPE < 1 << TTL_BITS
assert all(KNOWN_AS[row.operation] < METHOD_ESCAPE or not row.traits & HAS_TTL for row in OPERATIONS)
assert (METHOD_SHIFT + METHOD_BITS, RESERVATION_SHIFT + RESERVATION_BITS) == (32, METHOD_SHIFT)
assert (VERSION_SHIFT + VERSION_BITS, LINES_SHIFT + LINES_BITS) == (RESERVATION_SHIFT, VERSION_SHIFT)
assert (QUANTITY_SHIFT + QUANTITY_BITS, TTL_SHIFT + TTL_BITS) == (LINES_SHIFT, QUANTITY_SHIFT)

# An answer packs, from the lowest bit: seq 48 bits, status 8, state 4, flags 4.
SEQ_MASK = (1 << 48) - 1
STATUS_SHIFT = 48
STATE_SHIFT = 56
FLAGS_SHIFT = 60
FLAGS_BITS = 64 - FLAGS_SHIFT
HAS_DETAILS = 4  # beside APPLIED_OVERSOLD: `value` is the first detail
LINE_BITS = 16  # a chained detail keeps the position of its line and the high half of its quantity in one field
LINE_MASK = (1 << LINE_BITS) - 1
HAS_RESERVATION = 8  # the first detail holds the reservation id
assert SEQ_MASK >> STATUS_SHIFT == 0
assert max(Status) < 1 << (STATE_SHIFT - STATUS_SHIFT)
assert max(*ReservationState, *TransferState, *FulfillmentState) < 1 << (FLAGS_SHIFT - STATE_SHIFT)
assert len({APPLIED_OVERSOLD, HAS_DETAILS, HAS_RESERVATION}) == 3
assert APPLIED_OVERSOLD | HAS_DETAILS | HAS_RESERVATION < 1 << FLAGS_BITS
# A line's position and the high half of a quantity share a field of 31 bits and a sign that stays 0.
assert max(row.lines_max for row in OPERATIONS) <= 1 << LINE_BITS
assert DETAIL_QUANTITY_MAX >> 32 < 1 << (31 - LINE_BITS)


@helper
def name_hash(hashes, index):
    """Hash of a sku's or location's name, the same whether the catalog knows it or not."""
    return np.int64(hashes[index]) if index >= 0 else np.int64(FIRST_UNKNOWN) - np.int64(index)


@helper
def bits_of(hashed, bits):
    """Highest bits of a hash."""
    return hashed >> np.uint64(64 - bits)


@helper
def fingerprint_of(state, command, lines):
    """Fingerprint of what a command asks for, without its request id."""
    start = np.int64(command.line_start)
    places = np.uint64(command.line_count)
    amounts = np.uint64(1)
    for position in range(start, start + command.line_count):
        line = lines[position]
        sku = np.int64(ANY_SKU) if line.sku == ANY_SKU else name_hash(state.sku_hash, line.sku)
        places = hash_key(places, np.uint64(sku))
        location, target = np.uint64(name_hash(state.location_hash, line.location)), np.uint64(0)
        if line.to_location != NO_LOCATION:
            target = np.uint64(name_hash(state.location_hash, line.to_location))
        places = hash_key(places, (location << np.uint64(32)) ^ target)
        said = (np.uint64(line.method) << np.uint64(16)) | (np.uint64(line.kind) << np.uint64(8))
        places = hash_key(places, said | np.uint64(line.reason))
        amounts = hash_key(amounts, np.uint64(line.quantity))
        amounts = hash_key(amounts, np.uint64(line.to_quantity))
    operation = np.uint64(KNOWN_AS[command.operation])
    method = hash_key(operation, np.uint64(command.flags & COMPARED_FLAGS))
    reservation = hash_key(np.uint64(3), np.uint64(command.reservation_id))
    version = hash_key(np.uint64(4), np.uint64(command.expected_version))
    ttl = hash_key(np.uint64(2), np.uint64(command.ttl_us))
    total = hash_key(hash_key(method, reservation), hash_key(places, amounts))
    total = hash_key(total, hash_key(hash_key(version, ttl), np.uint64(command.content)))
    code, rest = operation, bits_of(ttl, TTL_BITS)
    if code >= np.uint64(METHOD_ESCAPE):
        code, rest = np.uint64(METHOD_ESCAPE), code - np.uint64(METHOD_ESCAPE)
    return (
        (bits_of(total, 32) << np.uint64(32))
        | (code << np.uint64(METHOD_SHIFT))
        | (bits_of(reservation, RESERVATION_BITS) << np.uint64(RESERVATION_SHIFT))
        | (bits_of(version, VERSION_BITS) << np.uint64(VERSION_SHIFT))
        | (bits_of(places, LINES_BITS) << np.uint64(LINES_SHIFT))
        | (bits_of(amounts, QUANTITY_BITS) << np.uint64(QUANTITY_SHIFT))
        | (rest << np.uint64(TTL_SHIFT))
    )


@helper
def method_of(fingerprint):
    """Operation of a fingerprint."""
    code = (fingerprint >> np.uint64(METHOD_SHIFT)) & np.uint64(METHOD_ESCAPE)
    if code != np.uint64(METHOD_ESCAPE):
        return code
    return code + ((fingerprint >> np.uint64(TTL_SHIFT)) & np.uint64((1 << TTL_BITS) - 1))


@helper
def differs(left, right, shift, bits):
    """Tell whether two fingerprints differ in one field."""
    return ((left ^ right) >> np.uint64(shift)) & np.uint64((1 << bits) - 1) != np.uint64(0)


@helper
def field_that_differs(left, right):
    """First field in which two fingerprints differ; FIELD_CONTENT if none of the named ones shows it."""
    if method_of(left) != method_of(right):
        return FIELD_METHOD
    if differs(left, right, RESERVATION_SHIFT, RESERVATION_BITS):
        return FIELD_RESERVATION
    if differs(left, right, VERSION_SHIFT, VERSION_BITS):
        return FIELD_VERSION
    if differs(left, right, LINES_SHIFT, LINES_BITS):
        return FIELD_LINES
    if differs(left, right, QUANTITY_SHIFT, QUANTITY_BITS):
        return FIELD_QUANTITY
    if differs(left, right, TTL_SHIFT, TTL_BITS):
        return FIELD_TTL
    return FIELD_CONTENT


@helper
def is_made(traits, is_first):
    """Tell whether a command that was done made what its answer names; `is_first` tells it of a document's verb."""
    return (traits & MAKES_RESERVATION) != 0 or ((traits & ADVANCES_DOCUMENT) != 0 and is_first)


@helper
def is_too_old(high, time_us, window_us):
    """Tell whether a request id is a UUIDv7 (RFC 9562) made before the window began."""
    if (high >> np.uint64(12)) & np.uint64(0xF) != np.uint64(7):
        return False
    return np.int64(high >> np.uint64(16)) < (time_us - window_us) // 1000


@helper
def chain_details(state, reservation_id, details, start, count):
    """Store details as a chain of held lines; returns its first line + 1.

    With a reservation id, a line that holds it goes before them.
    """
    first = np.int64(0)
    last = np.int64(-1)
    if reservation_id != 0:
        last = np.int64(take_held_line(state))
        state.held_lines[last].quantity = np.int32(reservation_id & 0x7FFFFFFF)
        state.held_lines[last].open = np.int32(reservation_id >> 32)
        state.held_lines[last].level = np.int32((reservation_id >> 31) & 1)
        first = last + 1
    for position in range(start, start + count):
        line = np.int64(take_held_line(state))
        row = state.held_lines[line]
        quantity = np.int64(details[position].quantity)
        row.level = np.int64(details[position].line) | ((quantity >> 32) << LINE_BITS)
        row.quantity = np.int32(quantity & 0xFFFFFFFF)
        row.open = details[position].requested
        row.fulfilled = details[position].level
        if last >= 0:
            state.held_lines[last].following = line + 1
        else:
            first = line + 1
        last = line
    return first


@helper
def chained_detail(state, line, out):
    """Write the DETAIL that stands in a line of a chain."""
    row = state.held_lines[line]
    quantity = (np.int64(row.level >> LINE_BITS) << 32) | (np.int64(row.quantity) & 0xFFFFFFFF)
    answer(out, row.level & LINE_MASK, row.fulfilled, row.open, quantity)


@helper
def chained_reservation_id(state, line):
    """Reservation id that stands in the first line of a chain."""
    row = state.held_lines[line]
    return (np.int64(row.open) << 32) | (np.int64(row.level) << 31) | np.int64(row.quantity)


@helper
def remember(state, request, record, seq, details, start):
    """Store the answer to a request id: the RECORDED it led to, and its details."""
    free = state.counters[REQUEST_FREE]
    if free != 0:
        row = free - 1
        state.counters[REQUEST_FREE] = state.requests[row].following
    else:
        row = state.counters[REQUEST_COUNT]
        state.counters[REQUEST_COUNT] += 1
    state.request_key[row, 0] = request.request_id_high
    state.request_key[row, 1] = request.request_id_low
    insert(state.request_index, state.request_key, row)
    flags = np.uint64(record.flags & APPLIED_OVERSOLD)
    made = record.status == OK and is_made(np.int64(TRAITS[record.operation]), record.version == 1)
    value = np.int64(record.reservation_id) if made else np.int64(record.version)
    if record.detail_count > 0:
        flags |= np.uint64(HAS_DETAILS | (HAS_RESERVATION if made else 0))
        value = chain_details(state, value if made else np.int64(0), details, start, np.int64(record.detail_count))
    entry = state.requests[row]
    entry.fingerprint = request.fingerprint
    entry.answer = (
        np.uint64(seq)
        | (np.uint64(record.status) << np.uint64(STATUS_SHIFT))
        | (np.uint64(record.state) << np.uint64(STATE_SHIFT))
        | (flags << np.uint64(FLAGS_SHIFT))
    )
    entry.value = value
    entry.time_us = record.time_us
    entry.following = 0
    last = state.counters[REQUEST_LAST]
    if last != 0:
        state.requests[last - 1].following = row + 1
    else:
        state.counters[REQUEST_FIRST] = row + 1
    state.counters[REQUEST_LAST] = row + 1
    state.counters[REQUEST_TOTAL] += 1


@helper
def forget(state, count):
    """Forget the oldest request ids."""
    for _ in range(count):
        row = state.counters[REQUEST_FIRST] - 1
        remove(state.request_index, state.request_key, row)
        entry = state.requests[row]
        if (np.int64(entry.answer >> np.uint64(FLAGS_SHIFT)) & HAS_DETAILS) != 0:
            free_held_lines(state, entry.value)
        state.counters[REQUEST_FORGOTTEN] = np.int64(entry.answer & np.uint64(SEQ_MASK))
        state.counters[REQUEST_FIRST] = entry.following
        if entry.following == 0:
            state.counters[REQUEST_LAST] = 0
        entry.following = state.counters[REQUEST_FREE]
        entry.fingerprint = np.uint64(0)
        entry.answer = np.uint64(0)
        entry.value = 0
        entry.time_us = 0
        state.counters[REQUEST_FREE] = row + 1
        state.counters[REQUEST_TOTAL] -= 1
