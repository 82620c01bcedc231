"""The client package: deadlines, cancellation, closing, reads, arrays, the examples."""

import asyncio
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onhand.client as api
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, stopped, wait_until
from harness import Client as Harness
from harness import Stage, new_id
from onhand.client import (
    AsyncClient,
    Client,
    Coded,
    CommandColumns,
    MovementType,
    NewMovement,
    Operation,
    OutcomeUnknown,
    ReservationState,
    UnavailableReason,
    limits,
)
from onhand.inventory.v1 import bulk_service_pb2 as bulk

from client.harness import TTL, Pair, engine_at, run

TRANSPORTS = ("native", "grpcio")


@pytest.fixture(scope="module", params=TRANSPORTS)
def own_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedEngine]:
    """An engine that tests may stop and let go on."""
    with engine_at(tmp_path_factory.mktemp("own-engine"), request.param) as process:
        with Harness(process.address) as harness:
            harness.sku("A")
            harness.location("X")
            harness.receive("A", "X", 1_000_000)
        yield process


def test_a_deadline_that_passes_leaves_the_outcome_unknown(own_engine: ForkedEngine) -> None:
    with Harness(own_engine.address) as harness, Client(own_engine.address) as client:
        before = client.get_stock_level("A", "X").reserved
        with stopped(own_engine.process), pytest.raises(OutcomeUnknown, match=r"(?i)deadline") as unknown:
            client.reserve([("A", "X", 1)], ttl_seconds=TTL, deadline_seconds=0.5, request_id=(mine := new_id()))
        assert (unknown.value.request_id, unknown.value.code) == (mine, grpc.StatusCode.DEADLINE_EXCEEDED)
        again = client.reserve([("A", "X", 1)], ttl_seconds=TTL, request_id=unknown.value.request_id)
        assert client.reserve([("A", "X", 1)], ttl_seconds=TTL, request_id=mine) == again
        assert harness.level("A", "X").reserved == before + 1


def test_each_caller_has_its_own_deadline(own_engine: ForkedEngine) -> None:
    async def main() -> None:
        async with AsyncClient(own_engine.address, deadline_seconds=WAIT_SECONDS) as client:
            await client.status()
            with stopped(own_engine.process) as go_on:
                patient = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                hasty = client.reserve([("A", "X", 1)], ttl_seconds=TTL, deadline_seconds=0.5)
                with pytest.raises(OutcomeUnknown):
                    await hasty  # travels with the patient one
                others = []
                while not client._queue:  # all calls that may be on their way are
                    others.append(asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL)))
                    await asyncio.wait(others, timeout=0.01)
                with pytest.raises(api.NotSent, match="nothing was done"):
                    await client.reserve([("A", "X", 1)], ttl_seconds=TTL, deadline_seconds=0.1)
                assert not patient.done()
                go_on()
                for made in await asyncio.gather(patient, *others):
                    assert isinstance(made, api.Reserved)

    run(main)


def test_a_read_that_waits_too_long_has_no_answer(own_engine: ForkedEngine) -> None:
    with Client(own_engine.address) as client:
        client.status()
        with stopped(own_engine.process), pytest.raises(api.NoAnswer) as silent:
            client.get_stock_level("A", "X", deadline_seconds=0.5)
    assert (type(silent.value), silent.value.request_id) == (api.NoAnswer, "")


def test_a_cancelled_caller_waits_no_longer(own_engine: ForkedEngine) -> None:
    async def main() -> None:
        async with AsyncClient(own_engine.address, deadline_seconds=WAIT_SECONDS) as client:
            before = (await client.get_stock_level("A", "X")).reserved
            with stopped(own_engine.process) as go_on:
                sent = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                other = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                while not client._sending:
                    await asyncio.wait([sent], timeout=0.01)
                sent.cancel()
                unsent = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                unsent.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sent
                with pytest.raises(asyncio.CancelledError):
                    await unsent
                go_on()
                assert isinstance(await other, api.Reserved)
            assert (await client.get_stock_level("A", "X")).reserved == before + 2  # the sent one was done all the same

    run(main)


