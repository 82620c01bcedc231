"""Transfers as columns: they do what the calls of TransferService do, wrong ones are named, and units add up."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import hypothesis.strategies as st
import numpy as np
import onhand.client as api
import pytest
from bulk.harness import Side, by_columns, one_line, refused_whole, told
from bulk_harness import TRANSFERRING, BulkClient, answer_to, encode, outcomes_of
from bulk_requests import (
    QUANTITY_MAX,
    START_US,
    Shoppers,
    change,
    counts,
    create_transfer,
    reserve,
    units_of,
    uuid4,
)
from harness import Client, Refused, Stage
from hypothesis import given, settings
from onhand.client import Coded, CommandColumns, Operation, ReceiptCondition, TransferState, UnavailableReason
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import reservation_pb2, transfer_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import transfer_service_pb2 as transfers

from engine.api import bulk as bulk_api
from engine.errors import RefusedError

CREATE, DISPATCH, RECEIVE, CLOSE, FIND, CANCEL = (
    Operation.CREATE_TRANSFER,
    Operation.DISPATCH_TRANSFER,
    Operation.RECEIVE_TRANSFER,
    Operation.CLOSE_TRANSFER,
    Operation.RECORD_FOUND_UNITS,
    Operation.CANCEL_TRANSFER,
)
DUE_US = 1_900_000_000_000_000


# ---- units add up ----------------------------------------------------------------------------------------------------


@pytest.fixture
def stage(client: Client) -> Stage:
    return Stage(client)


@pytest.fixture
def gateway(client: Client) -> Iterator[BulkClient]:
    """The same names, asked by columns."""
    with BulkClient(client.address, client.prefix) as made:
        yield made


def books(client: Client, transfer_id: str) -> tuple[int, ...]:
    """Units at the source, in transit, at the destination, and short."""
    (line,) = client.get_transfer(transfer_id).lines
    at = [client.level("A", place).on_hand for place in "XY"]
    return at[0], line.in_transit_quantity, at[1], line.short_quantity


class Columns:
    """Asks one verb of each of some transfers as one call of the client package."""

    def __init__(self, stage: Stage, client: api.Client) -> None:
        self._client = client
        self._sku, self._x, self._y = map(stage.client.name, "AXY")
        self.ids: list[int] = []

    def create(self, count: int, units: int) -> api.Outcomes:
        outcomes = self._client.execute(
            CommandColumns(
                np.full(count, CREATE),
                Coded([self._sku], np.zeros(count, np.int32)),
                [self._x],
                units,
                to_locations=[self._y],
                due_times_us=DUE_US,
                hold=True,
                references=["TO-1"],
            )
        )
        self.ids = outcomes.reservation_ids.tolist()
        return outcomes

    def verb(self, operation: Operation, units: int = 0, **more: Any) -> api.Outcomes:
        count = len(self.ids)
        lines = {"skus": Coded([self._sku], np.zeros(count, np.int32)), "quantities": units} if units else {}
        return self._client.execute(
            CommandColumns(
                np.full(count, operation),
                line_counts=np.full(count, int(units > 0)),
                reservation_ids=np.array(self.ids, np.uint64),
                **lines,
                **more,
            )
        )


def test_units_add_up_at_each_step(stage):
    seen = stage.client
    with api.Client(seen.address) as client:
        ask = Columns(stage, client)
        made = ask.create(2, 10)
        assert made.ok.all()
        assert made.transfer_states.tolist() == [TransferState.READY] * 2
        names = [f"{number:016x}" for number in ask.ids]
        assert [seen.get_transfer(name).due_time.ToMicroseconds() for name in names] == [DUE_US] * 2
        assert seen.level("A", "X").committed == 20
        steps: list[tuple[Callable[[], api.Outcomes], TransferState, tuple[int, ...]]] = [
            (lambda: ask.verb(DISPATCH, expected_versions=1), TransferState.IN_TRANSIT, (80, 10, 100, 0)),
            (lambda: ask.verb(RECEIVE, 4), TransferState.PARTIALLY_RECEIVED, (80, 6, 108, 0)),
            (lambda: ask.verb(RECEIVE, 5, conditions=1), TransferState.PARTIALLY_RECEIVED, (80, 1, 118, 0)),
            (lambda: ask.verb(CLOSE), TransferState.CLOSED, (80, 0, 118, 1)),
            (lambda: ask.verb(FIND, 1, at_source=True), TransferState.CLOSED, (82, 0, 118, 0)),
        ]
        for version, (step, state, expected) in enumerate(steps, 2):
            done = step()
            assert done.refusals() == {}
            assert done.reservation_ids.tolist() == ask.ids
            assert done.transfer_states.tolist() == [state] * 2
            assert (done.versions.tolist(), done.states.tolist()) == ([version] * 2, [0, 0])
            assert [books(seen, name) for name in names] == [expected] * 2
            assert seen.verify().ok
    moved = seen.movements(transfer_id=names[1])
    assert [each.quantity for each in moved if each.sku_id == seen.name("A")] == [10, -10, 4, 5, 1, 1]
    assert {each.reference for each in moved} == {"TO-1", ""}


def test_damaged_units_say_why(stage):
    with api.Client(stage.client.address) as client:
        x, y, sku = map(stage.client.name, "XYA")
        made = client.execute(CommandColumns([CREATE], [sku], [x], 10, to_locations=[y]))
        number = made.reservation_ids
        done = client.execute(
            CommandColumns(
                [DISPATCH, RECEIVE],
                [sku, sku, sku],
                quantities=[7, 2, 1],
                line_counts=[0, 3],
                reservation_ids=number,
                conditions=[ReceiptCondition.GOOD, ReceiptCondition.UNAVAILABLE, ReceiptCondition.SHORT],
                unavailable_reasons=[0, UnavailableReason.QUARANTINE, 0],
            )
        )
        assert done.transfer_states.tolist() == [TransferState.IN_TRANSIT, TransferState.RECEIVED]
        assert client.get_stock_level(sku, y).unavailable_by_reason == {UnavailableReason.QUARANTINE: 2}
        (line,) = client.get_transfer(f"{int(number[0]):016x}").lines
        assert (line.received, line.unavailable, line.short) == (7, 2, 1)


# ---- refusals --------------------------------------------------------------------------------------------------------


class Scenes:
    """Verbs that are refused, each with the reason: what they need is made."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.client = stage, stage.client
        self.a, self.b, self.x, self.y = map(stage.client.name, "ABXY")

    def create(self, *lines: tuple[str, int], **more: Any) -> Any:
        places = {"origin": self.x, "target": self.y} | {
            key: more.pop(key) for key in ("origin", "target") & more.keys()
        }
        return create_transfer(places["origin"], places["target"], *(lines or [(self.a, 1)]), **more)

    def all(self) -> Iterator[tuple[str, Any]]:
        yield from self.of_new_ones()
        yield from self.of_those_there()

    def of_new_ones(self) -> Iterator[tuple[str, Any]]:
        yield "SKU_NOT_FOUND", self.create((self.a, 1), ("none", 1))
        yield "LOCATION_NOT_FOUND", self.create(origin="nowhere")
        yield "LOCATION_NOT_FOUND", self.create(target="nowhere")
        self.client.sku("N")
        yield "NOT_STOCKED_HERE", self.create((self.a, 1), (self.client.name("N"), 1))
        yield "INSUFFICIENT_STOCK", self.create((self.a, 1), (self.b, 60), (self.b, 60), hold=True)
        yield "RESERVATION_NOT_FOUND", self.create(reservation_id="000fffffffffffff")
        yield "RESERVATION_NOT_COMMITTED", self.create(reservation_id=self.stage.held())
        yield "QUANTITY_EXCEEDS_OPEN", self.create((self.a, 99), reservation_id=self.stage.committed())
        yield "WRONG_SHARD", self.create(reservation_id="0050000100000000")

    def of_those_there(self) -> Iterator[tuple[str, Any]]:
        planned, sent = self.stage.planned(), self.stage.in_transit()
        ended = self.stage.in_transit()
        self.client.close_transfer(ended)
        for unknown, reason in (("000fffffffffffff", "DOCUMENT_NOT_FOUND"), ("0050000100000000", "WRONG_SHARD")):
            yield reason, transfers.CloseTransferRequest(transfer_id=unknown)
        yield "DOCUMENT_NOT_FOUND", transfers.CloseTransferRequest(transfer_id="no such id")
        yield "DOCUMENT_NOT_BEGUN", transfers.CloseTransferRequest(transfer_id=planned)
        yield "DOCUMENT_NOT_BEGUN", transfers.ReceiveTransferRequest(transfer_id=planned)
        yield "DOCUMENT_ENDED", transfers.DispatchTransferRequest(transfer_id=ended)
        yield "DOCUMENT_ENDED", transfers.CancelTransferRequest(transfer_id=ended, written_off=units_of([(self.a, 1)]))
        yield "VERSION_MISMATCH", transfers.DispatchTransferRequest(transfer_id=planned, expected_version=7)
        lost = units_of([(self.a, 1), ("none", 1)])
        yield "SKU_NOT_FOUND", transfers.CancelTransferRequest(transfer_id=sent, written_off=lost)
        yield "QUANTITY_EXCEEDS_OPEN", transfers.DispatchTransferRequest(transfer_id=sent)
        much = [transfer_pb2.ReceivedUnits(sku_id=sku, quantity=units) for sku, units in ((self.b, 1), (self.a, 9))]
        yield "QUANTITY_EXCEEDS_OPEN", transfers.ReceiveTransferRequest(transfer_id=sent, lines=much)
        found = [transfer_pb2.FoundUnits(sku_id=self.a, quantity=9, at_source=True)]
        yield "QUANTITY_EXCEEDS_OPEN", transfers.RecordFoundUnitsRequest(transfer_id=ended, lines=found)
        much_more = self.client.create_transfer("X", "Y", ("A", 300), ("B", 200)).transfer_id
        yield "INSUFFICIENT_STOCK", transfers.DispatchTransferRequest(transfer_id=much_more)
        skus = [f"W{number}" for number in range(100)]
        self.client.sku(*skus)
        unexpected = [
            transfer_pb2.ReceivedUnits(
                sku_id=self.client.name(sku), quantity=1, condition=transfer_pb2.RECEIPT_CONDITION_UNEXPECTED
            )
            for sku in skus
        ]
        yield "TOO_MANY_LINES", transfers.ReceiveTransferRequest(transfer_id=sent, lines=unexpected)


