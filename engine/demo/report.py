"""The demo's result: what was played, how fast, and whether the ledger kept its promises."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from onhand.admin.v1 import admin_service_pb2
from onhand.inventory.v1 import stock_pb2
from rich.console import Console
from rich.table import Table

from engine.demo.compare import Comparison, StrategyFigures
from engine.demo.network import CURRENCY, MICROS
from engine.demo.play import Routed, Tally
from engine.demo.settings import DemoSettings

_PERCENTS: Final = (50, 99)


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of some calls as the client saw it, repeats included."""

    count: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class RoutedFigures:
    """Plans of one kind that hold something."""

    orders: int
    cost_per_order: float
    """In the network's currency, without units that are not filled."""
    shipments_per_order: float
    split_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """The demo in figures; written to build/demo.json."""

    orders: int
    """Baskets played, and flash sale buyers who got a unit."""
    duration_seconds: float
    """From the first order to the last answer; loading and checking not included."""
    orders_per_second: float
    calls: int
    p50_ms: float
    p99_ms: float
    order_p50_ms: float
    """A basket's order, from its start to its sale, checkout or end."""
    order_p99_ms: float
    methods: dict[str, Latency]
    shipped: RoutedFigures
    picked_up: RoutedFigures
    strategies: dict[str, StrategyFigures]
    """The orders that were bought and shipped, by each strategy on its own copy of the stock for shipping."""
    explanation: Sequence[str]
    """Why one order was split: ExplainPlan of the last one."""
    fill_rate: float
    """Units held of the units that the storefront's baskets asked for; tills and flash sale are not in it."""
    refusals: dict[str, int]
    """Refused calls of baskets by reason."""
    failures: dict[str, int]
    """Calls that failed without a reason of the contract, by status code: must be none."""
    sold: int
    committed_orders_fulfilled: int
    partly_filled: int
    not_filled: int
    amended: int
    extended: int
    released: int
    cancelled: int
    returned: int
    expired: int | None
    """Abandoned carts, whose hold ended by itself; None if some had not ended in time."""
    flash_sale_units: int
    flash_sale_buyers: int
    flash_sale_sold: int
    flash_sale_on_hand: int
    """What the engine has left of the flash sale's units."""
    flash_sale_refusals: dict[str, int]
    oversold: int
    """Stock levels promised beyond what is there at the end, and till sales recorded as oversold: must be 0."""
    verify: Literal["ok", "violated"]
    """What VerifyLedger said after the last order."""
    violation_count: int
    digest: str
    stock_levels: int
    journal_bytes_per_order: float
    days: int
    seed: int
    transport: str
    durability: str


@dataclass(frozen=True, slots=True)
class EngineAnswers:
    """What the engine said of itself around the play."""

    before: admin_service_pb2.GetStatusResponse
    after: admin_service_pb2.GetStatusResponse
    verified: admin_service_pb2.VerifyLedgerResponse
    flash_level: stock_pb2.StockLevel
    all_expired: bool
    """Whether no more reservations were active in the end than before."""


def make_report(
    tally: Tally,
    settings: DemoSettings,
    answers: EngineAnswers,
    comparison: Comparison,
    *,
    explanation: Sequence[str],
) -> DemoReport:
    """Put what the client counted and what the engine says side by side."""
    orders = tally.orders + tally.flash_sold
    calls = _latency(*tally.latency_us.values())
    order = _latency(tally.order_us)
    acts = tally.acts
    before, after, verified = answers.before, answers.after, answers.verified
    journal_bytes = after.journal_entry_bytes - before.journal_entry_bytes
    return DemoReport(
        orders=orders,
        duration_seconds=round(tally.duration_seconds, 3),
        orders_per_second=round(orders / tally.duration_seconds, 1),
        calls=tally.call_count,
        p50_ms=calls.p50_ms,
        p99_ms=calls.p99_ms,
        order_p50_ms=order.p50_ms,
        order_p99_ms=order.p99_ms,
        methods={name: _latency(values) for name, values in sorted(tally.latency_us.items())},
        shipped=_routed(tally.shipped),
        picked_up=_routed(tally.picked_up),
        strategies=comparison.strategies,
        explanation=explanation,
        fill_rate=round(tally.units_filled / tally.units_asked, 4) if tally.units_asked else 1.0,
        refusals=dict(tally.refusals.most_common()),
        failures=dict(tally.failures.most_common()),
        sold=acts["sold"],
        committed_orders_fulfilled=acts["fulfilled"],
        partly_filled=acts["partly filled"],
        not_filled=acts["not filled"],
        amended=acts["amended"],
        extended=acts["extended"],
        released=acts["released"],
        cancelled=acts["cancelled"],
        returned=acts["returned"],
        expired=acts["abandoned"] if answers.all_expired else None,
        flash_sale_units=settings.flash_units,
        flash_sale_buyers=tally.flash_buyers,
        flash_sale_sold=tally.flash_sold,
        flash_sale_on_hand=answers.flash_level.on_hand,
        flash_sale_refusals=dict(tally.flash_refusals.most_common()),
        oversold=verified.oversold_level_count + tally.sales_oversold,
        verify="ok" if verified.ok else "violated",
        violation_count=verified.violation_count,
        digest=verified.digest,
        stock_levels=after.stock_level_count,
        journal_bytes_per_order=round(journal_bytes / orders, 1) if orders else 0.0,
        days=settings.days,
        seed=settings.seed,
        transport=after.transport,
        durability=after.durability,
    )


