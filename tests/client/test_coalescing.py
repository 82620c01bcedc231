"""The client package: coalescing, retries."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import onhand.client as api
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, free_port
from harness import Client as Harness
from harness import Stage, new_id
from onhand.client import AsyncClient, Client, OnHandError, OutcomeUnknown, RefusedError, limits
from onhand.client import commands as build
from onhand.client.batches import Queue, Ticket
from onhand.client.engines import Engines
from onhand.client.retries import Attempt, Pause, conversation
from onhand.client.wire import EXECUTE_PATH

from client.harness import TTL, engine_at, run


def counting(counts: list[str]) -> Any:
    class Counter(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            path = details.method
            counts.append(path.decode() if isinstance(path, bytes) else path)
            return await continuation(details, request)

    return Counter()


class BlockingCounter(grpc.UnaryUnaryClientInterceptor):
    def __init__(self) -> None:
        self.counts: list[str] = []

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.counts.append(details.method)
        return continuation(details, request)


def test_concurrent_reservations_never_oversell_and_travel_together(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    calls: list[str] = []

    async def main() -> list[Any]:
        async with AsyncClient(engine.address, interceptors=[counting(calls)]) as client:
            wanted = (client.reserve([(sku, place, 1)], ttl_seconds=TTL) for _ in range(500))
            return await asyncio.gather(*wanted, return_exceptions=True)

    outcomes = run(main)
    made = [each for each in outcomes if isinstance(each, api.Reserved)]
    assert len({each.reservation_id for each in made}) == len({each.seq for each in made}) == len(made) == 100
    refused = [each for each in outcomes if each not in made]
    assert {(type(each), each.shortages) for each in refused} == {
        (api.InsufficientStock, (api.Shortage(sku, place, 1, 0, 0),))
    }
    assert set(calls) == {EXECUTE_PATH}
    assert len(calls) == 1
    assert stage.client.level("A", "X").available == 0


def test_what_waits_while_calls_are_on_their_way_is_the_next(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    calls: list[str] = []

    async def worker(client: AsyncClient) -> None:
        for _ in range(20):
            held = await client.reserve([(sku, place, 1)], ttl_seconds=TTL)
            await client.commit(held.reservation_id)
            assert (await client.cancel(held.reservation_id)).seq > held.seq

    async def main() -> None:
        async with AsyncClient(engine.address, interceptors=[counting(calls)]) as client:
            await asyncio.gather(*(worker(client) for _ in range(100)))

    run(main)
    assert len(calls) < 100 * 20 * 3 / 10
    level = stage.client.level("A", "X")
    assert (level.on_hand, level.reserved, level.committed) == (100, 0, 0)


def test_awaited_writes_are_sequenced_in_their_order(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")

    async def main() -> list[int]:
        async with AsyncClient(engine.address) as client:
            noise = [asyncio.ensure_future(client.adjust([(sku, place, 1)])) for _ in range(200)]
            seqs = [(await client.sell([(sku, place, 1)])).seq for _ in range(20)]
            await asyncio.gather(*noise)
            return seqs

    seqs = run(main)
    assert seqs == sorted(set(seqs))


def test_blocking_client_is_shared_by_threads(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    counter = BlockingCounter()
    start = threading.Barrier(16)

    def shop(client: Client) -> list[Any]:
        outcomes: list[Any] = []
        start.wait()
        for _ in range(20):
            try:
                outcomes.append(client.reserve([(sku, place, 1)], ttl_seconds=TTL))
            except OnHandError as error:
                outcomes.append(error)
        return outcomes

    with Client(engine.address, interceptors=[counter]) as client, ThreadPoolExecutor(16) as pool:
        outcomes = [each for done in pool.map(lambda _: shop(client), range(16)) for each in done]
    made = [each for each in outcomes if isinstance(each, api.Reserved)]
    assert len({each.reservation_id for each in made}) == len(made) == 100
    assert {type(each) for each in outcomes} == {api.Reserved, api.InsufficientStock}
    assert set(counter.counts) == {EXECUTE_PATH}
    assert len(counter.counts) < 320


def spoiled(command: Any, sku: str, place: str) -> Any:
    """The command as no function of the package would let it pass: the engine refuses its whole call."""
    return type(command)(command.operation, ((sku, place, 0),), command.request_id, ttl_us=command.ttl_us)


def test_only_the_culprit_of_a_refused_call_fails(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")

    async def main() -> list[Any]:
        async with AsyncClient(engine.address) as client:
            good = [build.reserve([(sku, place, 1)], ttl_seconds=TTL) for _ in range(40)]
            wrong = spoiled(good[0], sku, place)
            again = spoiled(build.reserve([(sku, place, 1)], ttl_seconds=TTL), sku, place)
            everything = [*good, again]
            everything[17:17] = [wrong]  # with the request id of another: ALREADY_EXISTS, once that was run
            return await asyncio.gather(*(client._submit(each) for each in everything), return_exceptions=True)

    outcomes = run(main)
    assert {type(each) for place, each in enumerate(outcomes) if place not in (17, 41)} == {api.Reserved}
    assert isinstance(outcomes[17], (api.ValidationFailed, api.RequestIdReused))
    assert isinstance(outcomes[41], api.ValidationFailed)
    assert stage.client.level("A", "X").reserved == 40


def test_long_calls_are_sent_in_parts(engine: ForkedEngine, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALL_BYTES_MAX", 1500)
    sku, place = stage.client.name("A"), stage.client.name("X")
    calls: list[str] = []

    async def main() -> list[Any]:
        async with AsyncClient(engine.address, interceptors=[counting(calls)]) as client:
            wanted = (client.reserve([(sku, place, 1)], ttl_seconds=TTL, reference=f"{at:060}") for at in range(100))
            return await asyncio.gather(*wanted)

    assert len({each.reservation_id for each in run(main)}) == 100
    assert 8 <= len(calls) <= 32


def test_a_call_takes_no_more_than_the_engine_does() -> None:
    loop = asyncio.new_event_loop()
    queue = Queue()

    def add(line_count: int) -> Ticket:
        command = build.set_on_hand([(f"S{at}", "X", 1) for at in range(line_count)])
        made = Ticket(command, loop.create_future(), 10.0)
        queue.add(made)
        return made

    def sizes() -> list[int]:
        found = []
        while batch := queue.take():
            found.append(len(batch.tickets))
        return found

    for _ in range(9000):
        add(1)
    assert sizes() == [8192, 808]
    for _ in range(5):
        add(8000)
    assert sizes() == [4, 1]
    for made in [add(8000) for _ in range(6)][:5]:
        made.future.cancel()
    assert sizes() == [1]  # nobody waits for the others any more
    loop.close()


def test_a_command_whose_deadline_has_passed_is_never_sent() -> None:
    loop = asyncio.new_event_loop()
    queue = Queue()
    late, good = (Ticket(build.set_on_hand([("S", "X", 1)]), loop.create_future(), seconds) for seconds in (-0.5, 10.0))
    queue.add(late)
    queue.add(good)
    batch = queue.take()
    assert batch is not None
    assert list(batch.tickets) == [good]
    assert isinstance(late.future.exception(), api.NotSent)
    queue.add(Ticket(build.set_on_hand([("S", "X", 1)]), loop.create_future(), 0.0))
    assert queue.take() is None
    loop.close()


def test_too_many_waiting_commands_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_MAX", 2)

    async def main() -> list[Any]:
        client = AsyncClient("127.0.0.1:1", deadline_seconds=0.2)
        outcomes = await asyncio.gather(*(client.commit("000fffffffffffff") for _ in range(3)), return_exceptions=True)
        await client.close()
        return outcomes

    assert [type(each) for each in run(main)] == [OutcomeUnknown, OutcomeUnknown, api.Overloaded]


def unavailable(reason: str = "", retry_seconds: float = 0.0) -> OnHandError:
    if reason:
        return api.errors.refusal(reason, "try again", retry_seconds=retry_seconds)
    return api.NoAnswer("connection refused", grpc.StatusCode.UNAVAILABLE)


def test_a_conversation_repeats_the_same_request_until_it_has_an_answer() -> None:
    steps = conversation(b"request", Engines("here"), time.monotonic() + 60, None)
    pauses = []
    step = next(steps)
    for error in (
        unavailable(),
        unavailable("DRAINING"),
        unavailable("OVERLOADED", 0.7),
        unavailable("JOURNAL_UNAVAILABLE", 0.2),
        unavailable("NOT_PRIMARY"),
    ):
        assert isinstance(step, Attempt)
        assert (step.request, 0 < step.timeout_seconds <= 60) == (b"request", True)
        pauses.append(steps.throw(error))
        assert isinstance(pauses[-1], Pause)
        step = next(steps)
    assert pauses[0].seconds <= 0.025
    assert 0.7 <= pauses[2].seconds <= 0.8
    with pytest.raises(StopIteration) as end:
        steps.send(b"answer")
    assert end.value.value == b"answer"


@pytest.mark.parametrize("reason", ["INSUFFICIENT_STOCK", "VALIDATION_FAILED", "INTERNAL_ERROR", "LEDGER_CORRUPT"])
def test_a_conversation_ends_with_a_refusal(reason: str) -> None:
    steps = conversation(b"", Engines("here"), time.monotonic() + 60, None)
    next(steps)
    with pytest.raises(RefusedError) as refused:
        steps.throw(unavailable(reason))
    assert refused.value.reason == reason


def test_a_conversation_ends_with_its_deadline_and_its_retries() -> None:
    steps = conversation(b"", Engines("here"), time.monotonic() + 0.1, None)
    next(steps)
    with pytest.raises(api.Overloaded):
        steps.throw(unavailable("OVERLOADED", 5.0))
    steps = conversation(b"", Engines("here"), time.monotonic() + 60, 1)
    next(steps)
    steps.throw(unavailable())
    next(steps)
    with pytest.raises(api.NoAnswer, match="an earlier try got no answer"):  # it may have done what a refusal denies
        steps.throw(unavailable("DRAINING"))


@pytest.mark.parametrize("transport", ["native", pytest.param("grpcio", marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_loses_nothing_and_does_nothing_twice(tmp_path: Path, transport: str, how: str) -> None:
    made: list[api.Reserved] = []
    stopping = False

    async def worker(client: AsyncClient) -> None:
        while not stopping:
            made.append(await client.reserve([("A", "X", 1)], ttl_seconds=TTL))

    async def main(address: str, restart: Callable[[], None]) -> None:
        nonlocal stopping
        async with AsyncClient(address, deadline_seconds=WAIT_SECONDS) as client:
            workers = [asyncio.ensure_future(worker(client)) for _ in range(50)]
            while len(made) < 500:
                await asyncio.wait(workers, timeout=0.01)
            await asyncio.to_thread(restart)
            before = len(made)
            while len(made) < before + 500:
                await asyncio.wait(workers, timeout=0.01)
            stopping = True
            await asyncio.gather(*workers)

    with engine_at(tmp_path, transport, free_port()) as first:
        with Harness(first.address) as harness:
            harness.sku("A")
            harness.location("X")
            harness.receive("A", "X", 1_000_000)
        port = int(first.address.rpartition(":")[2])
        flags = ["--port", str(port), "--data-folder", str(tmp_path / "data"), "--transport", transport]
        second = ForkedEngine(flags, log_file=tmp_path / "engine.log")

        def restart() -> None:
            getattr(first, how)()
            second.start()

        try:
            run(lambda: main(first.address, restart))
            with Harness(first.address) as harness:
                assert len({each.reservation_id for each in made}) == len(made)
                assert harness.level("A", "X").reserved == len(made)
                assert harness.verify().ok
        finally:
            second.stop()


def test_an_engine_that_is_not_there() -> None:
    with Client("127.0.0.1:1", deadline_seconds=0.3) as client:
        with pytest.raises(OutcomeUnknown, match="same request_id") as unknown:
            client.commit("000fffffffffffff", request_id=(mine := new_id()))
        assert unknown.value.request_id == mine
        with pytest.raises(api.NoAnswer) as silent:
            client.availability(["A"])
        assert type(silent.value) is api.NoAnswer
        with pytest.raises(OutcomeUnknown) as unknown:
            client.set_stock_policy("A", "X", safety_stock=1, request_id=mine)
        assert unknown.value.request_id == mine
