"""Customers as Locust users, for whoever knows Locust's web page and reports.

    locust -f bench/locustfile.py --host 127.0.0.1:50051 --shape black_friday --users 200 --run-time 5m

Locust waits for each answer before a user goes on, and keeps whole milliseconds: for claims about latency use
`python -m bench load`. The customers, the stock and the check are the same in both. One process; docs/load-tests.md.
"""

import logging
import sys
import time
from typing import Any, ClassVar, Final

import grpc
import grpc.experimental.gevent
from locust import LoadTestShape, User, between, events, task
from locust.env import Environment

from bench.load.account import call_once
from bench.load.calls import CODE_NAMES, Call, Reply, Session, refusal
from bench.load.open_loop import DEADLINE_SECONDS, height_at, is_decided
from bench.load.shop import HOT_UNITS, SHAPES, Persona, ShopWorkload

grpc.experimental.gevent.init_gevent()  # before any channel: grpcio then waits as gevent does

ADDRESS: Final = "127.0.0.1:50051"
USERS: Final = 50
SECONDS: Final = 60
CONNECT_SECONDS: Final = 5.0
ERROR_RATE_MAX: Final = 0.001
P99_MS_MAX: Final = 250.0
EXIT_KEPT, EXIT_MISSED, EXIT_USAGE = 0, 1, 2
CANCELLED: Final = next(code for code, name in CODE_NAMES.items() if name == "CANCELLED")

log = logging.getLogger("onhand.load")


class Stand:
    """What the users of this process share: the channel, and the workload of the running test."""

    channel: ClassVar[grpc.Channel]
    workload: ClassVar[ShopWorkload]


class UndecidedError(Exception):
    """A call that the engine did not decide; Locust counts it as a failure under these words."""


# ---- personas --------------------------------------------------------------------------------------------------------


class Visitor(User):
    """Plays one session after the other."""

    abstract = True
    persona: Persona
    wait_time = between(0.5, 1.5)

    @task
    def visit(self) -> None:
        """Play one session to its end."""
        session = Stand.workload.visit(self.persona)
        call = next(session, None)
        while call is not None:
            time.sleep(call.pause_seconds)
            call = self._make(session, call)

    def _make(self, session: Session, call: Call) -> Call | None:
        """Make a call, tell Locust and the session; returns what the session wants next."""
        started = time.perf_counter()
        reply = refusal(CANCELLED)  # unless an answer comes before Locust ends this user
        following: Call | None
        try:
            reply = call_once(Stand.channel, call, DEADLINE_SECONDS)
            self._tell(call, reply, (time.perf_counter() - started) * 1_000)
        finally:
            try:
                following = session.send(reply)
            except StopIteration:
                following = None
        return following

    def _tell(self, call: Call, reply: Reply, milliseconds: float) -> None:
        outcome = reply.reason or "OK"
        self.environment.events.request.fire(
            request_type="grpc",
            name=call.method if reply.is_ok else f"{call.method}: {outcome}",
            response_time=milliseconds,
            response_length=len(reply.payload),
            exception=None if is_decided(outcome) else UndecidedError(outcome),
            context={},
        )


class Shopper(Visitor):
    """Looks at products."""

    persona = "shopper"


class StorefrontCheckout(Visitor):
    """Fills a cart, and mostly orders."""

    persona = "checkout"


class PosTerminal(Visitor):
    """Rings up baskets."""

    persona = "pos"


class ReturnsDesk(Visitor):
    """Takes units back."""

    persona = "returns"


PERSONAS: Final[dict[Persona, type[Visitor]]] = {
    user.persona: user for user in (Shopper, StorefrontCheckout, PosTerminal, ReturnsDesk)
}