def ask(client: Client, request: Any) -> Any:
    """What a refusal says, its message for people left out."""
    method = getattr(client.transfers, type(request).__name__.removesuffix("Request"))
    with pytest.raises(Refused) as error:
        client.call(method, request)
    return error.value.code, error.value.reason, error.value.metadata, error.value.shortages


def columns_of(call: bulk.ExecuteCommandsRequest) -> CommandColumns:
    """The columns of a call as the client package has them."""
    return CommandColumns(
        np.array(call.operations),
        Coded(list(call.sku_ids), np.array(call.sku_indexes, np.int32)),
        Coded(list(call.location_ids), np.array(call.location_indexes, np.int32)),
        np.array(call.quantities, np.int64),
        line_counts=np.array(call.line_counts),
        reservation_ids=np.array(call.reservation_ids, np.uint64),
        expected_versions=np.array(call.expected_versions),
        to_locations=Coded(list(call.location_ids), np.array(call.to_location_indexes, np.int32)),
        unavailable_reasons=np.array(call.unavailable_reasons, np.uint8),
        hold=np.array(call.hold, np.bool_),
        use_safety_stock=np.array(call.use_safety_stock, np.bool_),
        conditions=np.array(call.conditions, np.uint8),
        at_source=np.array(call.at_source, np.bool_),
    )


