"""Ids name the shard that gave them: one of another shard is refused on every road, and none ever comes twice."""

import json
import os
import re
import uuid

import numpy as np
import pytest
from engines import ForkedEngine, run_forked
from harness import Client, Refused, Stage
from ledger_cases import (
    HOUR_US,
    MINUTE_US,
    Bench,
    amend,
    cancel,
    commit,
    extend,
    fulfill,
    release,
    transfer,
)
from onhand.client import Client as BlockingClient
from onhand.client import WrongShard
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.rpcs import rpcs_of
from routing_harness import RoutingClient, order
from test_methods import SERVICES

from ledger.book import Book
from ledger.core import ids
from ledger.core.ledger import Ledger
from ledger.core.statuses import Status
from ledger.oracle.stock import OracleLedger
from ledger.snapshot import SnapshotOfOtherShard, load_snapshot, write_snapshot

SHARD = 7
WINDOW_US, RETENTION_US = HOUR_US, 5 * MINUTE_US
SETTINGS = {"request_window_us": WINDOW_US, "retention_us": RETENTION_US}
ON_HOLDS = {
    "commit": commit,
    "release": release,
    "fulfill": fulfill,
    "cancel": cancel,
    "extend": extend,
    "amend": lambda number: amend(number, [(0, 0, 2)]),
    "transfer": lambda number: transfer(number, 0, 1),
}
UNKNOWN_SKU = 10**6


# ---- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard", [0, 1, SHARD, ids.SHARD_MAX])
def test_an_id_is_its_parts(shard):
    for generation in (1, 2, ids.GENERATION_MAX):
        for slot in (0, 1, ids.SLOT_MASK):
            made = ids.id_in_slot(shard, generation, slot)
            assert 0 < made < 2**63
            assert (ids.shard_of(made), ids.generation_part(made), ids.slot_part(made)) == (shard, generation, slot)
            assert ids.named(shard, ids.number_part(made)) == made


def test_ids_of_shard_0_are_what_they_were():
    assert ids.id_in_slot(0, 1, 5) == 1 << 32 | 5
    assert ids.named(0, 12_345) == 12_345


# ---- the ledger ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[Ledger, OracleLedger], ids=["kernels", "oracle"])
def bench(request: pytest.FixtureRequest) -> Bench:
    made = Bench(request.param(**SETTINGS, shard=SHARD))
    for name in ("A", "B"):
        made.ledger.define_location(name)
    made.ledger.define_sku("S")
    made.stock((0, 0, 10), (0, 1, 10))
    return made


def test_ids_of_reservations_name_their_shard(bench):
    assert [ids.shard_of(bench.hold((0, 0, 1))) for _ in range(3)] == [SHARD] * 3


@pytest.mark.parametrize("other", [0, SHARD - 1, ids.SHARD_MAX])
@pytest.mark.parametrize("name", ON_HOLDS)
def test_an_id_of_another_shard_is_refused(bench, name, other):
    own = bench.hold((0, 0, 1))
    foreign = ids.named(other, ids.number_part(own))
    before = bench.ledger.level(0, 0), bench.reservation(own)
    assert bench.do(ON_HOLDS[name](foreign)).status == Status.WRONG_SHARD
    assert bench.ledger.reservation(foreign) is None
    assert (bench.ledger.level(0, 0), bench.reservation(own)) == before


def test_the_shard_comes_before_all_else_that_is_unknown(bench):
    foreign = ids.id_in_slot(SHARD + 1, 1, 0)
    assert bench.do(release(foreign, [(UNKNOWN_SKU, 0, 1)])).status == Status.WRONG_SHARD


