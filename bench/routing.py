"""Routing: is the kernel right, how long does one decision take, what does it save; and planning through gRPC.

Every decision of a stream is timed alone, over different orders on stock that they use up. Plans of the beginning of
each stream are made again, verified, and must cost what the timed decisions cost.
"""

from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

import numpy as np

from bench import routing_calls
from bench.routing_instances import NOW, Instance, make_instance
from bench.routing_small import random_case
from bench.routing_timing import Timings, run_stream, stream_of
from bench.rows import Question, Row, Run, Sample, Target
from routing.arrays import OrderArrays, Stock, scratch
from routing.errors import RoutingInputError
from routing.limits import MICROS
from routing.order import Request, is_split_forbidden, to_arrays
from routing.plan import Plan
from routing.strategies import Router, Strategy
from routing.truth import brute_force
from routing.verifier import verify

SKUS: Final = 1_000
STOCK_TO_DEMAND: Final = 1.4
NANOSECONDS_PER_MICROSECOND: Final = 1_000
STREAM: Final = (
    f"one core; every decision timed alone; different orders of 2.2 lines, at most 3 shipments, {SKUS} skus of which "
    "a location stocks three quarters, 1.4 units of stock for each unit wanted, used up by the orders; affine rates of "
    "7 zones; the kernel alone, from columns to decision, called from compiled code"
)
TRUTH: Final = Question(
    "routing.truth",
    "orders",
    "orders of up to 5 locations and 3 lines whose plan equals the cheapest of all assignments, in cost and in which "
    "locations; every plan verified; one that differs makes the row wrong",
    target=Target("value", "≥", 10_000),
    durability="none",
)
LOCATION_COUNTS: Final = {40: 5.0, 100: 20.0, 500: 100.0}
"""Locations -> microseconds that half of the decisions may take."""
DECISIONS: Final = {
    locations: Question(
        f"routing.decide_{locations}",
        "µs p50",
        f"{locations} locations; {STREAM}",
        target=Target("value", "≤", limit),
        durability="none",
    )
    for locations, limit in LOCATION_COUNTS.items()
}
COST: Final = Question(
    "routing.cost",
    "USD an order",
    f"100 locations, the same orders, each side on its own copy of the stock; unfilled units at 40 USD; {STREAM}",
    reference="nearest first",
    target=Target("ratio", "≤", 0.85),
    durability="none",
)
SHIPMENTS: Final = Question(
    "routing.shipments", "an order", COST.conditions, reference="nearest first", durability="none"
)
QUESTIONS: Final = (TRUTH, *DECISIONS.values(), COST, SHIPMENTS, *routing_calls.QUESTIONS)
COMPARED_LOCATIONS: Final = 100


class Sizes(NamedTuple):
    """How much is measured."""

    small_orders: int
    orders: int
    verified: int


FULL: Final = Sizes(small_orders=10_000, orders=5_000, verified=300)
QUICK: Final = Sizes(small_orders=40, orders=60, verified=20)


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    sizes = QUICK if run.is_quick else FULL
    run.report("comparing with the truth")
    yield run.row(TRUTH, [_compare_with_truth(sizes.small_orders)])
    for locations, question in DECISIONS.items():
        instance = make_instance(locations, SKUS, sizes.orders, STOCK_TO_DEMAND, seed=locations)
        prepared = Prepared(instance)
        wrong = prepared.check(sizes.verified)
        (samples,) = run.in_turn(lambda prepared=prepared, wrong=wrong: _median(prepared, wrong))  # type: ignore[misc]
        yield run.row(question, samples)
        if locations == COMPARED_LOCATIONS:
            yield from _compare_with_nearest(run, prepared, wrong)
    yield from routing_calls.measure(run)


# ---- the truth -------------------------------------------------------------------------------------------------------


def _compare_with_truth(count: int) -> Sample:
    """Return how many small orders were compared; a seed whose plan differs is told."""
    compared, seed, wrong = 0, 0, []
    while compared < count:
        seed += 1
        found = compare(seed)
        compared += found is not None
        if found:
            wrong.append(f"seed {seed}: {found}")
    return Sample(compared, wrong)


