"""The bulk path: columns do what unary calls do, wrong columns, the wire."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, pairwise
from random import Random
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from bulk_harness import answer_to, encode, fits_columns, outcomes_of
from bulk_requests import (
    QUANTITY_MAX,
    WIDE,
    Reason,
    Shoppers,
    Type,
    amend,
    change,
    counts,
    damage,
    extend,
    movement,
    movements,
    place,
    reserve,
    transfer,
    uuid4,
)
from harness import new_id
from hypothesis import given, settings
from onhand.columns import RequestColumns, write_column
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory

from bulk.harness import COMMANDS_MAX, DTYPES, LINES_MAX, OK, UNITS, Side, one_line, refused_whole, told
from engine.api import bulk as bulk_api
from engine.errors import RefusedError
from ledger.core.limits import MICROSECONDS

TTL_US_MAX = 14_400 * MICROSECONDS


def reason_of(answer: Any) -> str:
    return answer.reason if isinstance(answer, RefusedError) else "OK"


def pieces_of(chance: Random, requests: Sequence[Any]) -> Iterator[list[Any]]:
    """A group's commands cut anywhere."""
    cuts = sorted(chance.sample(range(1, len(requests)), min(chance.choice([0, 0, 1, 3]), len(requests) - 1)))
    for first, after in pairwise([0, *cuts, len(requests)]):
        yield list(requests[first:after])


def in_pieces(side: Side, pieces: Sequence[list[Any]], *, is_row: Callable[[], bool]) -> list[Any]:
    """Run a group's commands in several calls: most pieces are one bulk call, the others a unary call each."""
    calls = [piece if is_row() else [encode(piece)] for piece in pieces]
    answers = iter(side.group(*chain.from_iterable(calls)))
    found: list[Any] = []
    for piece, call in zip(pieces, calls, strict=True):
        of_piece = list(islice(answers, len(call)))
        if call is not piece:
            assert isinstance(of_piece[0], bulk.ExecuteCommandsResponse), of_piece[0]
            of_piece = list(map(answer_to, piece, outcomes_of(of_piece[0])))
        found += of_piece
    return found


def play(seed: int, group_count: int) -> Counter[str]:
    """Run a day by rows and by columns, and compare all that came of it; returns the reasons seen."""
    chance = Random(seed)
    shoppers, rows, columns = Shoppers(chance), Side(), Side()
    seen: Counter[str] = Counter()
    for each in (rows, columns):
        each.stock(A_X=20, B_X=20, A_Y=20, C_Y=20, **{f"{name}_X": 5 for name in WIDE})
        each.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="D", base_unit="each")]))
        each.ask(catalog.UpsertLocationsRequest(locations=[place("Z", active=False)]))
        each.ask(inventory.SetStockPolicyRequest(sku_id="B", location_id="X", safety_stock=2, backorder_limit=5))
    for _ in range(group_count):
        rows.now_us += round(chance.choice([0, 0, 0.3, 0.3, 2, 2, 10, 80]) * MICROSECONDS)
        columns.now_us = rows.now_us
        requests = [shoppers.request(rows.now_us) for _ in range(chance.choice([1, 5, 40, 200]))]
        assert all(map(fits_columns, requests))
        expected = rows.group(*requests)
        found = in_pieces(columns, list(pieces_of(chance, requests)), is_row=lambda: chance.random() < 0.2)
        for request, one, other in zip(requests, expected, found, strict=True):
            assert told(other) == told(one), request
        assert columns.entry == rows.entry
        assert columns.book.digest() == rows.book.digest()
        seen.update(map(reason_of, expected))
        shoppers.holds += [each.reservation_id for each in expected if hasattr(each, "reservation_id")]
        shoppers.on_the_way += [each.transfer_id for each in expected if hasattr(each, "transfer_id")]
    assert rows.book.verify() == []
    return seen


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), group_count=st.integers(1, 8))
def test_columns_do_what_rows_do(seed, group_count):
    play(seed, group_count)


def a_write(chance: Random) -> Any:
    """A hold, or sales, of some lines each."""
    items = [(chance.choice("AB"), chance.choice("XY"), chance.randrange(1, 4)) for _ in range(chance.randrange(1, 5))]
    if chance.random() < 0.3:
        return movements(*(movement("SALE", *item) for item in items))
    return reserve(*items, request_id=new_id(), reference="r")