def _routed(routed: Routed) -> RoutedFigures:
    count = max(1, routed.orders)
    cost = routed.cost_micros / MICROS / count
    return RoutedFigures(
        routed.orders, round(cost, 2), round(routed.shipments / count, 3), round(routed.split / count, 4)
    )


def broken_promises(report: DemoReport) -> list[str]:
    """Say what the engine should have kept and did not; empty if all is well."""
    broken = []
    if report.flash_sale_sold != report.flash_sale_units or report.flash_sale_on_hand != 0:
        broken.append(
            f"flash sale: expected {report.flash_sale_units} units sold and 0 on hand, "
            f"was {report.flash_sale_sold} sold and {report.flash_sale_on_hand} on hand."
        )
    if report.oversold:
        broken.append(f"oversold: expected 0, was {report.oversold}.")
    if report.verify != "ok":
        broken.append(f"VerifyLedger: expected no violation, found {report.violation_count}.")
    if report.failures:
        failed = ", ".join(f"{count} {code}" for code, count in report.failures.items())
        broken.append(f"calls: expected none to fail without a reason, was {failed}.")
    for name, figures in report.strategies.items():
        if cheaper := figures.cheaper_than_ours_on_the_same_state:
            broken.append(f"routing: expected no plan dearer than {name} on the same state, found {cheaper}.")
    if report.expired is None:
        broken.append("expiry: expected all abandoned carts to have ended, some are still active.")
    return broken


def write_json(report: DemoReport, path: Path) -> None:
    """Write the report for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def show_report(report: DemoReport, console: Console) -> None:
    """Show the report to people."""
    table = Table(show_header=False, title=f"OnHand demo: {report.days} days, seed {report.seed}", title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(report):
        table.add_row(name, value)
    console.print(table)
    console.print(strategies_table(report))
    if report.explanation:
        console.print("Why one order was split (ExplainPlan):", style="bold")
        for sentence in report.explanation:
            console.print(f"- {sentence}", highlight=False, markup=False)


def _rows(report: DemoReport) -> list[tuple[str, str]]:
    per_second = f"{report.orders_per_second:,.0f} orders/s, {report.calls / report.duration_seconds:,.0f} calls/s"
    changed = f"{report.amended:,} amended, {report.extended:,} extended, {report.released:,} released"
    ended = f"{report.expired or 0:,} expired, {report.cancelled:,} cancelled, {report.returned:,} returned"
    flash = (
        f"{report.flash_sale_sold:,} of {report.flash_sale_units:,} units sold to {report.flash_sale_buyers:,} buyers"
    )
    ledger = "consistent" if report.verify == "ok" else f"{report.violation_count:,} violations"
    return [
        ("orders", f"{report.orders:,} in {report.duration_seconds:,.1f} s: {per_second}"),
        ("call latency", f"p50 {report.p50_ms:.1f} ms, p99 {report.p99_ms:.1f} ms over {report.calls:,} calls"),
        ("order latency", f"p50 {report.order_p50_ms:.1f} ms, p99 {report.order_p99_ms:.1f} ms"),
        ("till sales", f"{report.sold:,}"),
        ("storefront orders", f"{report.committed_orders_fulfilled:,} fulfilled, {report.partly_filled:,} partly"),
        ("routed to ship", _told(report.shipped)),
        ("routed to pick up", _told(report.picked_up)),
        ("changed", changed),
        ("ended", ended),
        ("fill rate", f"{report.fill_rate:.2%} of the units the storefront was asked for"),
        ("refusals", ", ".join(f"{reason} {count:,}" for reason, count in report.refusals.items()) or "none"),
        ("flash sale", flash),
        ("oversold", str(report.oversold)),
        ("ledger", f"{ledger}, {report.stock_levels:,} stock levels, digest {report.digest[:16]}"),
        ("journal", f"{report.journal_bytes_per_order:,.0f} bytes an order, {report.durability}"),
        ("transport", report.transport),
    ]


def _told(figures: RoutedFigures) -> str:
    return (
        f"{figures.orders:,}: {figures.cost_per_order:.2f} {CURRENCY} and {figures.shipments_per_order:.2f} shipments "
        f"an order, {figures.split_rate:.1%} split"
    )


def strategies_table(report: DemoReport) -> Table:
    """Return what routing on true cost saves, as a table."""
    orders = next(iter(report.strategies.values())).orders
    table = Table(
        title=f"{orders:,} shipped orders, each strategy on its own copy of the stock ({CURRENCY} an order)",
        title_justify="left",
    )
    for name in ("", "cost", "to ship", "shipments", "split", "filled", "cheaper*"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, one in report.strategies.items():
        table.add_row(
            name,
            f"{one.cost_per_order:.2f}",
            f"{one.shipping_cost_per_order:.2f}",
            f"{one.shipments_per_order:.2f}",
            f"{one.split_rate:.1%}",
            f"{one.fill_rate:.1%}",
            str(one.cheaper_than_ours_on_the_same_state),
        )
    table.caption = (
        "cost counts units that were not filled; * orders for which it was cheaper than OnHand on the same state"
    )
    return table


def _latency(*microseconds: "array[int]") -> Latency:
    values = np.concatenate([np.zeros(0, np.uint64), *(np.asarray(part, np.uint64) for part in microseconds)])
    if not len(values):
        return Latency(0, 0.0, 0.0)
    p50, p99 = (np.percentile(values, _PERCENTS) / 1_000).round(3).tolist()
    return Latency(len(values), p50, p99)