def test_a_generation_that_is_used_up_is_never_used_again():
    ledger = Ledger(**SETTINGS, shard=SHARD)
    bench = Bench(ledger)
    ledger.define_sku("S")
    ledger.define_location("A")
    bench.stock((0, 0, 10))

    def held_and_forgotten() -> int:
        made = bench.hold((0, 0, 1))
        bench.ok(release(made))
        bench.live(minutes=RETENTION_US // 60_000_000 + 2)
        assert bench.ledger.reservation(made) is None
        return made

    first = held_and_forgotten()
    ledger._columns["reservations"].array["generation"][ids.slot_part(first)] = ids.GENERATION_MAX - 1
    last = held_and_forgotten()
    assert (ids.slot_part(last), ids.generation_part(last)) == (ids.slot_part(first), ids.GENERATION_MAX)
    following = held_and_forgotten()
    assert ids.slot_part(following) != ids.slot_part(last)
    assert ids.generation_part(following) == 1
    assert bench.do(commit(last)).status == Status.RESERVATION_NOT_FOUND


def test_a_group_of_another_shard_is_not_replayed():
    writer, other = Ledger(**SETTINGS, shard=1), Ledger(**SETTINGS, shard=2)
    for ledger in (writer, other):
        ledger.define_sku("S")
        ledger.define_location("A")
    bench = Bench(writer)
    results = []
    take = writer.take_group
    writer.take_group = lambda: results.append(take())  # type: ignore[method-assign]
    bench.stock((0, 0, 10))
    bench.hold((0, 0, 1))
    other.replay(results[0])
    with pytest.raises(ValueError, match=re.escape("reservation_id: expected one of shard 2, was of 1")):
        other.replay(results[1])


def test_a_snapshot_of_another_shard_is_not_loaded(tmp_path):
    path = write_snapshot(tmp_path, Book(**SETTINGS, shard=SHARD), b"", 1)
    assert load_snapshot(path, shard=SHARD)[1].ledger.shard == SHARD
    with pytest.raises(SnapshotOfOtherShard, match=f"expected one of shard 0, was of {SHARD}"):
        load_snapshot(path, shard=0)


# ---- the engine ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["native", "grpcio"])
def own_engine(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shard")
    flags = ["--port", "0", "--data-folder", str(folder), "--transport", request.param, "--shard", str(SHARD)]
    with ForkedEngine(flags, log_file=folder / "engine.log") as engine:
        yield engine


NAMED_BY_IDS = [
    (rpc, field)
    for service in SERVICES
    for rpc in rpcs_of(service)
    for field in ("reservation_id", "plan_id", "transfer_id")
    if field in rpc.request_type.DESCRIPTOR.fields_by_name
]


def test_the_rpcs_that_take_an_id_are_known():
    assert len(NAMED_BY_IDS) >= 19  # changes and reads of holds and transfers, the history by either, explanations


@pytest.mark.parametrize(("rpc", "field"), NAMED_BY_IDS, ids=lambda value: getattr(value, "name", value))
def test_no_rpc_takes_an_id_of_another_shard(own_engine, rpc, field):
    with Client(own_engine.address, prefix=f"{uuid.uuid4().hex[:8]}-") as client:
        stage = Stage(client)
        request = rpc.request_type()
        if hasattr(request, "order"):
            request.order.lines.add(sku_id=client.name("A"), quantity=1)
            request.order.destination.latitude = request.order.destination.longitude = 1.0
        elif rpc.name not in ("ExplainPlan", "RejectAssignment"):
            request = stage.request(rpc.name)
        own = stage.held()
        setattr(request, field, f"{ids.named(SHARD + 1, ids.number_part(int(own, 16))):016x}")
        if rpc.name == "RejectAssignment":
            request.location_id = client.name("A")
        elif rpc.name == "PlanFulfillment":
            request.ttl.FromSeconds(60)
        with pytest.raises(Refused, match=f"{field}: another shard") as refused:
            client.call(client.channel.unary_unary(rpc.path), request.SerializeToString())
        assert (refused.value.code.name, refused.value.reason) == ("FAILED_PRECONDITION", "WRONG_SHARD")
        assert client.get(own).version == 1
        assert client.verify().ok


def test_a_bulk_command_with_an_id_of_another_shard_is_refused(own_engine):
    with BlockingClient(own_engine.address) as client, pytest.raises(WrongShard, match="another shard"):
        client.commit(f"{1 << 32:016x}")


def test_plans_and_reservations_outlive_their_engine(own_engine):
    with RoutingClient(own_engine.address, prefix="plan-") as client:
        client.build({"A": 100}, {("S", "A"): 5})
        made = client.plan(order(("S", 1)))
        names = made.reservation_id, made.plan.plan_id, made.plan.reservation_id
        assert {ids.shard_of(int(name, 16)) for name in names} == {SHARD}
        explained = [client.explain(plan_id=made.plan.plan_id), client.explain(reservation_id=made.reservation_id)]
        assert explained[0].plan == explained[1].plan
        with pytest.raises(Refused, match="another shard"):
            client.explain(plan_id=f"{ids.number_part(int(made.plan.plan_id, 16)):016x}")
    own_engine.kill()
    own_engine.start()
    with RoutingClient(own_engine.address, prefix="plan-") as client:
        assert client.explain(plan_id=made.plan.plan_id).plan == explained[0].plan
        client.commit(made.reservation_id)


def test_commands_that_read_a_folder_take_the_shard(tmp_path):
    flags = ["--port", "0", "--data-folder", str(tmp_path), "--shard", str(SHARD)]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as engine, Client(engine.address) as client:
        Stage(client).held()
        seq = client.verify().seq
    command = ["verify", "--folder", str(tmp_path), "--json"]
    told = json.loads(run_forked([*command, "--shard", str(SHARD)], dict(os.environ)).stdout)
    assert (told["verify"], told["seq"]) == ("ok", seq)
    assert f"shard: expected {SHARD}" in run_forked(command, dict(os.environ)).stderr


def test_statuses_of_the_bulk_path_have_it():
    assert bulk.CommandStatus.Value("COMMAND_STATUS_WRONG_SHARD") == Status.WRONG_SHARD + 1
    assert np.uint8(Status.WRONG_SHARD) < min(Status.SKU_NOT_FOUND, Status.RESERVATION_NOT_FOUND)