@pytest.mark.parametrize("lines_per_group", [1, 2])
def test_a_call_of_many_lines_is_spread_over_groups_and_answered_as_in_one(lines_per_group, monkeypatch):
    chance, whole, spread = Random(lines_per_group), Side(), Side()
    for side in (whole, spread):
        side.stock(A_X=40, B_X=9, A_Y=7, B_Y=0)
    for _ in range(12):
        requests = [a_write(chance) for _ in range(chance.randrange(2, 12))]
        requests.append(chance.choice(requests))
        call = encode(requests, return_available_left=True)
        expected = whole.ask(call)
        with monkeypatch.context() as patched:
            patched.setattr(bulk_api, "LINES_PER_GROUP_MAX", lines_per_group)
            assert spread.ask(call) == expected
        assert (spread.group_count > 1, whole.group_count) == (True, 1)
        assert spread.book.verify() == []
        assert spread.book.digest() == whole.book.digest()


UNSEEN = {"UNSPECIFIED", "WRONG_SHARD"}
"""No status, and one that tests/test_shards.py sees."""


def test_the_days_compared_see_every_status():
    seen = play(1, 30) + play(2, 30)
    assert set(seen) == {name.removeprefix("COMMAND_STATUS_") for name in bulk.CommandStatus.keys()} - UNSEEN  # noqa: SIM118 - an enum is no mapping


class Good(NamedTuple):
    """A side with a call that is right, of 7 commands and 7 lines, every column in full."""

    side: Side
    call: bulk.ExecuteCommandsRequest


@pytest.fixture
def good(side: Side) -> Good:
    held = [side.ask(reserve((sku, "X", 1))).reservation_id for sku in "ABAB"]
    call = encode(
        [
            reserve(("A", "X", 1), ("B", "X", 1), reference="order-1", actor="web", request_id=uuid4(1)),
            change("Commit", held[0], request_id=uuid4(2)),
            extend(held[1], 60, request_id=uuid4(3)),
            amend(held[1], ("B", "X", 2), request_id=uuid4(4)),
            transfer(held[2], "X", "Y", ("A", 1), request_id=uuid4(5)),
            movements(
                movement("RECEIVE", "A", "X", 1), movement("TRANSFER", "A", "X", 1, target="Y"), request_id=uuid4(6)
            ),
            counts(("A", "Y", 20), request_id=uuid4(7)),
        ]
    )
    return Good(side, call)


OF_COMMANDS = (
    "line_counts",
    "reservation_ids",
    "ttl_us",
    "allow_partial",
    "expected_versions",
    "reference_indexes",
    "actor_indexes",
)


OF_LINES = ("location_indexes", "quantities", "to_location_indexes", "movement_types", "unavailable_reasons")


AMENDED, MOVED, RECEIVED, SENT, COUNTED = 2, 3, 4, 5, 6  # lines of the good call


IN_SKUS, IN_LOCATIONS = "0 to 1, an index in sku_ids", "0 to 1, an index in location_ids"


TARGET = f"{IN_LOCATIONS}, for a TRANSFER, else -1"


A_REASON = "a reason for MARK_UNAVAILABLE, MARK_AVAILABLE and WRITE_OFF, one or none for RETURN, else none"


A_TYPE = "a movement type that is not output only"


class Wrong(NamedTuple):
    """One entry of the good call made wrong."""

    field: str
    entry: int
    value: int
    expected: str
    command: int
    """Which it belongs to."""


