"""The ids of what the ledger makes: 63 bits that name the shard, and within it the thing.

From the lowest bit: slot 32 bits, generation 20, shard 11. A slot that is used again has another generation, and none
after the last one. What is named by a seq has it in the bits of slot and generation. All ids of shard 0 are what they
were before ids had a shard.
"""

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:  # commands that need no ledger start faster without it
    import numpy as np
    from numpy.typing import NDArray

SLOT_BITS: Final = 32
GENERATION_BITS: Final = 20
SHARD_BITS: Final = 11
SHARD_SHIFT: Final = SLOT_BITS + GENERATION_BITS
SLOT_MASK: Final = (1 << SLOT_BITS) - 1
NUMBER_MASK: Final = (1 << SHARD_SHIFT) - 1
GENERATION_MAX: Final = (1 << GENERATION_BITS) - 1
SHARD_MAX: Final = (1 << SHARD_BITS) - 1
assert SHARD_SHIFT + SHARD_BITS == 63  # ids are positive

Ids = TypeVar("Ids", int, "NDArray[np.int64]")


def id_in_slot(shard: int, generation: Ids, slot: Ids) -> Ids:
    """Return the id of what is in a slot."""
    return shard << SHARD_SHIFT | generation << SLOT_BITS | slot


def named(shard: int, number: Ids) -> Ids:
    """Return the id of what has a number within its shard: a seq, or generation and slot."""
    return shard << SHARD_SHIFT | number


def shard_of(identity: Ids) -> Ids:
    """Return the shard that an id names."""
    return identity >> SHARD_SHIFT


def number_part(identity: Ids) -> Ids:
    """Return the number that an id stands for within its shard."""
    return identity & NUMBER_MASK


def slot_part(identity: Ids) -> Ids:
    """Return the slot that an id names."""
    return identity & SLOT_MASK


def generation_part(identity: Ids) -> Ids:
    """Return the generation that an id names."""
    return identity >> SLOT_BITS & GENERATION_MAX