def test_every_refusal_is_told_as_by_the_calls(stage, gateway):
    seen = set()
    with api.Client(stage.client.address) as client:
        for reason, request in Scenes(stage).all():
            one = ask(stage.client, request)
            assert one[1] == reason
            assert ask(gateway, request) == one
            method = getattr(stage.client.transfers, type(request).__name__.removesuffix("Request"))
            with pytest.raises(Refused) as error:
                stage.client.call(method, request)
            (refusal,) = client.execute(columns_of(encode([request]))).refusals().values()
            assert isinstance(refusal, api.RefusedError)
            told = error.value.message.replace("no such id", "")  # a number cannot say it
            assert (refusal.reason, refusal.message) == (reason, told)
            seen.add((type(request).__name__, reason))
    assert len(seen) > 15
    assert stage.client.verify().ok


# ---- in this process: columns against one call after the other -------------------------------------------------------


@pytest.fixture
def side() -> Side:
    made = Side()
    made.stock(A_X=100, B_X=100, A_Y=100, B_Y=100)
    return made


class Carriers(Shoppers):
    """Makes up transfers alone; units that nobody sent among them."""

    def request(self, now_us: int) -> Any:
        if self.asked and self.rarely(7):
            return self.chance.choice(self.asked[-40:])
        request = self.create() if self.rarely(3) else self.verb()
        request.request_id = self.request_id(now_us)
        self.asked.append(request)
        return request

    def received(self, line: tuple[str, int]) -> Any:
        received = super().received(line)
        if line[0] in "AB" and self.rarely(3):
            received.condition = transfer_pb2.RECEIPT_CONDITION_UNEXPECTED
            received.unavailable_reason = 0
        return received


