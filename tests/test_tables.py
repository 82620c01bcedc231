"""The tables of operations, movements and columns: what follows from them, and what says the same again elsewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
from onhand.client import arrays, commands
from onhand.client.results import MovementType
from onhand.inventory.v1 import transfer_service_pb2
from onhand.inventory.v1.bulk_service_pb2 import CommandStatus
from onhand.rules.operations import RULES

from engine.api.stock import command_columns, inventory
from ledger.core import state
from ledger.core.documents import CREATE, DOCUMENTS
from ledger.core.kernels import memory
from ledger.core.ledger import Ledger
from ledger.core.movements import MOVEMENTS, OF_REASON, ROW_OF, Account
from ledger.core.operations import (
    HAS_TTL,
    HAS_VERSION,
    IS_BULK,
    IS_OWN,
    LINES_MAX,
    LINES_MIN,
    MERGES_LINES,
    OPERATIONS,
    QUANTITY_MIN,
    TRAITS,
    listed,
    those_with,
)
from ledger.core.records import ANY_SKU, COMMAND, HAS_REQUEST_ID, LINE, NO_LOCATION, Batch
from ledger.core.state import COLUMNS, INDEXES
from ledger.core.statuses import DocumentKind, Kind, Operation, Status, TransferAction, TransferVerb
from ledger.oracle import stock as oracle

CONTRACT = Path(__file__).parent.parent / "proto/onhand/inventory/v1"
BULK = [row for row in OPERATIONS if row.traits & IS_BULK]
NONE = NO_LOCATION
STATUS_OF_DOCUMENTS = re.compile("DOCUMENT_.*")


# ---- operations ------------------------------------------------------------------------------------------------------


def test_a_number_that_no_operation_has_finds_nothing():
    others = [number for number in range(256) if number not in list(Operation)]
    assert not TRAITS[others].any()
    assert not LINES_MAX[others].any()


def test_only_what_is_asked_for_is_in_the_bulk_path():
    assert [row.operation.name for row in BULK] == [
        each.name for each in commands.Operation if each not in commands.OF_TRANSFERS
    ]
    assert not (those_with(IS_BULK) & those_with(IS_OWN)).any()


def test_the_client_merges_the_same_lines():
    merging = {row.operation for row in BULK if row.traits & MERGES_LINES}
    assert merging == arrays.MERGES_LINES - commands.OF_TRANSFERS


def test_each_verb_of_a_transfer_is_one_operation_with_the_name_of_its_call():
    rpcs = {rpc.name for rpc in transfer_service_pb2.DESCRIPTOR.services_by_name["TransferService"].methods}
    named = {command_columns.operation_name(each).title().replace("_", "") for each in command_columns.VERBS}
    assert named == rpcs - {"GetTransfer", "ListTransfers"}
    assert command_columns.VERBS.keys() == commands.OF_TRANSFERS
    for operation, (kind, verb) in command_columns.VERBS.items():
        assert (kind, verb) == (command_columns.KIND_OF[operation], command_columns.VERB_OF[operation])
        (row,) = (each for each in DOCUMENTS[kind - 1].verbs if each.verb == verb)
        rule = RULES[operation]
        assert (rule.lines_min > 0, rule.lines_max > 0) == (row.needs_lines, bool(row.actions))
        assert rule.has_version == (verb != CREATE)


def test_every_status_of_a_verb_is_a_status_of_the_contract():
    names = {name.removeprefix("COMMAND_STATUS_") for name in CommandStatus.keys()}  # noqa: SIM118 - an enum is no mapping
    assert {status.name for status in Status if STATUS_OF_DOCUMENTS.match(status.name)} <= names


def test_the_contract_says_how_many_lines_each_operation_has():
    comment = comment_of(CONTRACT / "bulk_service.proto", "repeated fixed32 line_counts")
    for row in BULK:
        least, most = LINES_MIN[row.operation], f"{LINES_MAX[row.operation]:,}"
        if most == "0":
            assert f"{row.operation.name} 0." in comment
            continue
        (said,) = re.findall(rf"\b{row.operation.name}\b[^0-9.]*(\d+)[^0-9.]*to ([\d,]*\d)", comment)
        assert said == (str(least), most), row.operation.name


def test_the_contract_says_how_many_lines_each_verb_of_a_transfer_has():
    comment = comment_of(CONTRACT / "bulk_service.proto", "repeated fixed32 line_counts")
    for operation in command_columns.VERBS:
        name = command_columns.operation_name(operation)
        least, most = command_columns.LINES_MIN[operation], command_columns.LINES_MAX[operation]
        if most == 0:
            assert f"{name} 0." in comment
            continue
        (said,) = re.findall(rf"\b{name}\b[^0-9.]*(\d+)[^0-9.]*to ([\d,]*\d)", comment)
        assert said == (str(least), str(most)), name


def test_the_contract_says_which_columns_each_operation_has():
    for column, trait in (("sfixed64 ttl_us", HAS_TTL), ("sfixed64 expected_versions", HAS_VERSION)):
        comment = comment_of(CONTRACT / "bulk_service.proto", f"repeated {column}")
        assert f"for {listed(row.operation.name for row in BULK if row.traits & trait)}" in comment


def test_the_contract_says_of_which_operations_quantities_may_be_zero():
    for row in BULK:
        comment = comment_of(CONTRACT / "bulk_service.proto", f"COMMAND_OPERATION_{row.operation.name} =")
        assert ("may be 0" in comment) == (QUANTITY_MIN[row.operation] == 0), row.operation.name


# ---- movements -------------------------------------------------------------------------------------------------------


def test_the_oracle_knows_the_same_movements():
    assert oracle.RECORDABLE.keys() == {row.kind for row in MOVEMENTS if row.is_recordable}
    for kind, said in oracle.RECORDABLE.items():
        row = ROW_OF[kind]
        accounts = row.source, row.target, row.target_with_reason
        told = said.source, said.target, said.target_with_reason
        assert [each and each.name for each in told] == [each if each is None else each.name for each in accounts]
        assert said.arrives == (row.arrives_as is not None)


def test_the_client_records_the_same_movements():
    recordable = {row.shown for row in MOVEMENTS if row.is_recordable} | OF_REASON.keys()
    assert {each.name for each in commands.RECORDABLE} == recordable
    assert {each.name for each in commands.NEEDS_REASON} == {
        row.shown for row in MOVEMENTS if row.is_recordable and row.needs_reason
    }


def test_the_contract_says_which_movements_are_output_only_and_between_which_accounts():
    words = {account: account.name.lower() for account in Account} | {Account.FREE: "free stock"}
    words |= {Account.UNAVAILABLE: "unavailable stock"}
    for row in MOVEMENTS:
        if not row.shown or Account.TRANSIT in (row.source, row.target):
            continue
        comment = comment_of(CONTRACT / "stock.proto", f"MOVEMENT_TYPE_{row.shown} =").lower()
        assert comment.startswith("output only.") == (not row.is_recordable), row.shown
        for account in (row.source, row.target, row.target_with_reason):
            assert account is None or words[account] in comment, (row.shown, account)
        assert ("signed" in comment) == row.is_signed, row.shown


@pytest.mark.parametrize("type_", list(MovementType), ids=lambda each: each.name)
def test_a_type_is_shown_as_it_was_recorded(type_):
    kind = inventory.RECORDABLE.get(type_)
    if kind is None:
        assert type_ not in commands.RECORDABLE
        return
    reason = inventory.REASON_OF_TYPE.get(type_, 2 if ROW_OF[kind].needs_reason else 0)
    assert inventory.shown_type(kind, reason) == type_


# ---- columns ---------------------------------------------------------------------------------------------------------

HOLD = 1 << 32
TRANSFER_OUT, RECEIVE, RETURN = int(Kind.TRANSFER_OUT), int(Kind.RECEIVE), int(Kind.RETURN)
# Operation, fields of COMMAND, LINEs, and the fingerprint that every release since format 4 of the journal gave it:
# what is remembered in a folder must mean the same to the next release. Skus A, B and locations X, Y have indexes 0, 1.
ASKED = (
    (
        Operation.RECORD_MOVEMENTS,
        {},
        [(0, 0, NONE, RECEIVE, 0, 0, 9, 0), (0, 0, 1, TRANSFER_OUT, 0, 0, 4, 0), (1, 0, NONE, RETURN, 2, 0, 3, 0)],
        0x1E3D70A8907FFF5B,
    ),
    (Operation.SET_ON_HAND, {}, [(1, 1, NONE, 0, 0, 0, 7, 0)], 0x62028FA3A07FE55B),
    (Operation.SET_POLICY, {"flags": 8 | 16}, [(1, 1, NONE, 0, 0, 0, 1, 2)], 0xDE0960E0B07FE69B),
    (
        Operation.RESERVE,
        {"ttl_us": 1000, "flags": 1},
        [(0, 0, NONE, 0, 0, 0, 2, 0), (1, 1, NONE, 0, 0, 0, 1, 0)],
        0x0C3BAC72107F5D1D,
    ),
    (Operation.EXTEND, {"ttl_us": 2000, "reservation_id": HOLD}, [], 0x923E935E4AFC0003),
    (
        Operation.AMEND,
        {"expected_version": 2, "reservation_id": HOLD},
        [(0, 0, NONE, 0, 0, 0, 1, 0)],
        0x2A27404E5AE1141B,
    ),
    (Operation.TRANSFER, {"reservation_id": HOLD}, [(ANY_SKU, 0, 1, 0, 0, 0, 0, 0)], 0x097D37776AFD891B),
    (Operation.COMMIT, {"reservation_id": HOLD, "content": 77}, [], 0xA68C2C3B2AFC001B),
    (Operation.FULFILL, {"reservation_id": HOLD}, [(0, 1, NONE, 0, 0, 0, 1, 0)], 0xE5A85BE47AFC241B),
    (Operation.CANCEL, {"reservation_id": HOLD}, [], 0xEE49363E8AFC001B),
    (Operation.RELEASE, {"reservation_id": 5}, [], 0xF86FF81F3E7C001B),
    (Operation.CHANGE_CATALOG, {"result": 9, "content": 5}, [], 0x5FAB8109C07C001B),
)


def a_ledger() -> tuple[Ledger, list[int]]:
    """Return a ledger that uses every column, and the fingerprints that it remembers."""
    ledger = Ledger(request_window_us=10**9, retention_us=10**9)
    for name in ("A", "B"):
        ledger.define_sku(name)
    for name in ("X", "Y"):
        ledger.define_location(name)
    fingerprints = [run(ledger, number, *asked[:3]) for number, asked in enumerate(ASKED)]
    head = (ANY_SKU, 0, 1, TransferVerb.CREATE, DocumentKind.TRANSFER, 0, 0, 0)
    run(ledger, 19, Operation.ADVANCE, {}, [head, (0, NONE, NONE, TransferAction.HOLD, 0, 0, 1, 0)])
    return ledger, fingerprints


def run(ledger: Ledger, number: int, operation: Operation, more: dict[str, int], lines: list[tuple[int, ...]]) -> int:
    """Run a command with a request id; returns the fingerprint that is remembered."""
    command = np.zeros(1, COMMAND)
    command["operation"], command["line_count"], command["request_id_low"] = operation, len(lines), number + 1
    for name, value in more.items():
        command[name] = value
    command["flags"] |= HAS_REQUEST_ID
    ledger.execute(Batch(command, np.array(lines, LINE)), 1_000 + number)
    group = ledger.take_group()
    assert group is not None
    return int(group.requests["fingerprint"][0])


def test_fingerprints_are_those_of_the_releases_before():
    ledger, fingerprints = a_ledger()
    assert [hex(each) for each in fingerprints] == [hex(asked[3]) for asked in ASKED]
    unknown, nowhere = ledger.sku_index("nothing"), ledger.location_index("nowhere")
    told = [
        run(ledger, 20, Operation.RESERVE, {"ttl_us": 1000}, [(unknown, 0, NONE, 0, 0, 0, 2, 0)]),
        run(ledger, 21, Operation.RESERVE, {"ttl_us": 1000}, [(0, nowhere, NONE, 0, 0, 0, 2, 0)]),
        run(ledger, 22, Operation.TRANSFER, {"reservation_id": HOLD}, [(0, 0, nowhere, 0, 0, 0, 1, 0)]),
    ]
    assert told == [0xDFA107BF107D999D, 0x45A4544D107E799D, 0xD5F18DA76AFD241B]
    again = {"reservation_id": HOLD, "ttl_us": 3000, "expected_version": 4}
    refused = {"content": 6, "status": Status.LOCATION_INACTIVE}
    head = (ANY_SKU, 0, 1, TransferVerb.CREATE, DocumentKind.TRANSFER, 0, 0, 0)
    newer = [
        run(ledger, 30, Operation.REPLACE, again, [(0, 0, NONE, 0, 0, 0, 2, 0)]),
        run(ledger, 31, Operation.REMEMBER, refused, []),
        run(ledger, 32, Operation.ADVANCE, {}, [head, (0, NONE, NONE, TransferAction.PLAN, 0, 0, 3, 0)]),
    ]
    assert newer == [0x16A311661A811985, 0xC8A5D1D1C07C001B, 0x03F2BFE1F07E6140]


def test_a_fingerprint_has_room_for_more_operations():
    most = memory.METHOD_ESCAPE + (1 << memory.TTL_BITS)
    assert most > max(Operation) + 20
    for operation in range(1, most):
        code, rest = (operation, 5) if operation < memory.METHOD_ESCAPE else (memory.METHOD_ESCAPE, 0)
        rest = operation - memory.METHOD_ESCAPE if code == memory.METHOD_ESCAPE else rest
        packed = np.uint64(code << memory.METHOD_SHIFT | rest << memory.TTL_SHIFT | 3 << 60 | 9 << memory.LINES_SHIFT)
        assert memory.method_of.py_func(packed) == operation


def test_a_digest_tells_every_column_that_does_not_follow_from_the_rest():
    ledger, _ = a_ledger()
    columns, before = ledger._columns, ledger.digest()
    for row in COLUMNS:
        if row.counter is None:
            continue
        used = columns[row.name].array[: columns.counters.array[row.counter]]
        assert len(used), f"{row.name} is not used"
        last = used.reshape(-1).view(np.uint8)[-1:]
        last ^= 1
        assert (ledger.digest() != before) == row.is_told, row.name
        last ^= 1
    assert ledger.digest() == before


def test_a_digest_tells_every_counter_but_those_that_are_no_state():
    ledger, _ = a_ledger()
    counters, before = ledger._columns.counters.array, ledger.digest()
    for counter in range(state.COUNTERS):
        counters[counter] += 1
        is_told = counter not in (state.TIME_US, state.WHEEL_TICK, state.SHARD, state.REQUEST_FORGOTTEN)
        assert (ledger.digest() != before) == is_told, counter
        counters[counter] -= 1
    assert ledger.digest() == before


def test_an_image_has_every_column():
    ledger, _ = a_ledger()
    sparse = {"wheel_ticks", "wheel_lists"}
    whole = {row.name for row in COLUMNS if row.is_kept}
    names = {name.partition(".")[0] for name in ledger.image()}
    assert names == {"names", "marks", *sparse, *whole, *(row.name for row in INDEXES)}


# ---- reading the contract --------------------------------------------------------------------------------------------


def comment_of(path: Path, declaration: str) -> str:
    """Return the comment before the line of a contract that has a declaration."""
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    (place,) = (place for place, line in enumerate(lines) if declaration in line)
    first = place
    while lines[first - 1].startswith("//"):
        first -= 1
    return " ".join(line.removeprefix("//").strip() for line in lines[first:place])