def compare(seed: int) -> str | None:
    """Return how the plan of a small order differs from the truth, empty: not at all; None: it cannot be compared.

    Not compared are orders that are refused, or ship complete, or whose plan needed a second pass.
    """
    case = random_case(Random(seed))  # noqa: S311 - repeatable on purpose
    router = Router(case.network, case.profile)
    try:
        plan = router.plan(case.request)
    except RoutingInputError:
        return None
    problems = verify(plan, case.network, case.profile, case.request)
    if problems:
        return "; ".join(problems)
    if not plan.is_proved or case.request.order.ship_complete or case.profile.rules.ship_complete:
        return None
    model = case.model()
    shipments_max = 1 if is_split_forbidden(case.request.order, case.profile) else case.profile.rules.max_shipments
    truth = brute_force(model, shipments_max)
    shipments = tuple(
        sorted(
            (model.part_of_line[shipment.lines[0].line], case.network.location_index[shipment.location_id])
            for shipment in plan.shipments
        )
    )
    if (truth.cost, truth.shipments) == (plan.cost, shipments):
        return ""
    return f"expected cost {truth.cost} by {truth.shipments}, was {plan.cost} by {shipments}"


# ---- streams ---------------------------------------------------------------------------------------------------------


class Prepared:
    """An instance as arrays, ready to be run again and again."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.router = Router(instance.network, instance.profile)
        self.problem = self.router.problem_at(NOW)
        self.orders: list[OrderArrays] = [
            to_arrays(order, instance.network, instance.profile, rows, {})
            for order, rows in zip(instance.orders, instance.rows, strict=True)
        ]
        self.stream = stream_of(self.orders)
        lines_max = max(len(order.row) for order in self.orders)
        self.scratch = scratch(lines_max, 1, len(instance.network.locations))
        self.run(Strategy.OPTIMAL)  # compiles

    def run(self, strategy: Strategy) -> Timings:
        """Decide the whole stream on a copy of the stock."""
        return run_stream(self.problem, self._stock(), self.stream, int(strategy), self.scratch)

    def _stock(self) -> Stock:
        return self.instance.stock._replace(available=self.instance.stock.available.copy())

    def check(self, count: int) -> list[str]:
        """Plan the first orders again and say what is wrong: plans that are not what they claim, or cost otherwise."""
        instance, stock = self.instance, self._stock()
        timed, wrong = self.run(Strategy.OPTIMAL), []
        for index, order in enumerate(instance.orders[:count]):
            rows = instance.rows[index]
            request = Request(order, stock, rows, NOW)
            plan = self.router.plan(request)
            found = verify(plan, instance.network, instance.profile, request)
            wrong += [f"order {index}: {text}" for text in found]
            if plan.cost != timed.cost[index]:
                wrong.append(f"order {index}: expected the timed cost {timed.cost[index]}, was {plan.cost}")
            take(plan, instance, stock, rows)
        return wrong


def take(plan: Plan, instance: Instance, stock: Stock, rows: list[int]) -> None:
    """Take a plan's units from the stock."""
    for shipment in plan.shipments:
        location = instance.network.location_index[shipment.location_id]
        for line in shipment.lines:
            stock.available[rows[line.line], location] -= line.quantity


def _median(prepared: Prepared, wrong: list[str]) -> Sample:
    timings = prepared.run(Strategy.OPTIMAL)
    return Sample(float(np.median(timings.nanoseconds)) / NANOSECONDS_PER_MICROSECOND, wrong)


def _compare_with_nearest(run: Run, prepared: Prepared, wrong: list[str]) -> Iterator[Row]:
    """Compare cost and shipments; once, since they do not vary."""
    ours, nearest = prepared.run(Strategy.OPTIMAL), prepared.run(Strategy.NEAREST)
    pairs = (ours.cost / MICROS, nearest.cost / MICROS), (ours.shipments, nearest.shipments)
    for question, (mine, other) in zip((COST, SHIPMENTS), pairs, strict=True):
        yield run.row(question, [Sample(float(mine.mean()), wrong)], [Sample(float(other.mean()))])