WRONG_VALUES = [
    ("operations", 0, 0, "an operation of CommandOperation", 0),
    ("operations", 6, 11, "an operation of CommandOperation", 6),
    ("operations", 1, 127, "an operation of CommandOperation", 1),
    ("line_counts", 0, 0, "1 to 100 for RESERVE", 0),
    ("line_counts", 0, 101, "1 to 100 for RESERVE", 0),
    ("line_counts", 1, 101, "0 to 100 for COMMIT", 1),
    ("line_counts", 2, 1, "0 to 0 for EXTEND", 2),
    ("line_counts", 3, 0, "1 to 100 for AMEND", 3),
    ("line_counts", 4, 101, "1 to 100 for TRANSFER", 4),
    ("line_counts", 5, 0, "1 to 8192 for RECORD_MOVEMENTS", 5),
    ("line_counts", 6, 8_193, "1 to 8192 for SET_ON_HAND", 6),
    ("line_counts", 6, 2**32 - 1, "1 to 8192 for SET_ON_HAND", 6),
    ("reservation_ids", 1, 0, "the id of a reservation", 1),
    ("reservation_ids", 4, 0, "the id of a reservation", 4),
    ("ttl_us", 0, 0, f"1 to {TTL_US_MAX} microseconds", 0),
    ("ttl_us", 0, -1, f"1 to {TTL_US_MAX} microseconds", 0),
    ("ttl_us", 2, TTL_US_MAX + 1, f"1 to {TTL_US_MAX} microseconds", 2),
    ("ttl_us", 2, 2**63 - 1, f"1 to {TTL_US_MAX} microseconds", 2),
    ("expected_versions", 3, -1, f"0 to {QUANTITY_MAX}", 3),
    ("expected_versions", 4, 2**31, f"0 to {QUANTITY_MAX}", 4),
    ("reference_indexes", 0, 2, "-1 to 1, an index in texts", 0),
    ("reference_indexes", 5, -2, "-1 to 1, an index in texts", 5),
    ("actor_indexes", 6, 2**31 - 1, "-1 to 1, an index in texts", 6),
    ("sku_indexes", 0, 2, IN_SKUS, 0),
    ("sku_indexes", 1, -1, IN_SKUS, 0),
    ("sku_indexes", AMENDED, -(2**31), IN_SKUS, 3),
    ("location_indexes", COUNTED, 2, IN_LOCATIONS, 6),
    ("location_indexes", RECEIVED, -1, IN_LOCATIONS, 5),
    ("quantities", 0, 0, UNITS, 0),
    ("quantities", 1, -1, UNITS, 0),
    ("quantities", AMENDED, -1, UNITS, 3),
    ("quantities", MOVED, 0, UNITS, 4),
    ("quantities", RECEIVED, -1, UNITS, 5),
    ("quantities", SENT, 2**31, UNITS, 5),
    ("quantities", COUNTED, -(2**63), UNITS, 6),
    ("to_location_indexes", 0, 0, TARGET, 0),
    ("to_location_indexes", MOVED, -1, TARGET, 4),
    ("to_location_indexes", SENT, 2, TARGET, 5),
    ("to_location_indexes", RECEIVED, 1, TARGET, 5),
    ("to_location_indexes", MOVED, 0, "another location than that of location_indexes", 4),
    ("to_location_indexes", SENT, 0, "another location than that of location_indexes", 5),
    ("movement_types", RECEIVED, 0, A_TYPE, 5),
    ("movement_types", RECEIVED, Type.MOVEMENT_TYPE_RESERVE, A_TYPE, 5),
    ("movement_types", RECEIVED, 127, A_TYPE, 5),
    ("unavailable_reasons", RECEIVED, Reason.UNAVAILABLE_REASON_DAMAGED, A_REASON, 5),
    ("unavailable_reasons", RECEIVED, 6, A_REASON, 5),
    ("unavailable_reasons", SENT, 127, A_REASON, 5),
]


def test_the_good_call_is_good(good):
    answer = good.side.ask(good.call)
    assert set(answer.statuses) == {OK}, answer


@pytest.mark.parametrize(
    "wrong", [Wrong(*row) for row in WRONG_VALUES], ids=lambda wrong: f"{wrong.field}-{wrong.value}"
)
def test_a_wrong_value_is_named_and_nothing_is_written(good, wrong):
    getattr(good.call, wrong.field)[wrong.entry] = wrong.value
    path = f"{wrong.field}[{wrong.entry}]"
    refused_whole(good.side, good.call, f"{path}: expected {wrong.expected}, was {wrong.value}.")
    known = reserve(("A", "X", 1), request_id=uuid4(wrong.command + 1))
    assert good.side.ask(known).reservation_id
    digest = good.side.book.digest()
    reused = good.side.ask(good.call)
    assert (reused.reason, reused.metadata) == ("REQUEST_ID_REUSED", {"field": path})
    assert good.side.book.digest() == digest


@pytest.mark.parametrize("field", [*OF_COMMANDS, *OF_LINES])
@pytest.mark.parametrize("change_by", [-1, 1])
def test_columns_of_other_lengths_are_refused(good, field, change_by):
    column = getattr(good.call, field)
    if change_by > 0:
        column.append(column[0])
    else:
        del column[-1]
    message = f"{field}: expected 7 entries, or one for all, or none, was {7 + change_by} entries."
    refused_whole(good.side, good.call, message)


