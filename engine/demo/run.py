"""The demo from end to end: load, play, check, report."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc
from onhand.admin.v1 import admin_service_pb2, admin_service_pb2_grpc
from onhand.inventory.v1 import catalog_pb2, inventory_service_pb2, inventory_service_pb2_grpc, stock_pb2
from onhand.routing.v1 import (
    network_service_pb2,
    network_service_pb2_grpc,
    routing_service_pb2,
    routing_service_pb2_grpc,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.demo.baskets import DemoDataMissingError, load_baskets
from engine.demo.compare import Comparison, compare, plan_count
from engine.demo.map import draw as draw_map
from engine.demo.network import location_messages, network_message
from engine.demo.places import place_all
from engine.demo.plan import FLASH_LOCATION, FLASH_SKU, Plan, make_plan
from engine.demo.play import EngineGoneError, Player, Tally, wait_for_expiries
from engine.demo.report import EngineAnswers, broken_promises, make_report, show_report, write_json
from engine.demo.settings import DemoSettings
from engine.load.sending import (
    DEADLINE_SECONDS,
    ChunkRefusedError,
    advance_bar,
    load_progress,
    open_channel,
    set_stock,
    upsert_locations,
    upsert_skus,
)


async def run_demo(
    address: str, settings: DemoSettings, json_path: Path | None, console: Console, map_path: Path | None = None
) -> int:
    """Play the demo against the engine at the address; 0 if it kept every promise, else 1 and a line that says why."""
    try:
        plan = prepare(settings, console)
        async with open_channel(address) as channel:
            played = await _load_and_play(channel, plan, settings, console)
    except DemoDataMissingError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except EngineGoneError as error:
        console.print(f"The engine at {address} went away: {error}", style="red", markup=False)
        return 1
    except (ChunkRefusedError, grpc.aio.AioRpcError) as error:
        console.print(f"The engine at {address} answered: {error}", style="red", markup=False)
        return 1
    comparison = compare_strategies(plan, console)
    report = make_report(played.tally, settings, played.answers, comparison, explanation=played.explanation)
    show_report(report, console)
    if json_path:
        write_json(report, json_path)
    if map_path:
        draw_map(comparison, plan.places, map_path)
        console.print(f"who ships where: {map_path}", highlight=False)
    broken = broken_promises(report)
    for line in broken:
        console.print(line, style="red", markup=False)
    return 1 if broken else 0


def prepare(settings: DemoSettings, console: Console) -> Plan:
    """Read the baskets and decide what each does."""
    started = time.perf_counter()
    baskets = load_baskets(settings.days)
    plan = make_plan(baskets, place_all(baskets.stores, settings), settings)
    console.print(
        f"{baskets.order_count:,} real baskets of {baskets.days} days with {baskets.line_count:,} lines: "
        f"{len(baskets.stores)} stores, {len(baskets.skus):,} skus, {len(plan.stock):,} stock levels "
        f"({time.perf_counter() - started:.1f} s). The places of the stores are illustrations."
    )
    return plan


async def load_plan(channel: grpc.aio.Channel, plan: Plan, console: Console) -> None:
    """Bring catalog, opening stock and network into the engine."""
    skus = [
        catalog_pb2.Sku(
            sku_id=sku.sku_id,
            display_name=sku.display_name,
            base_unit="each",
            weight_milligrams=sku.weight_milligrams,
        )
        for sku in plan.baskets.skus
    ]
    skus.append(catalog_pb2.Sku(sku_id=FLASH_SKU, display_name="Flash sale", base_unit="each"))
    locations = plan.places.locations
    with load_progress(console, visible=True) as bars:
        await upsert_locations(channel, locations, advance_bar(bars, "locations", len(locations)))
        await upsert_skus(channel, skus, advance_bar(bars, "skus", len(skus)))
        await set_stock(channel, plan.stock, advance_bar(bars, "stock levels", len(plan.stock)))
    request = network_service_pb2.UpsertNetworkRequest(
        network=network_message(), locations=location_messages(plan.places), replace_locations=True
    )
    await network_service_pb2_grpc.NetworkServiceStub(channel).UpsertNetwork(request, timeout=DEADLINE_SECONDS)


class Played(NamedTuple):
    """What the client counted, and what the engine says."""

    tally: Tally
    answers: EngineAnswers
    explanation: tuple[str, ...]
    """Why one order was split, in the engine's words."""


def compare_strategies(plan: Plan, console: Console) -> Comparison:
    """Route the stream by every strategy, each on its own copy of the stock."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("comparing strategies", total=plan_count(plan))
        return compare(plan, lambda count: bars.update(task, advance=count))


async def _load_and_play(channel: grpc.aio.Channel, plan: Plan, settings: DemoSettings, console: Console) -> Played:
    await load_plan(channel, plan, console)
    admin = admin_service_pb2_grpc.AdminServiceStub(channel)
    before = await admin.GetStatus(admin_service_pb2.GetStatusRequest(), timeout=DEADLINE_SECONDS)
    player = Player(channel, plan, settings)
    async with _progress_of(player, plan, console):
        await player.play()
    all_expired = await wait_for_expiries(channel, before.active_reservation_count, settings)
    after = await admin.GetStatus(admin_service_pb2.GetStatusRequest(), timeout=DEADLINE_SECONDS)
    verified = await admin.VerifyLedger(admin_service_pb2.VerifyLedgerRequest(), timeout=DEADLINE_SECONDS)
    answers = EngineAnswers(before, after, verified, await _flash_level(channel), all_expired)
    return Played(player.tally, answers, await _explanation(channel, player.tally.split_plan_id))


async def _explanation(channel: grpc.aio.Channel, plan_id: str) -> tuple[str, ...]:
    """Ask why an order was split; nothing if none was."""
    if not plan_id:
        return ()
    stub = routing_service_pb2_grpc.RoutingServiceStub(channel)
    request = routing_service_pb2.ExplainPlanRequest(plan_id=plan_id)
    return tuple((await stub.ExplainPlan(request, timeout=DEADLINE_SECONDS)).sentences)


async def _flash_level(channel: grpc.aio.Channel) -> stock_pb2.StockLevel:
    inventory = inventory_service_pb2_grpc.InventoryServiceStub(channel)
    request = inventory_service_pb2.GetStockLevelRequest(sku_id=FLASH_SKU, location_id=FLASH_LOCATION)
    response = await inventory.GetStockLevel(request, timeout=DEADLINE_SECONDS)
    return response.stock_level


@contextlib.asynccontextmanager
async def _progress_of(player: Player, plan: Plan, console: Console) -> AsyncIterator[None]:
    """Show day, orders and orders/s while the block runs; looked up four times a second, not told by every order."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[rate]:,.0f} orders/s"), console=console) as bars:
        task = bars.add_task("day", total=plan.baskets.order_count, rate=0.0)
        started = time.perf_counter()

        def show() -> None:
            rate = player.tally.orders / (time.perf_counter() - started)
            day = min(player.tally.day + 1, plan.baskets.days)
            bars.update(task, completed=player.tally.orders, description=f"day {day} of {plan.baskets.days}", rate=rate)

        async def keep_showing() -> None:
            while True:
                await asyncio.sleep(0.25)
                show()

        shower = asyncio.create_task(keep_showing())
        try:
            yield
        finally:
            shower.cancel()
            show()
