"""ReserveStock, one call for each reservation, at its peak."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from bench.h2load import DESCRIPTION, run_h2load
from bench.peers.echo import ECHO_PATH, EchoServer
from bench.peers.postgresql import PostgresqlPeer
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import RESERVE_PATH, Shop, reserve_request
from bench.tools import ToolMissingError

CONDITIONS = f"{DESCRIPTION}; one sku; no request id"
ECHO_NAME = "grpc.aio echo"
ECHO = Question("unary", "reservations/s", CONDITIONS, ECHO_NAME, Target("ratio", "≥", 5))
NATIVE = Question("unary.noop", "reservations/s", f"{CONDITIONS}; the engine's transport alone", "native no-op")
GRPCIO = Question("unary.grpcio", "reservations/s", f"{CONDITIONS}; transport grpcio", ECHO_NAME)
POSTGRESQL = Question("unary.postgresql", "reservations/s", CONDITIONS, "PostgreSQL, zipf")
QUESTIONS = (ECHO, NATIVE, GRPCIO, POSTGRESQL)


class Sizes(NamedTuple):
    """Calls of one measurement: a few seconds each."""

    ours: int
    echo: int
    grpcio: int
    postgresql: int


FULL = Sizes(ours=80_000, echo=20_000, grpcio=10_000, postgresql=16_000)
QUICK = Sizes(ours=400, echo=400, grpcio=400, postgresql=400)


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    sizes = QUICK if run.is_quick else FULL
    with contextlib.ExitStack() as stack:
        shop = stack.enter_context(Shop(skus=1, locations=1))
        grpcio = stack.enter_context(Shop(skus=1, locations=1, transport="grpcio"))
        echo, noop = (stack.enter_context(EchoServer(name)) for name in ("grpc.aio", "native"))
        sides = [
            partial(reserve, shop, sizes.ours),
            partial(call_echo, echo, sizes.echo),
            partial(call_echo, noop, sizes.ours),
            partial(reserve, grpcio, sizes.grpcio),
        ]
        try:
            peer = stack.enter_context(PostgresqlPeer())
        except ToolMissingError as error:
            yield run.unmeasured(POSTGRESQL, missing=str(error))
        else:
            sides.append(partial(peer.reserve, sizes.postgresql, is_hot=False))
        ours, echoed, empty, slow, *rest = run.in_turn(*sides)
    yield run.row(ECHO, ours, echoed)
    yield run.row(NATIVE, ours, empty)
    yield run.row(GRPCIO, slow, echoed)
    for relational in rest:
        yield run.row(POSTGRESQL, ours, relational)


def reserve(shop: Shop, count: int) -> Sample:
    """Measure reservations a second on the first sku."""
    load = run_h2load(shop.address, RESERVE_PATH, [reserve_request(0, 0)], count)
    return Sample(load.requests_per_second, [*load.wrong, *shop.check(count)])


def call_echo(echo: EchoServer, count: int) -> Sample:
    """Measure calls a second that are answered with what they bring."""
    before = echo.call_count()
    load = run_h2load(echo.address, ECHO_PATH, [reserve_request(0, 0)], count)
    echoed = echo.call_count() - before
    wrong = [] if echoed == count else [f"echo: expected {count} calls, was {echoed}"]
    return Sample(load.requests_per_second, [*load.wrong, *wrong])