@pytest.mark.parametrize("field", ["movement_types", "unavailable_reasons"])
def test_a_column_that_is_ignored_has_its_length_all_the_same(side, field):
    call = one_line(3)
    getattr(call, field).extend([0, 0])
    refused_whole(side, call, f"{field}: expected 3 entries, or one for all, or none, was 2 entries.")


@pytest.mark.parametrize("seed", range(200))
def test_however_many_columns_are_wrong_the_first_is_the_reason(good, seed):
    chance = Random(seed)
    damage(good.call, chance)
    digest = good.side.book.digest()
    answer = good.side.ask(good.call)
    if not isinstance(answer, RefusedError):
        return
    assert good.side.book.digest() == digest
    if answer.reason == "VALIDATION_FAILED":
        told = [problem.field for problem in answer.problems]
        assert answer.message.startswith(f"{told[0]}: ")
        assert len(set(told)) == len(told)


@pytest.mark.parametrize("length", [1, 15, 16 * 6, 16 * 7 + 1, 16 * 8])
def test_request_ids_are_in_full_or_absent(good, length):
    good.call.request_ids = bytes(range(1, 255))[:length]
    message = f"request_ids: expected 16 bytes for each of 7 commands, or none, was {length} bytes."
    refused_whole(good.side, good.call, message)


@pytest.mark.parametrize("length", [0, 1, 6, 8])
def test_lines_are_as_many_as_their_counts_say(good, length):
    del good.call.sku_indexes[:]
    good.call.sku_indexes.extend([0] * length)
    message = f"sku_indexes: expected 7 entries, the sum of line_counts, was {length} entries."
    refused_whole(good.side, good.call, message)


def test_limits_are_named(side):
    nothing = bulk.ExecuteCommandsRequest()
    refused_whole(side, nothing, "operations: expected 1 to 8192 entries, was 0 entries.")
    many = one_line(8_193)
    refused_whole(side, many, "operations: expected 1 to 8192 entries, was 8193 entries.")
    wide = one_line(1)
    wide.sku_indexes.extend([0] * LINES_MAX)
    refused_whole(side, wide, "sku_indexes: expected 0 to 32768 entries, was 32769 entries.")
    assert set(side.ask(one_line(COMMANDS_MAX)).statuses) == {OK, bulk.COMMAND_STATUS_INSUFFICIENT_STOCK}


def whole_changes(operation: str, reservation_ids: Sequence[int]) -> RequestColumns:
    """Commands without lines, each on its own reservation."""
    code = bulk.CommandOperation.Value(f"COMMAND_OPERATION_{operation}")
    columns = RequestColumns(request_ids=np.random.default_rng(1).bytes(16 * len(reservation_ids)))
    write_column(columns.operations, np.full(len(reservation_ids), code), DTYPES["operations"])
    write_column(columns.line_counts, np.zeros(1), DTYPES["line_counts"])
    write_column(columns.reservation_ids, np.array(reservation_ids), DTYPES["reservation_ids"])
    return columns


def test_lines_of_reservations_that_are_named_count_too(side):
    """Each of these commands would answer and journal 100 details."""
    side.stock(**{f"S{number}_X": 1 for number in range(100)})
    held = side.ask(reserve(*((f"S{number}", "X", 1) for number in range(100)))).reservation_id
    side.ask(change("Commit", held))
    side.ask(counts(*((f"S{number}", "X", 0) for number in range(100))))
    number = int(held, 16)
    digest = side.book.digest()
    error = side.group(whole_changes("FULFILL", [number] * 328).SerializeToString())[0]
    assert (error.reason, error.metadata["field"]) == ("VALIDATION_FAILED", "reservation_ids")
    assert "at most 32768 lines in all" in error.message
    assert "was 32800 lines" in error.message
    assert side.book.digest() == digest
    answer = side.group(whole_changes("FULFILL", [number] * 327).SerializeToString())[0]
    assert len(answer.details.lines) == 32_700
    # one that this call could make counts as many lines as it could have; one that cannot exist counts none
    assert side.book.ledger.held_line_counts(np.array([number, number + 1, number + 2, 2**40]), 1).tolist() == [
        100,
        100,
        0,
        0,
    ]


