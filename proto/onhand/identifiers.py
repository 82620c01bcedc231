"""Identifiers: which texts may name a sku, a location or a group, and how a text is shown with what it hides.

Two identifiers that look alike must be one: else a count of "SKU-1 " makes a second sku beside "SKU-1", and a sale of
it says that what everybody can read does not exist. Engine, client package and files ask here, so all answer alike.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np

ID_BYTES_MAX: Final = 64
LENGTH: Final = f"1 to {ID_BYTES_MAX} bytes of UTF-8"
_BLANK: Final = 0x20
_DELETE: Final = 0x7F
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
"""Fillers, joiners and variation selectors: Unicode calls them letters, marks and symbols, and nobody sees them."""


def are_plain(left: str, right: str) -> bool:
    """Tell whether two texts are identifiers of visible ASCII without blanks, as nearly all are: one quick look."""
    both = left + right
    return (
        both.isascii()
        and both.isprintable()
        and " " not in both
        and 0 < len(left) <= ID_BYTES_MAX
        and 0 < len(right) <= ID_BYTES_MAX
    )


def are_all_plain(names: Sequence[str]) -> bool:
    """Tell the same of many: one look at their bytes, not one at each of thousands of names."""
    if not names:
        return True
    if max(map(len, names)) > ID_BYTES_MAX or not all(names):
        return False
    joined = "".join(names)
    if not joined.isascii():
        return False
    codes = np.frombuffer(joined.encode(), np.uint8)
    return bool(codes.min() > _BLANK and codes.max() < _DELETE)


def flaw_of(text: str) -> str:
    """Say what was expected of an identifier that this text is not; empty if nothing is wrong with it."""
    if not 0 < len(text) <= ID_BYTES_MAX or not (text.isascii() or _is_short(text)):
        return LENGTH
    if text[0].isspace() or text[-1].isspace():
        return "no blank at either end"
    if not text.isprintable() or (not text.isascii() and not _INVISIBLE.isdisjoint(text)):
        return "visible characters only, and no other blank than the plain one"
    if not unicodedata.is_normalized("NFC", text):
        return "composed characters (Unicode NFC)"
    return ""


def _is_short(text: str) -> bool:
    try:
        return len(text.encode()) <= ID_BYTES_MAX
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def visible(text: str) -> str:
    r"""Return a text with what cannot be seen in it written out, such as "S\u200b" for an S and a zero-width space."""
    if text.isascii() and text.isprintable():
        return text
    is_composed = unicodedata.is_normalized("NFC", text)
    return "".join(
        _escaped(character)
        if not character.isprintable() or character in _INVISIBLE or (not is_composed and _is_uncomposed(character))
        else character
        for character in text
    )


def _is_uncomposed(character: str) -> bool:
    return unicodedata.combining(character) != 0 or not unicodedata.is_normalized("NFC", character)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
