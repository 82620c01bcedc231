"""The ledger by example: request ids, and the end of a reservation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from ledger_cases import (
    HOUR_US,
    NOW_US,
    OF_DOCUMENTS,
    SECOND_US,
    TTL_US,
    Command,
    amend,
    cancel,
    change_catalog,
    commit,
    extend,
    fulfill,
    receive,
    record,
    release,
    remember,
    replace_hold,
    reserve,
    sale,
    set_on_hand,
    set_policy,
    transfer,
    uuid4,
    uuid7,
    write_off,
)

from ledger.core.ledger import Ledger
from ledger.core.records import FIELD_NAMES
from ledger.core.statuses import Operation, Status
from ledger_examples.harness import (
    EXPIRED,
    LINES,
    LOST,
    RETENTION_US,
    SHORT,
    SKU_1,
    SKU_2,
    SKU_3,
    UNKNOWN,
    WINDOW_US,
    A,
    B,
    C,
    in_state,
)


def test_the_catalog_decides_its_changes_and_the_ledger_remembers(bench):
    refused = change_catalog(status=Status.SKU_ALREADY_EXISTS, content=5)
    assert not bench.do(refused).is_written
    command = replace(refused, request_id=uuid4(1))
    first = bench.do(command)
    assert (first.status, first.is_written) == (Status.SKU_ALREADY_EXISTS, True)
    again = bench.do(change_catalog(status=Status.OK, outcome=9, content=5, request_id=uuid4(1)))
    assert (again.answer, again.is_stored) == (first.answer, True)
    assert bench.ok(change_catalog(outcome=7, request_id=uuid4(2))).time_us == 7
    assert bench.ok(change_catalog(outcome=8, request_id=uuid4(2))).time_us == 7


def test_what_was_decided_elsewhere_is_remembered_by_its_content_alone(bench):
    """Whether the catalog changed or nothing did was one operation once, and is remembered as such."""
    first = bench.do(change_catalog(status=Status.OK, outcome=3, content=5, request_id=uuid4(1)))
    again = bench.do(remember(status=Status.SKU_NOT_FOUND, outcome=4, content=5, request_id=uuid4(1)))
    assert (again.answer, again.is_stored) == (first.answer, True)
    told = bench.do(remember(status=Status.SKU_NOT_FOUND, outcome=4, content=6, request_id=uuid4(2)))
    assert (told.status, told.time_us, told.is_written) == (Status.SKU_NOT_FOUND, 4, True)
    assert bench.do(remember(content=6, request_id=uuid4(2))).answer == told.answer
    assert bench.ok(remember()).is_written, "a seq of its own"


# Every operation, once accepted and once refused, on a reservation of 4 units of SKU_1 at A.
REPEATS: dict[str, tuple[str, Callable[[int, int], Command]]] = {
    "RESERVE": ("ACTIVE", lambda _, key: reserve([(SKU_1, A, 1)], request_id=key)),
    "RESERVE short": ("ACTIVE", lambda _, key: reserve([(SKU_1, A, 1), (SKU_1, B, 99)], request_id=key)),
    "RESERVE partial": (
        "ACTIVE",
        lambda _, key: reserve([(SKU_1, A, 1), (SKU_1, B, 99)], allow_partial=True, request_id=key),
    ),
    "RESERVE unknown": ("ACTIVE", lambda _, key: reserve([(SKU_1, A, 1), (-9, B, 99)], request_id=key)),
    "COMMIT": ("ACTIVE", lambda at, key: commit(at, request_id=key)),
    "COMMIT again": ("COMMITTED", lambda at, key: commit(at, request_id=key)),
    "COMMIT expired": ("EXPIRED", lambda at, key: commit(at, request_id=key)),
    "RELEASE": ("ACTIVE", lambda at, key: release(at, LINES, request_id=key)),
    "RELEASE released": ("RELEASED", lambda at, key: release(at, LINES, request_id=key)),
    "EXTEND": ("ACTIVE", lambda at, key: extend(at, request_id=key)),
    "EXTEND unknown": (UNKNOWN, lambda at, key: extend(at, request_id=key)),
    "REPLACE": ("ACTIVE", lambda at, key: replace_hold(at, [(SKU_1, B, 1)], request_id=key)),
    "REPLACE short": ("ACTIVE", lambda at, key: replace_hold(at, [(SKU_1, B, 99)], request_id=key)),
    "REPLACE mismatch": ("ACTIVE", lambda at, key: replace_hold(at, LINES, expected_version=9, request_id=key)),
    "AMEND": ("ACTIVE", lambda at, key: amend(at, [(SKU_1, B, 1)], request_id=key)),
    "AMEND mismatch": ("ACTIVE", lambda at, key: amend(at, LINES, expected_version=9, request_id=key)),
    "TRANSFER": ("ACTIVE", lambda at, key: transfer(at, A, B, request_id=key)),
    "TRANSFER nothing": ("ACTIVE", lambda at, key: transfer(at, C, B, request_id=key)),
    "TRANSFER short": ("ACTIVE", lambda at, key: transfer(at, A, B, [(SKU_1, 5)], request_id=key)),
    "FULFILL": ("COMMITTED", lambda at, key: fulfill(at, LINES, request_id=key)),
    "FULFILL active": ("ACTIVE", lambda at, key: fulfill(at, LINES, request_id=key)),
    "CANCEL": ("COMMITTED", lambda at, key: cancel(at, LINES, request_id=key)),
    "CANCEL exceeds": ("COMMITTED", lambda at, key: cancel(at, [(SKU_1, A, 9)], request_id=key)),
    "RECORD_MOVEMENTS": ("ACTIVE", lambda _, key: record(receive(SKU_1, C, 1), request_id=key)),
    "RECORD_MOVEMENTS oversold": ("ACTIVE", lambda _, key: record(sale(SKU_1, B, 90), request_id=key)),
    "RECORD_MOVEMENTS short": ("ACTIVE", lambda _, key: record(write_off(SKU_1, A, 1), request_id=key)),
    "SET_ON_HAND": ("ACTIVE", lambda _, key: set_on_hand([(SKU_1, A, 1)], request_id=key)),
    "SET_ON_HAND equal": ("ACTIVE", lambda _, key: set_on_hand([(SKU_1, A, 10)], request_id=key)),
    "SET_POLICY": ("ACTIVE", lambda _, key: set_policy(SKU_1, C, safety_stock=1, request_id=key)),
    "SET_POLICY unknown": ("ACTIVE", lambda _, key: set_policy(SKU_1, -2, safety_stock=1, request_id=key)),
    "CHANGE_CATALOG": ("ACTIVE", lambda _, key: change_catalog(content=1, request_id=key)),
    "REMEMBER": ("ACTIVE", lambda _, key: remember(status=Status.SKU_NOT_FOUND, content=1, request_id=key)),
}


def test_the_repeats_are_all_there():
    others = {Operation.EXPIRE, *OF_DOCUMENTS}  # which nobody asks for; which have tests of their own
    assert {Operation[name.split()[0]] for name in REPEATS} == set(Operation) - others


@pytest.mark.parametrize("name", REPEATS)
def test_a_repeat_gets_the_stored_answer(bench, name):
    state, make = REPEATS[name]
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    at = in_state(bench, state)
    command = make(at, uuid4(7))
    seq = bench.ledger.seq
    first, within = bench.run(command, command)
    assert (first.is_written, first.is_stored, first.seq) == (True, False, seq + 1)
    assert (within.is_written, within.is_stored, within.seq) == (False, True, seq + 1)
    assert within.answer == first.answer
    reads = [bench.level(SKU_1, where) for where in (A, B)]
    later = bench.do(command, after_us=SECOND_US)
    assert (later.is_written, later.is_stored) == (False, True)
    assert later.answer == first.answer
    assert bench.ledger.seq == seq + 1
    assert [bench.level(SKU_1, where) for where in (A, B)] == reads


def test_a_repeated_whole_transfer_names_the_same_skus(bench):
    bench.stock((SKU_1, A, 10), (SKU_2, A, 10), (SKU_1, B, 1), (SKU_2, B, 1))
    hold = bench.hold((SKU_1, A, 1), (SKU_2, A, 5))
    command = transfer(hold, A, B, request_id=uuid4(1))
    first = bench.do(command)
    assert first.details == ((1, (SKU_2, B), 1),)
    assert bench.do(command).answer == first.answer


BASE_LINES = [(SKU_1, A, 2), (SKU_2, A, 3)]


@pytest.mark.parametrize(
    ("first", "other", "field"),
    [
        (reserve(BASE_LINES), reserve(BASE_LINES, allow_partial=True), "method"),
        (commit(5), release(5), "method"),
        (fulfill(5, BASE_LINES), cancel(5, BASE_LINES), "method"),
        (set_policy(SKU_1, A, safety_stock=0), set_policy(SKU_1, A, backorder_limit=0), "method"),
        (commit(5), commit(6), "reservation_id"),
        (amend(5, BASE_LINES), amend(5, BASE_LINES, expected_version=3), "expected_version"),
        (amend(5, BASE_LINES, expected_version=2), amend(5, BASE_LINES, expected_version=3), "expected_version"),
        (transfer(5, A, B, expected_version=2), transfer(5, A, B), "expected_version"),
        (amend(5, BASE_LINES), amend(5, BASE_LINES[:1], expected_version=3), "expected_version"),
        (amend(5, BASE_LINES), amend(6, BASE_LINES, expected_version=3), "reservation_id"),
        (amend(5, BASE_LINES, expected_version=6), amend(6, BASE_LINES, expected_version=5), "reservation_id"),
        (reserve(BASE_LINES), reserve(BASE_LINES[:1]), "lines"),
        (reserve(BASE_LINES), reserve(BASE_LINES[::-1]), "lines"),
        (reserve(BASE_LINES), reserve([(SKU_1, A, 2), (SKU_3, A, 3)]), "lines"),
        (reserve(BASE_LINES), reserve([(SKU_1, A, 2), (SKU_2, B, 3)]), "lines"),
        (reserve([(-2, A, 1)]), reserve([(-3, A, 1)]), "lines"),
        (transfer(5, A, B), transfer(5, A, C), "lines"),
        (record(receive(SKU_1, A, 1)), record(sale(SKU_1, A, 1)), "lines"),
        (record(write_off(SKU_1, A, 1, 1)), record(write_off(SKU_1, A, 1, 2)), "lines"),
        (commit(5), commit(5, BASE_LINES), "lines"),
        (reserve(BASE_LINES), reserve([(SKU_1, A, 2), (SKU_2, A, 4)]), "quantity"),
        (set_policy(SKU_1, A, backorder_limit=1), set_policy(SKU_1, A, backorder_limit=2), "quantity"),
        (reserve(BASE_LINES), reserve(BASE_LINES, ttl_us=TTL_US + 1), "ttl"),
        (reserve(BASE_LINES), reserve(BASE_LINES, content=1), "content"),
        (change_catalog(content=1), change_catalog(content=2), "content"),
        (remember(content=1), remember(content=2), "content"),
        (commit(5), release(6), "method"),
        (commit(5), commit(6, BASE_LINES), "reservation_id"),
        (reserve(BASE_LINES), reserve([(SKU_1, B, 9)], ttl_us=1), "lines"),
    ],
)
def test_a_repeat_with_other_content_is_refused(bench, first, other, field):
    bench.stock((SKU_1, A, 10), (SKU_2, A, 10))
    first, other = (replace(command, request_id=uuid4(7)) for command in (first, other))
    assert bench.do(first).is_written
    for refused in bench.run(other, other, after_us=SECOND_US):
        assert (refused.status, refused.is_written, refused.is_stored) == (Status.REQUEST_ID_REUSED, False, False)
        assert refused.seq == bench.ledger.seq == 2
        told = FIELD_NAMES[refused.field]
        assert told == field or (told == "content" and isinstance(bench.ledger, Ledger)), (
            "a hash may not tell them apart"
        )
    assert bench.do(first).is_stored


@pytest.mark.parametrize("request_id", [0, 1, 1 << 64, 2**128 - 1, uuid4(1), uuid7(NOW_US, 1)])
def test_every_request_id_counts(bench, request_id):
    bench.stock((SKU_1, A, 10))
    first, again = bench.run(*[reserve([(SKU_1, A, 1)], request_id=request_id)] * 2)
    assert (first.status, first.is_stored, again.is_stored) == (Status.OK, False, True)
    others = [request_id ^ 1, request_id ^ 1 << 64]
    assert not any(result.is_stored for result in bench.run(*(reserve(LINES, request_id=each) for each in others)))


def test_a_refusal_stays_refused(bench):
    bench.stock((SKU_1, A, 1))
    command = reserve([(SKU_1, A, 2)], request_id=uuid4(1))
    first = bench.do(command)
    assert (first.status, first.is_written, first.seq) == (SHORT, True, 2)
    bench.stock((SKU_1, A, 1))
    again = bench.do(command)
    assert (again.answer, again.is_stored) == (first.answer, True)


def test_a_commit_repeated_over_time_answers_as_then(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    first = bench.ok(commit(hold, request_id=uuid4(1)))
    bench.ok(fulfill(hold))
    assert bench.ok(commit(hold, request_id=uuid4(1))).answer == first.answer


def test_remembered_within_the_window(bench):
    bench.stock((SKU_1, A, 5))
    command = reserve([(SKU_1, A, 2)], request_id=uuid4(1))
    bench.ok(command)
    assert bench.do(command, after_us=WINDOW_US).is_stored


def test_a_stored_answer_does_not_renew_the_window(bench):
    bench.stock((SKU_1, A, 500))
    command = reserve([(SKU_1, A, 2)], request_id=uuid4(1), ttl_us=SECOND_US)
    bench.ok(command)
    bench.ok(command, after_us=WINDOW_US)
    bench.live(minutes=150)
    result = bench.ok(command)
    assert (result.is_stored, result.is_written) == (False, True)


def test_forgotten_in_the_end(bench):
    bench.stock((SKU_1, A, 1000))
    commands = [reserve([(SKU_1, A, 1)], request_id=uuid4(key + 1), ttl_us=SECOND_US) for key in range(1000)]
    bench.run(*commands)
    bench.wait(2 * WINDOW_US)
    bench.live(minutes=200)
    results = bench.run(*commands, after_us=SECOND_US)
    assert {result.status for result in results} == {Status.OK}
    assert not any(result.is_stored for result in results)


@pytest.mark.parametrize(
    ("made_us", "status"),
    [
        (NOW_US - WINDOW_US, Status.OK),
        (NOW_US - WINDOW_US - 1, Status.REQUEST_ID_TOO_OLD),
        (NOW_US - WINDOW_US - 1000, Status.REQUEST_ID_TOO_OLD),
        (0, Status.REQUEST_ID_TOO_OLD),
        (NOW_US + HOUR_US, Status.OK),
    ],
)
def test_a_uuid7_older_than_the_window(bench, made_us, status):
    bench.stock((SKU_1, A, 5))
    command = reserve([(SKU_1, A, 1)], request_id=uuid7(made_us, 1))
    result = bench.do(command)
    assert (result.status, result.is_written) == (status, status == Status.OK)
    assert bench.do(command).is_stored is (status == Status.OK), "a refusal as too old is not remembered"


def test_too_old_counts_whole_milliseconds(bench):
    bench.stock((SKU_1, A, 5))
    bench.wait(999)
    made = uuid7(NOW_US - WINDOW_US, 1)
    bench.ok(reserve([(SKU_1, A, 1)], request_id=made))
    result = bench.do(reserve([(SKU_1, A, 1)], request_id=made + 1), after_us=1)
    assert result.status == Status.REQUEST_ID_TOO_OLD


def test_a_known_id_is_never_too_old_within_the_window(bench):
    bench.stock((SKU_1, A, 5))
    command = reserve([(SKU_1, A, 1)], request_id=uuid7(NOW_US - WINDOW_US // 2, 1))
    bench.ok(command)
    assert bench.do(command, after_us=WINDOW_US - SECOND_US).is_stored


@pytest.mark.parametrize("version", [v for v in range(16) if v != 7])
def test_other_uuids_have_no_age(bench, version):
    bench.stock((SKU_1, A, 5))
    old = uuid7(0, 1) & ~(0xF << 76) | version << 76
    bench.ok(reserve([(SKU_1, A, 1)], request_id=old))


@pytest.mark.parametrize("state", ["RELEASED", "EXPIRED", "FULFILLED", "CANCELLED", "ACTIVE", "COMMITTED"])
def test_readable_for_a_while_then_unknown(bench, state):
    bench.stock((SKU_1, A, 10))
    reservation_id = in_state(bench, state)
    if state in ("ACTIVE", "COMMITTED"):
        bench.ok(amend(reservation_id, [(SKU_1, A, 0)]))
        assert bench.lines(reservation_id) == []
    ended_us = bench.reservation(reservation_id).time_us
    view = bench.reservation(reservation_id)
    bench.wait(ended_us + RETENTION_US - bench.time_us)
    assert bench.reservation(reservation_id) == view
    bench.live(minutes=50)
    assert bench.ledger.reservation(reservation_id) is None
    assert bench.do(commit(reservation_id)).status == LOST
    assert bench.do(amend(reservation_id, LINES)).status == LOST


def test_what_is_open_is_never_recycled(bench):
    bench.stock((SKU_1, A, 10))
    order, partly = bench.order((SKU_1, A, 4)), bench.order((SKU_1, A, 2))
    bench.ok(fulfill(partly, [(SKU_1, A, 1)]))
    bench.wait(2 * RETENTION_US)
    bench.live(minutes=50)
    assert bench.lines(order) == [(SKU_1, A, 4, 4, 0)]
    assert bench.lines(partly) == [(SKU_1, A, 2, 1, 1)]
    bench.ok(fulfill(partly))
    bench.wait(RETENTION_US)
    assert bench.lines(partly) == [(SKU_1, A, 2, 0, 2)], "it has ended"
    bench.live(minutes=50)
    assert bench.ledger.reservation(partly) is None


def test_ids_are_not_used_again(bench):
    bench.stock((SKU_1, A, 10))
    seen: set[int] = set()
    for _ in range(20):
        made = [result.reservation_id for result in bench.run(*[reserve([(SKU_1, A, 1)], ttl_us=1)] * 10)]
        assert not seen & set(made)
        seen |= set(made)
        bench.wait(2 * RETENTION_US)
        bench.live(minutes=2)
    for each in seen:
        assert bench.do(release(each)).status in (LOST, EXPIRED)