@pytest.mark.parametrize("field", ["sku_ids", "location_ids"])
@pytest.mark.parametrize("name", ["", "x" * 65, "ü" * 33])
def test_names_are_as_long_as_anywhere(side, field, name):
    call = one_line(1)
    getattr(call, field).append(name)
    refused_whole(side, call, f'{field}[1]: expected 1 to 64 bytes of UTF-8, was "{name}".')


@pytest.mark.parametrize("field", ["sku_ids", "location_ids"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("A ", r'no blank at either end, was "A "'),
        ("A\u200b", r'visible characters only, and no other blank than the plain one, was "A\u200b"'),
        ("A\x00", r'visible characters only, and no other blank than the plain one, was "A\u0000"'),
        ("A\u0308", r'composed characters (Unicode NFC), was "A\u0308"'),
    ],
)
def test_names_that_look_like_others_are_refused_as_anywhere(side, field, name, told):
    call = one_line(1)
    getattr(call, field).append(name)
    refused_whole(side, call, f"{field}[1]: expected {told}.")


@pytest.mark.parametrize("field", ["sku_ids", "location_ids", "texts"])
def test_dictionaries_are_bounded(side, field):
    call = one_line(1, texts=["order-1"], reference_indexes=[0])
    getattr(call, field).extend(map(str, range(LINES_MAX)))
    refused_whole(side, call, f"{field}: expected at most {LINES_MAX} entries, was {LINES_MAX + 1} entries.")


def test_a_long_text_is_refused(side):
    call = one_line(1, texts=["fine", "ü" * 33], reference_indexes=[0])
    refused_whole(side, call, "texts[1]: expected at most 64 bytes of UTF-8, was 66 bytes.")


@pytest.mark.parametrize(
    ("command", "place", "sku"),
    [
        (amend("0000000100000000", ("A", "X", 1), ("B", "X", 1), ("B", "X", 2)), 3, 1),
        (counts(("A", "X", 1), ("A", "X", 1)), 2, 0),
        (transfer("0000000100000000", "X", "Y", ("A", 1), ("A", 2)), 2, 0),
    ],
    ids=["amend", "counts", "transfer"],
)
def test_a_repeated_line_is_refused_where_it_cannot_count_together(side, command, place, sku):
    call = encode([reserve(("A", "X", 1)), command])
    expected = "another sku or location than those of the command's lines before"
    refused_whole(side, call, f"sku_indexes[{place}]: expected {expected}, was {sku}.")


def test_units_that_count_together_have_a_limit(side):
    call = encode([reserve(("A", "X", 1)), reserve(("B", "X", 1), ("A", "X", QUANTITY_MAX), ("A", "X", 1))])
    expected = f"at most {QUANTITY_MAX} together with the lines of the same sku and location"
    refused_whole(side, call, f"quantities[2]: expected {expected}, was {QUANTITY_MAX + 1}.")


@pytest.mark.parametrize("units", [0, -(2**31), -(2**63), 2**31])
def test_an_adjustment_has_limits_on_both_sides(side, units):
    call = encode([movements(movement("ADJUST", "A", "X", 1))])
    call.quantities[0] = units
    refused_whole(side, call, f"quantities[0]: expected {UNITS}, was {units}.")
    call.quantities[0] = -QUANTITY_MAX
    assert side.ask(call).applied_oversold == [True]


def test_a_transfer_has_one_origin_and_one_target(side):
    side.ask(catalog.UpsertLocationsRequest(locations=[place("Z")]))
    call = encode([transfer("0000000100000000", "X", "Y", ("A", 1), ("B", 1)), counts(("A", "Z", 1))])
    expected = "one location in all lines of a TRANSFER"
    call.location_indexes[1] = 2
    refused_whole(side, call, f"location_indexes[1]: expected {expected}, was 2.")
    call.location_indexes[1], call.to_location_indexes[1] = 0, 2
    refused_whole(side, call, f"to_location_indexes[1]: expected {expected}, was 2.")


def test_all_of_a_transfer_is_one_line_of_no_units(side):
    hold = side.ask(reserve(("A", "X", 3))).reservation_id
    call = encode([transfer(hold, "X", "Y")])
    call.quantities[0] = 1
    refused_whole(side, call, f"quantities[0]: expected {UNITS}, was 1.")
    call.quantities[0] = 0
    call.line_counts[0] = 2
    for field in ("sku_indexes", "location_indexes", "quantities", "to_location_indexes"):
        getattr(call, field).append(getattr(call, field)[0])
    del call.movement_types[:], call.unavailable_reasons[:]
    call.sku_ids.append("A")
    refused_whole(side, call, "sku_indexes[0]: expected 0 to 0, an index in sku_ids, was -1.")


