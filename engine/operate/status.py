"""The status of an engine as people read it: warnings first, then figures by what they are about, with units."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from engine.measures import shown_bytes, shown_seconds

SECTIONS: Final[Sequence[Sequence[str]]] = (
    (
        *("version", "role", "epoch", "primary_address", "lease_seconds_left", "standbys"),
        *("transport", "durability", "journal", "start_time", "resident_bytes"),
    ),
    ("seq_sequenced", "seq_applied", "seq_durable", "digests_compared_count", "journal_backwards_count"),
    (
        *(
            "location_count",
            "sku_count",
            "stock_level_count",
            "active_reservation_count",
            "committed_reservation_count",
        ),
        *("ended_reservation_count", "expired_reservation_count", "open_transfer_count", "ended_transfer_count"),
        *("open_fulfillment_order_count", "ended_fulfillment_order_count"),
        *("request_id_count", "request_window_seconds"),
    ),
    ("waiting_call_count", "waiting_bytes", "overloaded_call_count", "dropped_call_count"),
    (
        *("journal_entry_count", "journal_write_count", "journal_entry_bytes", "journal_bytes_per_write"),
        *("journal_bytes_since_checkpoint", "checkpoint_journal_bytes"),
        *("journal_server_used_bytes", "journal_server_limit_bytes"),
    ),
)
"""Fields of GetStatusResponse that stand together. The rest, of snapshots, comes last."""
IN_WORDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "role": lambda value: value.removeprefix("ROLE_").lower(),
    "standbys": lambda value: [f"{each['address']}, {each['lag']:,} behind" for each in value],
    "journal_server_limit_bytes": lambda value: shown_bytes(value) if value else "none",
    "journal_bytes_per_write": lambda value: f"{value:.0f}B",
}


def status_as_read(status: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Return the sections of the table: names and values of what is not empty."""
    named = {"warnings", *chain.from_iterable(SECTIONS)}
    rest = [name for name in status if name not in named]
    sections = [{"warnings": status["warnings"] or "none"}]
    sections += [dict(_shown(status, names, now)) for names in (*SECTIONS, rest)]
    return sections


def _shown(status: Mapping[str, Any], names: Sequence[str], now: datetime) -> Iterator[tuple[str, Any]]:
    for name in names:
        if status.get(name) not in (None, "", []):
            yield name, _with_unit(name, status[name], now)


def _with_unit(name: str, value: Any, now: datetime) -> Any:
    """Return a value as people read it; where the name has no words of its own, its end says what it is."""
    if name in IN_WORDS:
        return IN_WORDS[name](value)
    if name.endswith("_time"):
        return _instant(value, now)
    if "_bytes" in name:
        return shown_bytes(value)
    if "_seconds" in name:
        return shown_seconds(value)
    return f"{value:,}" if type(value) is int else value


def _instant(text: str, now: datetime) -> str:
    """Return an instant to the second, and how long ago it was."""
    instant = datetime.fromisoformat(text).astimezone(UTC)
    ago = shown_seconds(max(0, round((now - instant).total_seconds())))
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC, {ago} ago"