def play(seed: int, call_count: int, lines_per_group: int) -> list[Any]:
    """Run calls of columns on one side, and each command as a call of its own on another; returns all answers."""
    chance = Random(seed)
    carriers, one_by_one, columns = Carriers(chance), Side(), Side()
    for each in (one_by_one, columns):
        each.stock(A_X=40, B_X=40, A_Y=40, B_Y=40, C_Y=20)
        hold = each.ask(reserve(("A", "X", 9), ttl=9_000)).reservation_id
        each.ask(change("Commit", hold))
    carriers.holds = [hold]
    seen = []
    for _ in range(call_count):
        requests = [carriers.request(START_US) for _ in range(chance.choice([1, 4, 30]))]
        expected = [one_by_one.ask(request) for request in requests]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(bulk_api, "LINES_PER_GROUP_MAX", lines_per_group)
            found = by_columns(columns, *requests)
        for request, one, other in zip(requests, expected, found, strict=True):
            assert told(other) == told(one), request
        assert columns.book.digest() == one_by_one.book.digest()
        seen += expected
        carriers.on_the_way += [each.transfer_id for each in expected if hasattr(each, "transfer_id")]
    assert columns.book.rejections.suspects == one_by_one.book.rejections.suspects
    assert columns.book.verify() == one_by_one.book.verify() == []
    return seen


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), call_count=st.integers(1, 6), lines_per_group=st.sampled_from([1, 200, 16_384]))
def test_columns_do_what_calls_do_one_by_one(seed, call_count, lines_per_group):
    play(seed, call_count, lines_per_group)


def test_a_long_play_leads_to_every_state():
    answers = play(1, 60, 16_384)
    states = {each.state for each in answers if hasattr(each, "state")}
    assert states == set(transfer_pb2.TransferState.values()) - {0}