def twin_of(call: bulk.ExecuteCommandsRequest) -> Any:
    """The same call, its packed columns as bytes."""
    return RequestColumns.FromString(call.SerializeToString())


def test_columns_may_come_in_parts(good):
    whole = good.side.ask(good.call)
    again = twin_of(good.call)
    for field, dtype in DTYPES.items():
        (raw,) = getattr(again, field)
        getattr(again, field)[:] = [raw[: 3 * dtype.itemsize], b"", raw[3 * dtype.itemsize :]]
    assert good.side.ask(again.SerializeToString()) == whole


def test_a_part_without_values_is_no_column(side):
    call = twin_of(one_line(2))
    for field in set(DTYPES) - {"operations", "ttl_us", "sku_indexes", "location_indexes", "quantities"}:
        getattr(call, field).append(b"")
    assert side.ask(call.SerializeToString()).statuses == [OK, OK]


@pytest.mark.parametrize(
    ("field", "value", "byte"),
    [
        ("operations", 128, 128),
        ("operations", 300, 172),
        ("operations", 2**31 - 1, 255),
        ("operations", -1, 255),
        ("movement_types", 130, 130),
        ("unavailable_reasons", -1, 255),
    ],
)
def test_enums_of_many_bytes_are_refused(good, field, value, byte):
    getattr(good.call, field)[2] = value
    expected = "whole packed values, those of enums and bools below 128"
    refused_whole(good.side, good.call, f"{field}: expected {expected}, was a byte of {byte}.")


@pytest.mark.parametrize("field", [name for name, dtype in DTYPES.items() if dtype.itemsize > 1])
def test_a_part_of_a_value_is_refused(good, field):
    call = twin_of(good.call)
    getattr(call, field)[0] += b"x"
    length, size = len(getattr(call, field)[0]), DTYPES[field].itemsize
    expected = "whole packed values, those of enums and bools below 128"
    message = f"{field}: expected {expected}, was {length} bytes for values of {size}."
    refused_whole(good.side, call.SerializeToString(), message)


@pytest.mark.parametrize("field", list(DTYPES))
def test_values_that_are_not_packed_are_refused(good, field):
    """A parser of proto3 takes them; without them the call would be another one."""
    number, size = bulk.ExecuteCommandsRequest.DESCRIPTOR.fields_by_name[field].number, DTYPES[field].itemsize
    wire_type = {1: 0, 4: 5, 8: 1}[size]
    good.call.ClearField(field)
    one_by_one = varint(number << 3 | wire_type) + bytes([1]).ljust(size, b"\0")
    message = f'{field}: expected a packed column, was "values one by one".'
    refused_whole(good.side, good.call.SerializeToString() + one_by_one, message)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7])


def test_fields_of_a_later_version_are_ignored(good):
    later = varint(900 << 3) + b"\x01"
    assert set(good.side.ask(good.call.SerializeToString() + later).statuses) == {OK}


@pytest.mark.parametrize("field", ["sku_ids", "location_ids", "texts"])
def test_text_that_is_not_utf8_is_refused(side, field):
    number = bulk.ExecuteCommandsRequest.DESCRIPTOR.fields_by_name[field].number
    payload = one_line(1).SerializeToString() + bytes([number << 3 | 2, 1, 0xFF])
    digest = side.book.digest()
    refusal = side.ask(payload)
    assert (refusal.reason, refusal.code) == ("VALIDATION_FAILED", 3)
    assert "expected a onhand.inventory.v1.ExecuteCommandsRequest" in refusal.message
    assert side.book.digest() == digest


def test_bytes_that_are_no_message_are_refused(side):
    chance = Random(4)
    good = one_line(4).SerializeToString()
    for _ in range(400):
        noise = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            noise[chance.randrange(len(noise))] = chance.randrange(256)
        answer = side.ask(bytes(noise[: chance.choice([None, chance.randrange(len(noise))])]))
        assert reason_of(answer) in ("OK", "VALIDATION_FAILED")
    assert side.book.verify() == []
