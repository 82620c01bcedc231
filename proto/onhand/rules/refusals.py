"""What refusals say: a message for people that names the field, what was expected, what it was, and the way out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from onhand.identifiers import visible
from onhand.rules import limits
from onhand.rules.reasons import REASONS

SHOWN_CHARACTERS_MAX: Final = 100
"""Values are shown in part: errors travel in HTTP/2 headers, of which a client takes 8 KiB."""
SHORTAGES_NAMED_MAX: Final = 3
"""Messages name a few of many lines."""


class Problem(NamedTuple):
    """One field that is wrong."""

    field: str
    description: str

    def inside(self, field: str) -> "Problem":
        """Return the same as seen from the message that holds this one in a field."""
        return Problem(f"{field}.{self.field}", self.description)


class Told(NamedTuple):
    """What is told of a refusal; engine and client make their exceptions of it."""

    reason: str
    message: str
    metadata: Mapping[str, str]
    """Facts for programs, repeated from the message."""
    problems: tuple[Problem, ...] = ()
    shortages: Sequence[Any] = ()
    """All short lines: messages of the contract, or what the client has for them."""


def shown(value: str) -> str:
    """Return a value as messages show it: quoted, with what it hides, and only in part if it is long."""
    if len(value) <= SHOWN_CHARACTERS_MAX:
        return f'"{visible(value)}"'
    return f'"{visible(value[:SHOWN_CHARACTERS_MAX])}…" ({len(value)} characters)'


# ---- fields ----------------------------------------------------------------------------------------------------------


def wrong_field(field: str, description: str) -> Told:
    """Tell what is wrong with a field."""
    return Told(
        "VALIDATION_FAILED", f"{field}: {description}", {"field": field}, problems=(Problem(field, description),)
    )


def invalid(field: str, expected: str, was: object, unit: str = "") -> Told:
    """Tell what was expected of a field, and what it was."""
    told = shown(was) if isinstance(was, str) else f"{was} {unit}".rstrip()
    return wrong_field(field, f"expected {expected}, was {told}.")


def plain(reason: str) -> Told:
    """Tell of a refusal whose reason says it all."""
    row = REASONS[reason]
    assert row.sentence
    return Told(reason, f"{row.field}: {row.sentence}", {"field": row.field})


def of_other_shard(field: str) -> Told:
    """Tell of an id that another shard gave."""
    return Told("WRONG_SHARD", f"{field}: {REASONS['WRONG_SHARD'].sentence}", {"field": field})


def reused(field: str) -> Told:
    """Tell that a request id was used before with other content."""
    return Told(
        "REQUEST_ID_REUSED",
        f"request_id: it was used before with other content: {field} differs; use a new id for a new request.",
        {"field": field},
        problems=(Problem("request_id", f"used before with another {field}"),),
    )


def wrong_version(field: str, expected: int, was: int) -> Told:
    """Tell that a version is not the current one."""
    message = f"{field}: expected {expected}, was {was}: read it again."
    return Told("VERSION_MISMATCH", message, {"field": field, "version": str(expected)})


# ---- documents -------------------------------------------------------------------------------------------------------


def _word(kind: str) -> str:
    """Return what people call a kind of document whose field is called so."""
    return kind.replace("_", " ")


def no_document(kind: str, name: str) -> Told:
    """Tell that there is no such document; `kind` is what callers call it, such as transfer."""
    message = f"{kind}_id: {_word(kind)} {shown(name)} does not exist, or ended too long ago."
    return Told("DOCUMENT_NOT_FOUND", message, {"field": f"{kind}_id"})


def wrong_state(reason: str, kind: str, state: str) -> Told:
    """Tell that a document is in a state in which a verb is refused."""
    wanted = "dispatch it first" if reason == "DOCUMENT_NOT_BEGUN" else "it has ended, and takes nothing more"
    message = f"{kind}_id: this {_word(kind)} is {state}: {wanted}."
    return Told(reason, message, {"field": f"{kind}_id", "state": state})


def verb_not_allowed(kind: str, state: str, method: str, verb: str, allowed: Sequence[str]) -> Told:
    """Tell that a document is in a state, or of a method, that does not have a verb; and which it has."""
    wanted = " or ".join(allowed) if allowed else "nothing more"
    message = f"verb: this {_word(kind)} is {state}, by {method}: expected {wanted}, was {verb}."
    facts = {"field": "verb", "state": state, "method": method, "verb": verb, "allowed": ",".join(allowed)}
    return Told("VERB_NOT_ALLOWED", message, facts)


def nothing_left(kind: str) -> Told:
    """Tell that a verb finds no units."""
    message = f"{kind}_id: this {_word(kind)} has no units left for it."
    return Told("QUANTITY_EXCEEDS_OPEN", message, {"field": f"{kind}_id"})


def too_many_documents() -> Told:
    """Tell that an order would wait for too many documents at once."""
    most = limits.DOCUMENTS_PER_RESERVATION_MAX
    message = f"reservation_id: expected at most {most} open transfers and fulfillment orders of one order."
    return Told("TOO_MANY_LINES", message, {"field": "reservation_id"})


def too_many_lines_of(kind: str) -> Told:
    """Tell that a document would have too many lines."""
    message = f"lines: expected at most {limits.LINES_PER_DOCUMENT_MAX} lines in the {_word(kind)} afterwards."
    return Told("TOO_MANY_LINES", message, {"field": "lines"})


# ---- lines -----------------------------------------------------------------------------------------------------------


def missing(reason: str, field: str, kind: str, name: str) -> Told:
    """Tell that the catalog does not know a name; `kind` is sku or location."""
    message = f"{field}: {kind} {shown(name)} does not exist; ids are case-sensitive."
    return Told(reason, message, {"field": field, kind: name[:SHOWN_CHARACTERS_MAX]})


def not_stocked(field: str, sku_id: str, location_id: str) -> Told:
    """Tell that a location has no stock level of a sku."""
    message = f"{field}: {sku_id} is not stocked at {location_id}."
    return Told("NOT_STOCKED_HERE", message, {"field": field, "sku": sku_id, "location": location_id})


def inactive(field: str, sku_id: str, location_id: str) -> Told:
    """Tell that a location takes no new holds."""
    message = f"{field}: location {location_id} is inactive and takes no new holds."
    return Told("LOCATION_INACTIVE", message, {"field": field, "sku": sku_id, "location": location_id})


def nothing_open(location_id: str) -> Told:
    """Tell that a reservation has nothing to be moved away from a location."""
    message = f"from_location_id: nothing of the reservation is open at {location_id}."
    return Told("QUANTITY_EXCEEDS_OPEN", message, {"field": "from_location_id"})


def short(reason: str, shortages: Sequence[Any], *, sets_totals: bool) -> Told:
    """Tell which lines are short.

    Parameters
    ----------
    reason
        INSUFFICIENT_STOCK or QUANTITY_EXCEEDS_OPEN.
    shortages
        At least one, each with sku_id, location_id, requested and available.
    sets_totals
        Whether the command sets totals of lines, so that what is fulfilled of them is the least they may be.
    """
    told = [_short_line(reason, each, sets_totals=sets_totals) for each in shortages[:SHORTAGES_NAMED_MAX]]
    if len(shortages) > len(told):
        told.append(f"and {len(shortages) - len(told)} more")
    first = shortages[0]
    return Told(
        reason,
        f"{'; '.join(told)}.",
        {
            "sku": first.sku_id,
            "location": first.location_id,
            "requested": str(first.requested),
            "available": str(first.available),
            "shortage_count": str(len(shortages)),
        },
        shortages=shortages,
    )


def _short_line(reason: str, line: Any, *, sets_totals: bool) -> str:
    name = f"{line.sku_id} at {line.location_id}"
    if reason == "INSUFFICIENT_STOCK":
        return f"{name} has {line.available} available, {line.requested} were requested"
    if sets_totals:
        return f"{name} has {line.available} fulfilled, the new total was {line.requested}"
    return f"{name} has {line.available} open, {line.requested} were requested"