@pytest.mark.parametrize("rpc", TRANSFERRING)
def test_each_verb_stands_alone_in_a_call(side, rpc):
    """No column has to be there that the verb does not need."""
    (made,) = by_columns(side, create_transfer("X", "Y", ("A", 5)))
    number = int(made.transfer_id, 16)
    call = bulk.ExecuteCommandsRequest(operations=[DISPATCH], line_counts=[0], reservation_ids=[number])
    if rpc != "DispatchTransfer":
        side.ask(call)
    call.operations[0] = (
        getattr(bulk, f"COMMAND_OPERATION_{Operation(23).name}") if rpc == "ReceiveTransfer" else call.operations[0]
    )
    if rpc == "CreateTransfer":
        call = bulk.ExecuteCommandsRequest(
            operations=[CREATE],
            sku_ids=["A"],
            location_ids=["X", "Y"],
            sku_indexes=[0],
            to_location_indexes=[1],
            quantities=[1],
        )
    elif rpc == "CloseTransfer":
        call.operations[0] = CLOSE  # type: ignore[call-overload]
    elif rpc == "CancelTransfer":
        call.operations[0] = CANCEL  # type: ignore[call-overload]
    elif rpc == "RecordFoundUnits":
        side.ask(transfers.CloseTransferRequest(transfer_id=made.transfer_id))
        call = bulk.ExecuteCommandsRequest(
            operations=[FIND], reservation_ids=[number], sku_ids=["A"], sku_indexes=[0], quantities=[1]
        )
    answer = side.ask(call)
    assert list(answer.statuses) == [bulk.COMMAND_STATUS_OK]


# ---- wrong columns ---------------------------------------------------------------------------------------------------


IN_LOCATIONS = "0 to 1, an index in location_ids"
TARGET = f"{IN_LOCATIONS}, for a TRANSFER or CREATE_TRANSFER, else -1"
CREATED, SENT, GOT, SHUT, FOUND, LOST = range(6)
# Lines of the good call: two of CREATED, then one each.
DAMAGED = 3

WRONG = [
    ("line_counts", CREATED, 0, "1 to 100 for CREATE_TRANSFER"),
    ("line_counts", SENT, 101, "0 to 100 for DISPATCH_TRANSFER"),
    ("line_counts", GOT, 101, "0 to 100 for RECEIVE_TRANSFER"),
    ("line_counts", SHUT, 1, "0 to 0 for CLOSE_TRANSFER"),
    ("line_counts", FOUND, 0, "1 to 100 for RECORD_FOUND_UNITS"),
    ("line_counts", LOST, 101, "0 to 100 for CANCEL_TRANSFER"),
    ("reservation_ids", SENT, 0, "the id of a transfer"),
    ("reservation_ids", SHUT, 0, "the id of a transfer"),
    ("expected_versions", GOT, -1, f"0 to {QUANTITY_MAX}"),
    (
        "due_times_us",
        CREATED,
        -1,
        "0 for none, or a time after 1970-01-01T00:00:00Z and before the year 10000, in microseconds",
    ),
    (
        "due_times_us",
        CREATED,
        2**62,
        "0 for none, or a time after 1970-01-01T00:00:00Z and before the year 10000, in microseconds",
    ),
    ("sku_indexes", 2, -1, "0 to 1, an index in sku_ids"),
    ("location_indexes", 0, 2, IN_LOCATIONS),
    ("location_indexes", 1, 1, "another location than that of location_indexes"),
    ("to_location_indexes", 0, -1, TARGET),
    ("to_location_indexes", 1, 0, "another location than that of location_indexes"),
    ("to_location_indexes", 2, 1, TARGET),
    ("quantities", 1, 0, None),
    ("quantities", 4, -1, None),
    ("quantities", 5, 2**31, None),
    ("conditions", DAMAGED, 5, "a condition of ReceiptCondition"),
    ("conditions", DAMAGED, 127, "a condition of ReceiptCondition"),
    ("conditions", DAMAGED, 1, "a reason of UnavailableReason for UNAVAILABLE, else none"),
    ("unavailable_reasons", DAMAGED, 0, "a reason of UnavailableReason for UNAVAILABLE, else none"),
    ("unavailable_reasons", DAMAGED, 6, "a reason of UnavailableReason for UNAVAILABLE, else none"),
]