class Profile(LoadTestShape):
    """Users over time: those of `--users`, by the profile of the shape."""

    use_common_options = True

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Return how many users there should be now; None ends the test."""
        assert self.runner is not None
        options: Any = self.runner.environment.parsed_options
        seconds = options.run_time or SECONDS
        elapsed = time.perf_counter() - self.start_time
        if elapsed >= seconds:
            return None
        shape = SHAPES[options.shape]
        users = max(1, round(options.num_users * height_at(shape.profile, elapsed / seconds)))
        return users, float(options.num_users), [PERSONAS[persona] for persona in shape.mix]


# ---- options, stock, verdict -----------------------------------------------------------------------------------------


def add_options(parser: Any) -> None:
    """Add ours to Locust's; each is also an environment variable."""
    group = parser.add_argument_group("OnHand")
    purposes = "; ".join(f"{shape.name}: {shape.purpose}" for shape in SHAPES.values())
    group.add_argument("--shape", choices=list(SHAPES), default="flash_sale", env_var="ONHAND_SHAPE", help=purposes)
    group.add_argument("--hot-units", type=int, default=HOT_UNITS, help="Units of each hot sku.")
    group.add_argument("--error-rate-max", type=float, default=ERROR_RATE_MAX, help="Largest part of failed calls.")
    group.add_argument("--p99-ms-max", type=float, default=P99_MS_MAX, help="Largest p99, milliseconds.")
    parser.set_defaults(host=ADDRESS, num_users=USERS, web_host="127.0.0.1")  # this machine, unless told otherwise


def prepare(environment: Environment, **_: Any) -> None:
    """Open the channel and weigh the personas."""
    options: Any = environment.parsed_options
    if options.master or options.worker:
        log.error("expected one process: the check must know every answer; for more load use python -m bench load")
        sys.exit(EXIT_USAGE)
    Stand.channel = grpc.insecure_channel(options.host)
    try:
        grpc.channel_ready_future(Stand.channel).result(CONNECT_SECONDS)
    except grpc.FutureTimeoutError:
        log.error("no engine at %s: expected --host as host:port of one that serves", options.host)  # noqa: TRY400
        sys.exit(EXIT_MISSED)
    for persona, share in SHAPES[options.shape].mix.items():
        PERSONAS[persona].weight = round(share * 100)


def set_up(environment: Environment, **_: Any) -> None:
    """Create the stock of this test."""
    options: Any = environment.parsed_options
    Stand.workload = ShopWorkload(SHAPES[options.shape], hot_units=options.hot_units)
    Stand.workload.setup(Stand.channel)


def judge(environment: Environment, **_: Any) -> None:
    """Check the engine and the thresholds; they set the exit code."""
    options: Any = environment.parsed_options
    total = environment.stats.total
    p99_ms = total.get_response_time_percentile(0.99) or 0
    try:
        missed = Stand.workload.check(Stand.channel)
    except grpc.RpcError as error:
        missed = [f"The engine could not be checked: {error}"]
    if total.fail_ratio > options.error_rate_max:
        missed.append(f"error rate: expected at most {options.error_rate_max:.2%}, was {total.fail_ratio:.2%}.")
    if p99_ms > options.p99_ms_max:
        missed.append(f"p99: expected at most {options.p99_ms_max:g} ms, was {p99_ms:g} ms.")
    for line in missed:
        log.error(line)
    log.info("workload: %s", ", ".join(f"{name} {count:,}" for name, count in Stand.workload.metrics().items()))
    log.info("thresholds: %s", "missed" if missed else "kept, nothing oversold, nothing lost")
    environment.process_exit_code = EXIT_MISSED if missed else EXIT_KEPT


def stop_first(environment: Environment, **_: Any) -> None:
    """End a test that still runs, so that it is judged before the exit code is chosen."""
    if environment.runner is not None:
        environment.runner.stop()


def listen(hooks: Any) -> None:
    """Tell Locust what happens when."""
    hooks.init_command_line_parser.add_listener(add_options)
    hooks.init.add_listener(prepare)
    hooks.test_start.add_listener(set_up)
    hooks.test_stop.add_listener(judge)
    hooks.quitting.add_listener(stop_first)


listen(events)
