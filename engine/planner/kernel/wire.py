"""Writing protobuf messages into a buffer from its end: what is nested is there, and its length known, before its tag.

Each helper writes before `at` and returns where it began. Fields that have their default are left out, as proto3 does.
Encoding: https://protobuf.dev/programming-guides/encoding.
"""

import numpy as np

from engine.planner.fields import NAME_BYTES, TIME_NANOS, TIME_SECONDS
from engine.planner.kernel import helper

VARINT = 0
FIXED64 = 1
BYTES = 2
SECOND_US = 1_000_000
HEXADECIMAL = np.frombuffer(b"0123456789abcdef", np.uint8)


@helper
def put_varint(buffer, at, value):
    """Write a varint; a negative value takes ten bytes, as int64 does."""
    left, length = np.uint64(value), 1
    while left >= np.uint64(128):
        left >>= np.uint64(7)
        length += 1
    left = np.uint64(value)
    for position in range(at - length, at):
        buffer[position] = np.uint8(left & np.uint64(127)) | np.uint8(128 if position < at - 1 else 0)
        left >>= np.uint64(7)
    return at - length


@helper
def put_number(buffer, at, field, value):
    """Write a field of an integer, bool or enum."""
    if value == 0:
        return at
    return put_varint(buffer, put_varint(buffer, at, value), field << 3 | VARINT)


@helper
def put_bits(buffer, at, field, bits):
    """Write a field of a double, given as its 64 bits."""
    if bits == np.uint64(0):
        return at
    for position in range(at - 8, at):
        buffer[position] = np.uint8(bits & np.uint64(255))
        bits >>= np.uint64(8)
    return put_varint(buffer, at - 8, field << 3 | FIXED64)


@helper
def put_length(buffer, at, field, end):
    """Write tag and length of what stands from `at` to `end`: a message, or a text."""
    return put_varint(buffer, put_varint(buffer, at, end - at), field << 3 | BYTES)


@helper
def put_text(buffer, at, field, text, start, end):
    """Write a field of a text, copied from another array."""
    if start == end:
        return at
    first = at - (end - start)
    for position in range(end - start):
        buffer[first + position] = text[start + position]
    return put_length(buffer, first, field, at)


@helper
def put_name(buffer, at, field, number):
    """Write a field of the 16 hexadecimal digits that name a reservation or a plan; nothing for 0."""
    if number == 0:
        return at
    left = np.uint64(number)
    for position in range(at - 1, at - 1 - NAME_BYTES, -1):
        buffer[position] = HEXADECIMAL[np.int64(left & np.uint64(15))]
        left >>= np.uint64(4)
    return put_length(buffer, at - NAME_BYTES, field, at)


@helper
def put_time(buffer, at, field, time_us):
    """Write a field of a google.protobuf.Timestamp."""
    start = put_number(buffer, at, TIME_NANOS, time_us % SECOND_US * 1000)
    start = put_number(buffer, start, TIME_SECONDS, time_us // SECOND_US)
    return put_length(buffer, start, field, at)


@helper
def put_digits(buffer, at, value, count):
    """Write so many decimal digits."""
    for position in range(at - 1, at - 1 - count, -1):
        buffer[position] = np.uint8(48 + value % 10)
        value //= 10
    return at - count


@helper
def put_day(buffer, at, field, day):
    """Write a field of a day as YYYY-MM-DD; days count from 1970-01-01 (Hinnant, chrono-compatible date algorithms)."""
    shifted = day + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153
    start = put_digits(buffer, at, of_year - (153 * month + 2) // 5 + 1, 2)
    buffer[start - 1] = 45
    civil_month = month + 3 if month < 10 else month - 9
    start = put_digits(buffer, start - 1, civil_month, 2)
    buffer[start - 1] = 45
    start = put_digits(buffer, start - 1, year_of_era + era * 400 + (1 if civil_month <= 2 else 0), 4)
    return put_length(buffer, start, field, at)


@helper
def put_little(buffer, at, value, width):
    """Write a number of so many bytes, forwards; returns where it ends."""
    left = np.uint64(value)
    for position in range(at, at + width):
        buffer[position] = np.uint8(left & np.uint64(255))
        left >>= np.uint64(8)
    return at + width
