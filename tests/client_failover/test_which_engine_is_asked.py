"""The client package and the engines of one shard: which engine is asked, and when."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import onhand.client as api
import pytest
from faults.processes import WAIT_SECONDS, free_port, wait_until
from harness import Client as Harness
from harness import Stage
from onhand.admin.v1.admin_service_pb2 import GetStatusResponse
from onhand.client import AsyncClient, Client, limits, retries
from onhand.client.engines import Engines
from onhand.client.retries import Attempt, Pause, conversation
from onhand.rules.reasons import REASONS

from client_failover.harness import TTL
from engine.errors import RefusedError

Does = Callable[[str, bytes, grpc.ServicerContext], bytes]


def silent(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> api.OnHandError:
    return api.NoAnswer("nobody there", code)


def not_primary(primary: str = "", retry_seconds: float = 0.0) -> api.OnHandError:
    return api.errors.refusal("NOT_PRIMARY", "ask another", metadata={"primary": primary}, retry_seconds=retry_seconds)


def refused(reason: str, retry_seconds: float = 0.0) -> api.OnHandError:
    return api.errors.refusal(reason, "not now", retry_seconds=retry_seconds)


def asked(engines: Engines, *errors: api.OnHandError) -> list[str]:
    """The engines that a call asks while these errors come one after the other; "…" where it pauses."""
    steps = conversation(b"request", engines, time.monotonic() + 600, None)
    told, step = [], next(steps)
    for error in errors:
        assert isinstance(step, Attempt)
        told.append(step.engine)
        step = steps.throw(error)
        assert isinstance(step, Pause)
        if step.seconds:
            told.append("…")
        step = next(steps)
    steps.close()
    return [*told, engines.current]


def test_each_engine_is_asked_once_in_a_round_at_once() -> None:
    engines = Engines(["a", "b", "c"])
    away = [silent(), not_primary(), silent(grpc.StatusCode.DEADLINE_EXCEEDED)]
    assert asked(engines, *away, *away) == ["a", "b", "c", "…", "a", "b", "c", "…", "a"]


def test_the_named_primary_is_asked_next() -> None:
    assert asked(Engines(["a", "b", "c"]), not_primary("c")) == ["a", "c"]
    assert asked(Engines("a"), not_primary("x"), not_primary("y")) == ["a", "x", "y"]
    # a standby still names the engine that has just died
    assert asked(Engines(["a", "b"]), silent(), not_primary("a"), silent()) == ["a", "b", "…", "a", "b"]
    # the named one cannot be reached from here under that name
    assert asked(Engines(["a", "b"]), not_primary("x"), silent(), not_primary("x")) == ["a", "x", "b", "…", "x"]
    assert asked(Engines("a"), not_primary("a"), not_primary()) == ["a", "…", "a", "…", "a"]


def test_an_engine_that_only_has_too_much_to_do_is_not_left() -> None:
    assert asked(Engines(["a", "b"]), refused("OVERLOADED", 0.1)) == ["a", "…", "a"]
    assert asked(Engines(["a", "b"]), refused("DRAINING")) == ["a", "b"]
    assert asked(Engines(["a", "b"]), refused("JOURNAL_UNAVAILABLE", 0.1)) == ["a", "b"]


def test_no_round_begins_before_the_engines_want_it() -> None:
    steps = conversation(b"", Engines(["a", "b"]), time.monotonic() + 60, None)
    next(steps)
    steps.throw(refused("JOURNAL_UNAVAILABLE", 0.7))
    next(steps)
    pause = steps.throw(not_primary("a", 0.1))
    assert isinstance(pause, Pause)
    assert 0.7 <= pause.seconds <= 0.725


def test_engines_that_always_name_another_do_not_make_a_call_spin() -> None:
    engines = Engines("a")
    told = asked(engines, *(not_primary(f"x{number}") for number in range(100)))
    assert len(engines) == 1 + limits.LEARNED_MAX
    assert told.count("…") >= 100 // len(engines)


def test_calls_that_fail_together_turn_once() -> None:
    engines = Engines(["a", "b"])
    calls = [conversation(b"", engines, time.monotonic() + 60, None) for _ in range(3)]
    for call in calls:
        next(call)
    for call in calls:
        assert call.throw(silent()) == Pause(0.0)
        step = next(call)
        assert isinstance(step, Attempt)
        assert step.engine == "b"


@pytest.mark.parametrize(("addresses", "seconds"), [(["a", "b"], 2.0), (["a"], 10.0)])
def test_an_attempt_has_its_own_limit_if_there_is_another_engine(addresses: list[str], seconds: float) -> None:
    step = next(conversation(b"", Engines(addresses), time.monotonic() + 10.0, None))
    assert isinstance(step, Attempt)
    assert step.timeout_seconds == pytest.approx(seconds, rel=0.1)


def test_a_refusal_of_a_standby_does_not_tell_what_became_of_an_earlier_try() -> None:
    steps = conversation(b"", Engines(["a", "b"]), time.monotonic() + 60, 1)
    next(steps)
    steps.throw(silent(grpc.StatusCode.DEADLINE_EXCEEDED))
    next(steps)
    with pytest.raises(api.NoAnswer, match="an earlier try got no answer") as told:
        steps.throw(not_primary())
    assert told.value.code is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("address", ["", [], ["a:1", ""]])
def test_no_address(address: Any) -> None:
    with pytest.raises(ValueError, match="address: expected one gRPC target or several"):
        Client(address)


# What people write, and what they mean.
MISTAKEN = {
    "http://shop": "shop:50051",
    "https://shop:443/": "shop:443",
    "grpc://shop:7/x?y": "shop:7",
    "redis://user:word@shop:7": "shop:7",
    "shop": "shop:50051",
    "shop:": "shop:50051",
    " shop:7": "shop:7",
    "shop:7/": "shop:7",
    "127.0.0.1": "127.0.0.1:50051",
    "::1": "[::1]:50051",
    "[::1]": "[::1]:50051",
    "fe80::1": "[fe80::1]:50051",
}


@pytest.mark.parametrize("address", MISTAKEN)
def test_an_address_that_grpc_would_misread_is_refused_with_what_to_write(address: str) -> None:
    for given in (address, ["127.0.0.1:1", address]):
        with pytest.raises(ValueError, match="address: expected HOST:PORT, was") as caught:
            Client(given)
        assert str(caught.value).endswith(f'was "{address}"; write "{MISTAKEN[address]}"')


@pytest.mark.parametrize("address", ["shop:0", "shop:65536", "shop:" + "9" * 5000, "sh op:7", "shop:٣", ":7", "a\n:7"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address: expected HOST:PORT, was"):
        Client(address)


@pytest.mark.parametrize("address", ["shop:7", "[::1]:7", "dns:///shop:7", "unix:/tmp/engine.sock", "ipv4:10.0.0.1:7"])
def test_an_address_that_grpc_can_dial_is_taken(address: str) -> None:
    Client(address).close()


class Fake(grpc.GenericRpcHandler):
    """An engine as far as gRPC goes, which does what the test says, and may change."""

    def __init__(self, does: Does, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> None:
        self.does = does
        self.calls: list[str] = []
        self.server = grpc.server(ThreadPoolExecutor(16), handlers=[self], options=[("grpc.so_reuseport", 0)])
        host = "localhost" if credentials else "127.0.0.1"
        place = f"{host}:{port}"
        self.port = (
            self.server.add_secure_port(place, credentials) if credentials else self.server.add_insecure_port(place)
        )
        self.address = f"{host}:{self.port}"
        self.server.start()

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        self.calls.append(path)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.does(path, request, context))

    def __enter__(self) -> "Fake":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(None).wait()


def forwards(channel: grpc.Channel) -> Does:
    """Be the primary: hand every call on to the real engine."""

    def does(path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return bytes(channel.unary_unary(path)(request, timeout=WAIT_SECONDS))
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            context.abort(error.code(), error.details())
            raise

    return does


def refuses(primary: str = "") -> Does:
    """Be a standby: refuse in the engine's words."""
    refusal = RefusedError("NOT_PRIMARY", "ask another", metadata={"primary": primary}, retry_seconds=0.001)

    def does(_: str, __: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", refusal.details()),))
        context.abort(REASONS[refusal.reason].code, refusal.message)
        raise AssertionError

    return does


def loses_the_answer(channel: grpc.Channel) -> Does:
    """Be a primary that dies after the call was carried out."""
    forward = forwards(channel)

    def does(path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        forward(path, request, context)
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        raise AssertionError

    return does


def hangs(_: str, __: bytes, context: grpc.ServicerContext) -> bytes:
    """Be a primary that stands still: say nothing until nobody waits any more."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()
    return b""


def tells(name: str) -> Does:
    """Answer GetStatus with a name in it."""
    return lambda *_: GetStatusResponse(version=name).SerializeToString()


class Blocking:
    """The asyncio client, one call at a time, so that a test reads the same for both clients."""

    def __init__(self, address: Any, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()

        async def make() -> AsyncClient:
            return AsyncClient(address, **options)

        self.client = self.loop.run_until_complete(make())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name.startswith("list_"):
            return lambda **options: self.loop.run_until_complete(self._all(method(**options)))

        async def call(*args: Any, **options: Any) -> Any:
            return await method(*args, **options)

        return lambda *args, **options: self.loop.run_until_complete(call(*args, **options))

    async def _all(self, entries: Any) -> list[Any]:
        return [each async for each in entries]

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(params=[Client, Blocking], ids=["blocking", "asyncio"])
def make(request: pytest.FixtureRequest) -> Any:
    """Both kinds of client."""
    return request.param


@pytest.fixture
def stage(client: Harness) -> Stage:
    return Stage(client)


@pytest.fixture
def two(stage: Stage) -> Iterator[tuple[Fake, Fake]]:
    """Two doors to the real engine: one that still has to be told what it does, and the primary."""
    with Fake(refuses()) as first, Fake(forwards(stage.client.channel)) as primary:
        yield first, primary


def every_kind_of_call(client: Any, sku: str, place: str) -> None:
    held = client.reserve([(sku, place, 1)], ttl_seconds=TTL)
    assert client.commit(held.reservation_id).state is api.ReservationState.COMMITTED
    client.set_stock_policy(sku, place, safety_stock=5)
    assert client.get_stock_level(sku, place).safety_stock == 5
    assert client.reserve_many([sku] * 3, [place], 1, ttl_seconds=TTL).ok.all()
    assert [each.sku_id for each in client.list_stock_levels(sku_id=sku, location_id=place)] == [sku]
    with pytest.raises(api.InsufficientStock):
        client.reserve([(sku, place, 1000)], ttl_seconds=TTL)


def test_the_primary_is_found_through_a_standby(two: tuple[Fake, Fake], stage: Stage, make: Any) -> None:
    standby, primary = two
    standby.does = refuses(primary.address)
    with make(standby.address, deadline_seconds=WAIT_SECONDS) as client:
        every_kind_of_call(client, stage.client.name("A"), stage.client.name("X"))
    assert len(standby.calls) == 1
    assert stage.client.verify().ok


def test_a_standby_that_knows_no_primary(two: tuple[Fake, Fake], stage: Stage, make: Any) -> None:
    standby, primary = two
    with make([standby.address, primary.address], deadline_seconds=WAIT_SECONDS, retries_max=1) as client:
        every_kind_of_call(client, stage.client.name("A"), stage.client.name("X"))
    assert len(standby.calls) == 1


def test_a_dead_engine_does_not_delay_the_first_call_to_a_living_one(make: Any) -> None:
    with Fake(tells("b")) as living:
        for dead in ("127.0.0.1:1", "name.invalid:1"):
            with make([dead, living.address], deadline_seconds=WAIT_SECONDS, retries_max=1) as client:
                assert client.status().version == "b"


@pytest.mark.parametrize("fault", [loses_the_answer, lambda _: hangs])
def test_a_write_without_an_answer_is_done_once(
    two: tuple[Fake, Fake],
    stage: Stage,
    make: Any,
    fault: Callable[[grpc.Channel], Does],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "ATTEMPT_SHARE", 0.005)
    first, primary = two
    sku, place = stage.client.name("A"), stage.client.name("X")
    with make([first.address, primary.address], deadline_seconds=WAIT_SECONDS) as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.reserve([(sku, place, 1)], ttl_seconds=TTL),
            lambda: client.reserve_many([sku] * 3, [place], 1, ttl_seconds=TTL).raise_first(),
            lambda: client.set_stock_policy(sku, place, safety_stock=5),
            lambda: client.get_stock_level(sku, place),
        ]
        for call in calls:
            first.does, primary.does = fault(stage.client.channel), forwards(stage.client.channel)
            before = len(first.calls)
            call()
            assert len(first.calls) > before
            first.does, primary.does = forwards(stage.client.channel), refuses(first.address)
            client.status()
    assert stage.client.level("A", "X").reserved == 4
    assert stage.client.verify().ok


def test_nobody_is_the_primary_until_the_deadline(make: Any) -> None:
    def ends_refused(call: Callable[[], Any]) -> bool:
        """False where the deadline passed in the middle of a try: what that would have said is not known."""
        try:
            call()
        except api.NotPrimary:
            return True
        except api.NoAnswer:
            return False
        raise AssertionError

    with Fake(refuses()) as a, Fake(refuses()) as b, make([a.address, b.address], deadline_seconds=0.3) as client:
        wait_until(lambda: ends_refused(lambda: client.reserve([("A", "X", 1)], ttl_seconds=TTL)))
        wait_until(lambda: ends_refused(client.status))
        assert a.calls
        assert b.calls


def test_an_engine_that_was_away_is_asked_without_delay(make: Any) -> None:
    with ExitStack() as stack:
        first, standby = Fake(tells("first"), free_port()), stack.enter_context(Fake(refuses()))
        client = stack.enter_context(
            make([first.address, standby.address], deadline_seconds=WAIT_SECONDS, retries_max=1)
        )
        assert client.status().version == "first"
        first.server.stop(None).wait()
        for _ in range(6):  # a channel that failed so often would not even try to connect for a while
            with pytest.raises(api.OnHandError):
                client.status()
        stack.enter_context(Fake(tells("again"), first.port))
        assert client.status().version == "again"


def test_a_list_goes_on_at_the_new_primary(
    two: tuple[Fake, Fake], stage: Stage, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_SIZE", 3)
    first, second = two
    sku, place = stage.client.name("A"), stage.client.name("X")
    forward = forwards(stage.client.channel)

    def one_page(path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        first.does = refuses(second.address)
        return forward(path, request, context)

    with make(first.address, deadline_seconds=WAIT_SECONDS) as client:
        first.does = forward
        made = {client.reserve([(sku, place, 1)], ttl_seconds=TTL).reservation_id for _ in range(8)}
        first.does = one_page
        assert {each.reservation_id for each in client.list_reservations(sku_id=sku)} == made
    assert len(second.calls) >= 2, "more where others have many reservations"


def test_calls_that_are_on_their_way_end_before_their_connection_does() -> None:
    may_answer = threading.Event()
    waits = threading.Event()

    def slow(*_: Any) -> bytes:
        waits.set()
        may_answer.wait()
        return GetStatusResponse(version="slow").SerializeToString()

    with (
        Fake(slow) as old,
        Fake(tells("new")) as new,
        Client([old.address, new.address], deadline_seconds=WAIT_SECONDS) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        begun = pool.submit(client.status)
        waits.wait()
        old.does = refuses(new.address)
        assert client.status().version == "new"
        assert set(client._connections._open) == {old.address, new.address}
        may_answer.set()
        assert begun.result().version == "slow"
        assert set(client._connections._open) == {new.address}


def test_a_call_that_waits_when_the_client_closes_is_told_so() -> None:
    with Fake(refuses()) as standby, ThreadPoolExecutor(1) as pool:
        client = Client(standby.address, deadline_seconds=WAIT_SECONDS)
        begun = pool.submit(client.status)
        while not standby.calls:
            assert not begun.done()
        client.close()
        with pytest.raises((api.ClientClosed, api.NoAnswer)):
            begun.result()


class Counter(grpc.UnaryUnaryClientInterceptor):
    """Counts calls of the blocking client."""

    def __init__(self) -> None:
        self.count = 0

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.count += 1
        return continuation(details, request)


class AsyncCounter(grpc.aio.UnaryUnaryClientInterceptor):
    """Counts calls of the asyncio client."""

    def __init__(self) -> None:
        self.count = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.count += 1
        return await continuation(details, request)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_credentials_and_interceptors_go_with_every_connection(tmp_path: Path, make: Any) -> None:
    files = [tmp_path / "key.pem", tmp_path / "certificate.pem"]
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*made.split(), "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    key, certificate = (file.read_bytes() for file in files)
    theirs, ours = grpc.ssl_server_credentials([(key, certificate)]), grpc.ssl_channel_credentials(certificate)
    counter = Counter() if make is Client else AsyncCounter()
    with Fake(tells("b"), credentials=theirs) as primary, Fake(refuses(primary.address), credentials=theirs) as standby:
        options: dict[str, Any] = {"credentials": ours, "interceptors": [counter], "deadline_seconds": WAIT_SECONDS}
        with make(standby.address, **options) as client:
            assert client.status().version == "b"
    assert counter.count == 2


def test_the_primary_changes_again_and_again_under_load(two: tuple[Fake, Fake], stage: Stage) -> None:
    a, b = two
    sku, place = stage.client.name("A"), stage.client.name("X")
    stage.client.receive("A", "X", 1_000_000)
    channel = stage.client.channel
    stopping = threading.Event()

    def shop(client: Client) -> list[api.Reserved]:
        made = []
        while not stopping.is_set():
            made.append(client.reserve([(sku, place, 1)], ttl_seconds=TTL))
            client.get_stock_level(sku, place)
        return made

    def change(primary: Fake, standby: Fake) -> None:
        standby.does = loses_the_answer(channel)
        before = len(standby.calls)
        wait_until(lambda: len(standby.calls) > before)
        primary.does, standby.does = forwards(channel), refuses(primary.address)
        before = len(primary.calls)
        wait_until(lambda: len(primary.calls) > before + 20)

    a.does, b.does = forwards(channel), refuses(a.address)
    with Client([a.address, b.address], deadline_seconds=WAIT_SECONDS) as client, ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(shop, client) for _ in range(8)]
        try:
            for _ in range(5):
                change(b, a)
                change(a, b)
        finally:
            stopping.set()
        made = [each for worker in workers for each in worker.result()]
        assert set(client._connections._open) <= {a.address, b.address}
    assert len({each.reservation_id for each in made}) == len(made)
    assert stage.client.level("A", "X").reserved == len(made)
    assert stage.client.verify().ok