@pytest.fixture
def good(side: Side) -> tuple[Side, bulk.ExecuteCommandsRequest]:
    """A call that is right, of each verb of a transfer of its own, every column in full."""
    ids = [side.ask(create_transfer("X", "Y", ("A", 5), ("B", 5))).transfer_id for _ in range(5)]
    for transfer_id in ids[1:]:
        side.ask(transfers.DispatchTransferRequest(transfer_id=transfer_id))
    side.ask(transfers.CloseTransferRequest(transfer_id=ids[3]))
    reason = transfer_pb2.ReceivedUnits(
        sku_id="A",
        quantity=1,
        condition=transfer_pb2.RECEIPT_CONDITION_UNAVAILABLE,
        unavailable_reason=2,  # type: ignore[arg-type]
    )
    return side, encode(
        [
            create_transfer("X", "Y", ("A", 1), ("B", 1), due=DUE_US, request_id=uuid4(1)),
            transfers.DispatchTransferRequest(transfer_id=ids[0], lines=units_of([("A", 1)]), request_id=uuid4(2)),
            transfers.ReceiveTransferRequest(transfer_id=ids[1], lines=[reason], request_id=uuid4(3)),
            transfers.CloseTransferRequest(transfer_id=ids[2], request_id=uuid4(4)),
            transfers.RecordFoundUnitsRequest(
                transfer_id=ids[3], lines=[transfer_pb2.FoundUnits(sku_id="A", quantity=1)], request_id=uuid4(5)
            ),
            transfers.CancelTransferRequest(transfer_id=ids[4], written_off=units_of([("A", 1)]), request_id=uuid4(6)),
        ]
    )


def test_the_good_call_is_good(good):
    side, call = good
    assert set(side.ask(call).statuses) == {bulk.COMMAND_STATUS_OK}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[0]}-{wrong[1]}-{wrong[2]}")
def test_a_wrong_value_is_named_and_nothing_is_written(good, wrong):
    side, call = good
    field, entry, value, expected = wrong
    digest, seq = side.book.digest(), side.book.seq
    getattr(call, field)[entry] = value
    refusal = side.ask(call)
    assert isinstance(refusal, RefusedError)
    assert refusal.reason == "VALIDATION_FAILED"
    assert (side.book.digest(), side.book.seq) == (digest, seq)
    named = refusal.metadata["field"]
    if expected is not None:
        assert f": expected {expected}, was " in refusal.message
    assert named.partition("[")[0] in (field, "unavailable_reasons", "to_location_indexes")


@pytest.mark.parametrize("field", ["due_times_us", "hold", "use_safety_stock", "conditions", "at_source"])
def test_a_column_that_is_ignored_has_its_length_all_the_same(side, good, field):
    call = one_line(3)
    getattr(call, field).extend([0, 0])
    refused_whole(side, call, f"{field}: expected 3 entries, or one for all, or none, was 2 entries.")
    getattr(good[1], field).append(0)
    refused_whole(side, good[1], f"{field}: expected 6 entries, or one for all, or none, was 7 entries.")


def test_lines_that_count_together_have_a_most(side):
    (made,) = by_columns(side, create_transfer("X", "Y", ("A", 5)))
    much = units_of([("A", QUANTITY_MAX), ("A", 1)])
    call = encode([transfers.DispatchTransferRequest(transfer_id=made.transfer_id, lines=much)])
    expected = f"at most {QUANTITY_MAX} together with the lines of the same sku and location"
    refused_whole(side, call, f"quantities[0]: expected {expected}, was {QUANTITY_MAX + 1}.")


def wide_transfer(side: Side) -> int:
    """Make a transfer of 100 lines."""
    side.stock(**{f"S{number}_X": 1 for number in range(100)})
    wide = side.ask(create_transfer("X", "Y", *((f"S{number}", 1) for number in range(100))))
    return int(wide.transfer_id, 16)


