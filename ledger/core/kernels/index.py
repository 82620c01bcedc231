"""Extendible hashing: find, insert and remove row numbers by key, with growth in steps of one segment.

`keys` is the table's own key column, shape (n, 1) or (n, 2), dtype uint64: the index holds row numbers only.
"""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.state import INDEX_DEPTH, INDEX_SEGMENTS, SEGMENT_LOAD_MAX, SEGMENT_SLOTS

SLOT_MASK = SEGMENT_SLOTS - 1


@helper
def hash_key(high, low):
    """Mix 128 bits of key into 64 (the finalizer of splitmix64, Steele et al. 2014, over both halves)."""
    mixed = np.uint64(low) ^ (np.uint64(high) * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@helper
def hash_row(keys, row):
    """Hash of the key in that row."""
    if keys.shape[1] == 1:
        return hash_key(np.uint64(0), keys[row, 0])
    return hash_key(keys[row, 0], keys[row, 1])


@helper
def segment_of(index, hashed):
    """Segment that a hash belongs to."""
    return index.directory[np.int64(hashed >> np.uint64(64 - index.header[INDEX_DEPTH]))]


@helper
def first_slot(hashed):
    """Slot where the search for a hash begins."""
    return np.int64((hashed >> np.uint64(8)) & np.uint64(SLOT_MASK))


@helper
def find(index, keys, high, low):
    """Row of a key, or -1. For one-column keys, `high` is 0."""
    hashed = hash_key(high, low)
    segment = segment_of(index, hashed)
    tag = np.uint8(hashed & np.uint64(0xFF))
    slot = first_slot(hashed)
    while True:
        row = index.rows[segment, slot] - 1
        if row < 0:
            return -1
        if index.tags[segment, slot] == tag:
            if keys.shape[1] == 1:
                if keys[row, 0] == low:
                    return row
            elif keys[row, 0] == high and keys[row, 1] == low:
                return row
        slot = (slot + 1) & SLOT_MASK


@helper
def put(index, segment, hashed, row):
    """Write a row into a segment that has a free slot."""
    slot = first_slot(hashed)
    while index.rows[segment, slot] != 0:
        slot = (slot + 1) & SLOT_MASK
    index.rows[segment, slot] = row + 1
    index.tags[segment, slot] = np.uint8(hashed & np.uint64(0xFF))
    index.fill[segment, 1] += 1


@helper
def double_directory(index):
    """Give each directory place a twin."""
    for place in range((1 << index.header[INDEX_DEPTH]) - 1, -1, -1):
        segment = index.directory[place]
        index.directory[2 * place] = segment
        index.directory[2 * place + 1] = segment
    index.header[INDEX_DEPTH] += 1


@helper
def split(index, keys, segment, hashed):
    """Move half of a full segment to a new one."""
    if index.fill[segment, 0] == index.header[INDEX_DEPTH]:
        double_directory(index)
    depth = index.header[INDEX_DEPTH]
    local = index.fill[segment, 0]
    twin = np.int32(index.header[INDEX_SEGMENTS])
    index.header[INDEX_SEGMENTS] += 1
    span = np.int64(1) << (depth - local)
    first = (np.int64(hashed >> np.uint64(64 - depth)) // span) * span
    for place in range(first + span // 2, first + span):
        index.directory[place] = twin
    rows = index.spare
    hashes = index.spare_hashes
    for slot in range(SEGMENT_SLOTS):
        rows[slot] = index.rows[segment, slot]
        index.rows[segment, slot] = 0
    for slot in range(SEGMENT_SLOTS):  # a loop of its own: the keys lie far apart, and are fetched side by side here
        hashes[slot] = hash_row(keys, max(rows[slot] - 1, 0))
    for which in (segment, twin):
        index.fill[which, 0] = local + 1
        index.fill[which, 1] = 0
    for slot in range(SEGMENT_SLOTS):
        if rows[slot] != 0:
            put(index, segment_of(index, hashes[slot]), hashes[slot], rows[slot] - 1)


@helper
def insert(index, keys, row):
    """Add the key that stands in that row; it must not be there yet."""
    hashed = hash_row(keys, row)
    segment = segment_of(index, hashed)
    while (
        index.fill[segment, 1] >= SEGMENT_LOAD_MAX
        and index.header[INDEX_SEGMENTS] < index.rows.shape[0]
        and (
            index.fill[segment, 0] < index.header[INDEX_DEPTH]
            or (2 << index.header[INDEX_DEPTH]) <= index.directory.shape[0]
        )
    ):
        split(index, keys, segment, hashed)
        segment = segment_of(index, hashed)
    assert index.fill[segment, 1] < SEGMENT_SLOTS - 1
    put(index, segment, hashed, row)


@helper
def remove(index, keys, row):
    """Take out the key that stands in that row, and close the gap so that searches stay short."""
    hashed = hash_row(keys, row)
    segment = segment_of(index, hashed)
    gap = first_slot(hashed)
    while index.rows[segment, gap] != row + 1:
        gap = (gap + 1) & SLOT_MASK
    slot = gap
    while True:
        slot = (slot + 1) & SLOT_MASK
        follower = index.rows[segment, slot]
        if follower == 0:
            break
        home = first_slot(hash_row(keys, follower - 1))
        if ((slot - home) & SLOT_MASK) >= ((slot - gap) & SLOT_MASK):
            index.rows[segment, gap] = follower
            index.tags[segment, gap] = index.tags[segment, slot]
            gap = slot
    index.rows[segment, gap] = 0
    index.fill[segment, 1] -= 1