def test_closing_waits_for_what_was_begun(own_engine: ForkedEngine) -> None:
    async def main() -> list[Any]:
        client = AsyncClient(own_engine.address, deadline_seconds=WAIT_SECONDS)
        with stopped(own_engine.process) as go_on:
            begun = []
            while not client._queue:
                begun.append(asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL)))
                await asyncio.wait(begun, timeout=0.01)
            closing = asyncio.ensure_future(client.close())
            await asyncio.wait([closing], timeout=0.01)
            with pytest.raises(api.ClientClosed):
                await client.reserve([("A", "X", 1)], ttl_seconds=TTL)
            with pytest.raises(api.ClientClosed):
                await client.status()
            assert not closing.done()
            go_on()
            await closing
        return await asyncio.gather(*begun)

    assert {type(each) for each in run(main)} == {api.Reserved}


def test_closing_a_blocking_client_waits_for_what_was_begun(
    own_engine: ForkedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(own_engine.address, deadline_seconds=WAIT_SECONDS)
    added: list[None] = []
    add = client._queue.add
    monkeypatch.setattr(client._queue, "add", lambda ticket: added.append(add(ticket)))
    with ThreadPoolExecutor(8) as pool:
        with stopped(own_engine.process) as go_on:
            begun = [pool.submit(client.reserve, [("A", "X", 1)], ttl_seconds=TTL) for _ in range(8)]
            wait_until(lambda: len(added) == 8)
            closing = threading.Thread(target=client.close)
            closing.start()
            wait_until(lambda: client._is_closed)
            with pytest.raises(api.ClientClosed):
                client.sell([("A", "X", 1)])
            go_on()
        closing.join()
        assert {type(each.result()) for each in begun} == {api.Reserved}
    client.close()


def test_an_async_client_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncClient("127.0.0.1:1")


class Forwarder(grpc.GenericRpcHandler):
    """Hands every unary call on to an engine, as a proxy that ends TLS does."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def service(self, handler_call_details: Any) -> Any:
        call = self.channel.unary_unary(handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: call(request))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls(stage: Stage, tmp_path: Path) -> None:
    files = [tmp_path / "key.pem", tmp_path / "certificate.pem"]
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    key, certificate = (file.read_bytes() for file in files)
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Forwarder(stage.client.channel)])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    sku, place = stage.client.name("A"), stage.client.name("X")
    credentials = grpc.ssl_channel_credentials(certificate)

    async def main() -> Any:
        async with AsyncClient(f"localhost:{port}", credentials=credentials) as client:
            return await client.reserve([(sku, place, 1)], ttl_seconds=TTL)

    assert isinstance(run(main), api.Reserved)
    with Client(f"localhost:{port}", credentials=credentials) as client:
        assert client.get_stock_level(sku, place).reserved == 1
    server.stop(None).wait()


def test_reads_return_plain_values(pair: Pair, stage: Stage) -> None:
    client, name = pair.client, stage.client.name
    a, b, x, y = (name(each) for each in ("A", "B", "X", "Y"))
    client.set_stock_policy(a, x, safety_stock=10, backorder_limit=2)
    client.record_movements([NewMovement(MovementType.DAMAGE, a, x, 3)], reference="fork lift", actor="me")
    held = client.reserve([(a, x, 5), (b, y, 2)], ttl_seconds=TTL)
    level = client.get_stock_level(a, x)
    assert (level.on_hand, level.unavailable, level.reserved, level.available) == (100, 3, 5, 84)
    assert (level.unavailable_by_reason, level.safety_stock) == ({UnavailableReason.DAMAGED: 3}, 10)
    assert list(client.list_stock_levels(sku_id=a, location_id=x)) == [level]
    assert (level.suspect_time_us, list(client.list_stock_levels(sku_id=a, suspect_only=True))) == (None, [])
    (found,) = client.availability([a], location_ids=[x, y])
    assert (found.available, [(each.location_id, each.available) for each in found.locations]) == (
        184,
        [(x, 84), (y, 100)],
    )
    assert client.availability([a], location_group=name("G")) == (found,)
    (total,) = client.availability([a], location_group=name("G"), totals_only=True)
    assert (total.available, total.locations) == (184, ())
    reservation = client.get_reservation(held.reservation_id)
    assert reservation == api.Reservation(
        held.reservation_id,
        ReservationState.ACTIVE,
        (api.ReservationLine(a, x, 5, 5, 0), api.ReservationLine(b, y, 2, 2, 0)),
        1,
        reservation.create_time_us,
        held.expire_time_us,
        None,
    )
    assert list(client.list_reservations(sku_id=a, state=ReservationState.ACTIVE)) == [reservation]
    damage, hold = list(client.list_movements(sku_id=a, location_id=x))[-2:]
    assert (damage.type, damage.reference, damage.actor, damage.unavailable_reason) == (
        MovementType.DAMAGE,
        "fork lift",
        "me",
        UnavailableReason.DAMAGED,
    )
    assert (hold.type, hold.quantity, hold.reservation_id, hold.seq) == (
        MovementType.RESERVE,
        5,
        held.reservation_id,
        held.seq,
    )
    assert client.status().durability == "fsync"
    with pytest.raises(api.ReservationNotFound):
        client.get_reservation("no id")
    with pytest.raises(api.ValidationFailed) as wrong:
        client.availability([a], location_ids=[x, x])
    assert wrong.value.problems[0].field == "location_ids[1]"


def test_lists_go_over_all_pages(pair: Pair, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_SIZE", 3)
    sku, x = stage.client.name("A"), stage.client.name("X")
    made = {pair.client.reserve([(sku, x, 1)], ttl_seconds=TTL).reservation_id for _ in range(8)}
    assert {each.reservation_id for each in pair.client.list_reservations(sku_id=sku)} == made

    async def main() -> list[api.Movement]:
        async with AsyncClient(pair.harness.address) as client:
            return [each async for each in client.list_movements(sku_id=sku, location_id=x)]

    assert [each.type for each in run(main)] == [MovementType.RECEIVE, *[MovementType.RESERVE] * 8]


def both_ways(address: str, call: Callable[[Any], Any]) -> list[Any]:
    """The same call on a blocking and on an asyncio client."""
    with Client(address, deadline_seconds=WAIT_SECONDS) as client:
        blocking = call(client)

    async def main() -> Any:
        async with AsyncClient(address, deadline_seconds=WAIT_SECONDS) as made:
            return await call(made)

    return [blocking, run(main)]


def test_many_reservations_from_arrays(engine: ForkedEngine, stage: Stage) -> None:
    name = stage.client.name
    count = 20_000
    stage.client.receive("A", "X", 10_000_000)
    skus = np.array([name("A"), "none", name("B")])[np.arange(count) % 3]
    for outcomes in both_ways(
        engine.address,
        lambda client: client.reserve_many(skus, [name("X")], 1, ttl_seconds=TTL, return_available_left=True),
    ):
        assert outcomes.errors == []
        assert outcomes.ok.sum() >= count // 3
        a, none = outcomes.statuses[::3], outcomes.statuses[1::3]
        assert set(a.tolist()) == {bulk.COMMAND_STATUS_OK}
        assert set(none.tolist()) == {bulk.COMMAND_STATUS_SKU_NOT_FOUND}
        ids = outcomes.reservation_ids[outcomes.ok]
        assert len(set(ids.tolist())) == len(ids)
        assert len(set(outcomes.seqs[outcomes.ok].tolist())) == len(ids)
        assert (outcomes.available_left[::3] > 9_000_000).all()
        refusals = outcomes.refusals()
        assert len(refusals) == count - len(ids)
        assert isinstance(refusals[1], api.SkuNotFound)
        assert str(refusals[1]) == 'lines[0].sku_id: sku "none" does not exist; ids are case-sensitive.'
        with pytest.raises(api.SkuNotFound):
            outcomes.raise_first()
        short = [place for place in refusals if place % 3 == 2]
        assert short
        assert isinstance(refusals[short[0]], api.InsufficientStock)
        assert refusals[short[0]].shortages == (api.Shortage(name("B"), name("X"), 1, 0, 0),)
        stage.client.receive("B", "X", 100)
    assert stage.client.verify().ok


def test_arrays_repeat_with_the_same_ids(pair: Pair, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    coded = Coded([sku, "never used"], np.zeros(50, np.int64))
    ids = api.new_request_ids(50)
    first, second = (pair.client.reserve_many(coded, [place], 1, ttl_seconds=TTL, request_ids=ids) for _ in range(2))
    assert first.ok.all()
    assert (first.reservation_ids == second.reservation_ids).all()
    assert pair.client.reserve(
        [(sku, place, 1)], ttl_seconds=TTL, request_id=str(uuid.UUID(bytes=ids[7].tobytes()))
    ) == api.Reserved(f"{first.reservation_ids[7]:016x}", int(first.expire_times_us[7]), int(first.seqs[7]))
    assert stage.client.level("A", "X").reserved == 50


def test_any_mix_of_commands_from_arrays(pair: Pair, stage: Stage) -> None:
    a, b, x, y = (stage.client.name(each) for each in ("A", "B", "X", "Y"))
    held = [int(pair.client.reserve([(a, x, 2)], ttl_seconds=TTL).reservation_id, 16) for _ in range(3)]
    columns = CommandColumns(
        operations=[
            Operation.COMMIT,
            Operation.RESERVE,
            Operation.RELEASE,
            Operation.TRANSFER,
            Operation.RECORD_MOVEMENTS,
        ],
        line_counts=[0, 3, 0, 1, 2],
        skus=[a, b, a, a, a, b],
        locations=[x, x, x, x, x, x],
        quantities=[60, 1, 60, 1, 3, 200],
        reservation_ids=[held[0], 0, held[1], held[2], 0],
        ttl_us=5_000_000,
        references=["order", "cart", "cart", "cart", "till"],
        to_locations=Coded([y], np.array([-1, -1, -1, 0, -1, -1])),
        movement_types=[0, 0, 0, 0, MovementType.RECEIVE, MovementType.SALE],
    )
    outcomes = pair.client.execute(columns)
    assert outcomes.ok.tolist() == [True, False, True, True, True]
    assert outcomes.states.tolist() == [2, 0, 3, 1, 0]
    assert outcomes.applied_oversold.tolist() == [False, False, False, False, True]
    (refused,) = outcomes.refusals().values()
    assert isinstance(refused, api.InsufficientStock)
    assert refused.shortages == (api.Shortage(a, x, 120, 94, 0),)
    assert {each.reference for each in pair.client.list_movements(sku_id=b, location_id=x)} >= {"till"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantities": [1, 2]}, "quantities: expected 3 entries, or one for all, was 2 entries"),
        ({"skus": ["A", "", "A"]}, r"skus\[1\]: expected 1 to 64 bytes"),
        ({"skus": ["A", "A ", "A"]}, r'skus\[1\]: expected no blank at either end, was "A "'),
        ({"locations": ["X\u200b"]}, r'locations\[0\]: expected visible characters only, .* was "X\\u200b"'),
        ({"skus": Coded(["A"], np.array([0, 1, 0]))}, r"skus\[1\]: expected -1 to 0, an index, was 1"),
        ({"quantities": [1, 2**31, 1]}, r"quantities\[1\]: expected at most 2147483647"),
        ({"line_counts": [1, 1, 2]}, "skus: expected 4 entries, the sum of line_counts, was 3"),
        ({"request_ids": np.zeros((2, 16), np.uint8)}, r"request_ids: expected shape \(3, 16\)"),
        ({"references": ["é" * 33]}, r"references\[0\]: expected at most 64 bytes"),
    ],
)
def test_wrong_columns_are_named_and_nothing_is_sent(pair: Pair, change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "operations": [1, 1, 1],
        "skus": ["A", "A", "A"],
        "locations": ["X"],
        "quantities": [1, 1, 1],
        "ttl_us": 1000,
    }
    with pytest.raises(api.ValidationFailed, match=message):
        pair.client.execute(CommandColumns(**good | change))
    with pytest.raises(api.ValidationFailed, match=r"quantities\[1\]: expected 1 to"):
        pair.client.reserve_many(["A", "A"], ["X"], [1, 0], ttl_seconds=TTL)
    with pytest.raises(api.ValidationFailed, match="quantities: expected integers, was float64"):
        pair.client.reserve_many(["A"], ["X"], [1.5], ttl_seconds=TTL)
    assert len(pair.client.reserve_many([], ["X"], 1, ttl_seconds=TTL).ok) == 0


def test_calls_of_arrays_that_fail_leave_their_commands_unanswered(pair: Pair, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    ttl_us = np.full(20_000, 1000)
    ttl_us[9000] = 0  # the engine refuses the second call as a whole
    outcomes = pair.client.execute(
        CommandColumns(np.full(20_000, Operation.RESERVE), [sku] * 20_000, [place], 1, ttl_us=ttl_us)
    )
    assert (outcomes.statuses[8192:16384] == api.UNANSWERED).all()
    assert (outcomes.statuses[:8192] != api.UNANSWERED).all()
    ((first, last, error),) = outcomes.errors
    assert (first, last, type(error)) == (8192, 16384, api.ValidationFailed)
    assert "ttl_us[808]" in str(error)
    with Client("127.0.0.1:1", deadline_seconds=0.2) as nobody:
        outcomes = nobody.reserve_many([sku], [place], 1, ttl_seconds=TTL)
    with pytest.raises(OutcomeUnknown):
        outcomes.raise_first()