def verbs(operation: int, numbers: Sequence[int]) -> bulk.ExecuteCommandsRequest:
    """Commands without lines."""
    return bulk.ExecuteCommandsRequest(
        operations=[operation] * len(numbers),  # type: ignore[list-item]
        line_counts=[0] * len(numbers),
        reservation_ids=numbers,
    )


def test_lines_of_transfers_that_are_named_count_too(side):
    number = wide_transfer(side)
    expected = "at most 32768 lines in all, those of the reservations and transfers named counted"
    refused_whole(side, verbs(DISPATCH, [number] * 328), f"reservation_ids: expected {expected}, was 32800 lines.")
    answer = side.ask(verbs(DISPATCH, [number] * 327))
    assert list(answer.statuses[:2]) == [bulk.COMMAND_STATUS_OK, bulk.COMMAND_STATUS_QUANTITY_EXCEEDS_OPEN]
    assert side.group_count == 3  # 104 lines of work each, 16,384 in a group
    foreseen = side.book.ledger.document_line_counts(np.array([number, number + 1, number + 2, 2**40]), 1)
    assert foreseen.tolist() == [100, 100, 0, 0]


# ---- what is beside the ledger ---------------------------------------------------------------------------------------


def unexpected(transfer_id: str, **more: Any) -> transfers.ReceiveTransferRequest:
    line = transfer_pb2.ReceivedUnits(sku_id="A", quantity=1, condition=transfer_pb2.RECEIPT_CONDITION_UNEXPECTED)
    return transfers.ReceiveTransferRequest(transfer_id=transfer_id, lines=[line], **more)


def test_the_source_of_what_nobody_sent_waits_for_a_count_that_comes_later(side):
    first, second = by_columns(side, *(create_transfer("X", "Y", ("A", 5), request_id=uuid4(n)) for n in (1, 2)))
    by_columns(side, *(transfers.DispatchTransferRequest(transfer_id=each.transfer_id) for each in (first, second)))
    sku, place = side.book.ledger.sku_index("A"), side.book.ledger.location_index("X")
    suspects = side.book.rejections.suspects
    by_columns(side, counts(("A", "X", 80)), unexpected(first.transfer_id))
    assert suspects.keys() == {(sku, place)}
    by_columns(side, unexpected(second.transfer_id), counts(("A", "X", 79)))
    assert not suspects
    side.group(counts(("A", "X", 78)), unexpected(second.transfer_id))
    assert suspects.keys() == {(sku, place)}
    assert side.book.verify() == []


def test_a_repeat_brings_nothing_again(side):
    (made,) = by_columns(side, create_transfer("X", "Y", ("A", 5)))
    sent = transfers.DispatchTransferRequest(transfer_id=made.transfer_id, request_id=uuid4(1))
    got = unexpected(made.transfer_id, request_id=uuid4(2))
    first = by_columns(side, sent, got)
    digest = side.book.digest()
    again = outcomes_of(side.ask(encode([sent, got, got])))
    assert [answer_to(request, one) for request, one in zip((sent, got), again[:2], strict=True)] == first
    assert again[1] == again[2]
    assert side.ask(got) == first[1]
    assert side.book.digest() == digest


def test_details_of_a_transfer_and_of_a_last_command_without_lines(side):
    """Such a command stands behind all lines."""
    line = reservation_pb2.LineQuantity(sku_id="A", location_id="X", quantity=3)
    hold = reservations.ReserveStockRequest(lines=[line])
    hold.ttl.FromSeconds(60)
    number = side.ask(hold).reservation_id
    side.ask(reservations.CommitReservationRequest(reservation_id=number))
    side.ask(counts(("A", "X", 1)))
    short = reservations.FulfillCommitmentRequest(reservation_id=number)
    refusals = by_columns(side, create_transfer("X", "Y", ("A", 99), hold=True), short)
    told = [(each.reason, [short.location_id for short in each.shortages]) for each in refusals]
    assert told == [("INSUFFICIENT_STOCK", ["X"])] * 2
