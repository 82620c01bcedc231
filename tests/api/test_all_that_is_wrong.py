"""A refused request says all that is wrong with it, with the reason and the message of the first wrong field."""

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import catalog_pb2, reservation_pb2, transfer_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.routing.v1 import bulk_service_pb2 as orders_bulk
from onhand.routing.v1 import network_pb2 as networks
from onhand.routing.v1 import network_service_pb2 as network
from onhand.routing.v1 import plan_pb2 as plans
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.rpcs import rpc_of
from onhand.rules.checks import PROBLEMS_MAX
from routing_harness import RoutingClient

from engine.errors import PROBLEMS_BYTES_MAX

NOTHING = reservation_pb2.LineQuantity(sku_id="", location_id="X", quantity=0)
ONE = reservation_pb2.LineQuantity(sku_id="A", location_id="X", quantity=1)
AMENDED = reservations.LineAmendment(sku_id="A", location_id="X", quantity=1)
WRONG_RESERVE = reservations.ReserveStockRequest(lines=[ONE, NOTHING], request_id="7", actor="a" * 65)
RECEIVE, TRANSFER = stock.MOVEMENT_TYPE_RECEIVE, stock.MOVEMENT_TYPE_TRANSFER
DAMAGED = stock.UNAVAILABLE_REASON_DAMAGED
RESERVE, RELEASE = bulk.COMMAND_OPERATION_RESERVE, bulk.COMMAND_OPERATION_RELEASE
RECORD, RECEIVE_TRANSFER = bulk.COMMAND_OPERATION_RECORD_MOVEMENTS, bulk.COMMAND_OPERATION_RECEIVE_TRANSFER

WRONG: list[tuple[Any, list[str]]] = [
    (
        reservations.ReserveStockRequest(lines=[NOTHING], request_id="7"),
        ["lines[0].sku_id", "lines[0].quantity", "request_id", "ttl"],
    ),
    (WRONG_RESERVE, ["lines[1].sku_id", "lines[1].quantity", "request_id", "ttl", "actor"]),
    (
        reservations.BatchReserveStockRequest(
            requests=[reservations.ReserveStockRequest(lines=[ONE], ttl=Duration(seconds=1)), WRONG_RESERVE]
        ),
        [f"requests[1].{name}" for name in ("lines[1].sku_id", "lines[1].quantity", "request_id", "ttl", "actor")],
    ),
    (
        reservations.CommitReservationRequest(lines=[NOTHING], request_id="7"),
        ["lines[0].sku_id", "lines[0].quantity", "request_id", "reservation_id"],
    ),
    (
        reservations.ExtendReservationRequest(ttl=Duration(seconds=15_000), reference="r" * 65),
        ["reservation_id", "ttl", "reference"],
    ),
    (
        reservations.AmendReservationRequest(lines=[AMENDED, AMENDED], expected_version=-1),
        ["lines[1]", "reservation_id", "expected_version"],
    ),
    (
        reservations.TransferReservationRequest(from_location_id="X", to_location_id="X"),
        ["to_location_id", "reservation_id"],
    ),
    (
        inventory.RecordMovementsRequest(
            movements=[
                inventory.NewMovement(type=RECEIVE, sku_id="A", location_id=" X", unavailable_reason=DAMAGED),
                inventory.NewMovement(type=stock.MOVEMENT_TYPE_RESERVE, sku_id="A"),
                inventory.NewMovement(type=TRANSFER, sku_id="A", location_id="X", to_location_id="X", quantity=1),
            ]
        ),
        [
            "movements[0].quantity",
            "movements[0].location_id",
            "movements[0].unavailable_reason",
            "movements[1].type",
            "movements[1].location_id",
            "movements[2].to_location_id",
        ],
    ),
    (
        inventory.SetOnHandRequest(counts=[inventory.OnHandCount(on_hand=-1)], request_id="7"),
        ["counts[0].sku_id", "counts[0].location_id", "counts[0].on_hand", "request_id"],
    ),
    (inventory.SetStockPolicyRequest(), ["safety_stock", "sku_id", "location_id"]),
    (inventory.GetStockLevelRequest(sku_id=" A"), ["sku_id", "location_id"]),
    (
        inventory.BatchGetAvailabilityRequest(
            sku_ids=["nobodys", "", "unheard"], location_ids=["X", "Y "], location_group="G"
        ),
        ["location_group", "sku_ids[1]"],
    ),
    (
        inventory.BatchGetAvailabilityRequest(sku_ids=[""], location_ids=["", "Y "]),
        ["location_ids[0]", "location_ids[1]", "sku_ids[0]"],
    ),
    (
        inventory.ListStockLevelsRequest(page_size=-1, page_token="a", sku_id=" A", location_id=" X"),
        ["page_size", "page_token", "sku_id", "location_id"],
    ),
    (
        inventory.ListMovementsRequest(page_size=-1, start_seq=-1, sku_id=" A", reference="r" * 65),
        ["page_size", "start_seq", "sku_id", "reference"],
    ),
    (
        reservations.ListReservationsRequest(page_size=-1, page_token="a", state=9, location_id=" X"),  # type: ignore[arg-type]
        ["page_size", "page_token", "state", "location_id"],
    ),
    (
        transfers.ListTransfersRequest(page_size=-1, states=[9], location_id=" X"),  # type: ignore[list-item]
        ["page_size", "states[0]", "location_id"],
    ),
    (catalog.ListSkusRequest(page_size=-1, page_token="a"), ["page_size", "page_token"]),
    (
        catalog.ListLocationsRequest(page_size=-1, page_token="a", location_group=" G"),
        ["location_group", "page_size", "page_token"],
    ),
    (network.ListLocationRoutingRequest(page_size=-1, page_token="a"), ["page_size", "page_token"]),
    (
        transfers.ReceiveTransferRequest(
            lines=[transfer_pb2.ReceivedUnits(condition=9, sku_id="A")],  # type: ignore[arg-type]
            expected_version=-1,
        ),
        ["lines[0].condition", "lines[0].quantity", "transfer_id", "expected_version"],
    ),
    (
        catalog.CreateLocationRequest(
            location=catalog_pb2.Location(latitude=91, time_zone="Europe/Vienn"), request_id="7"
        ),
        ["location.kind", "location.location_id", "location.latitude", "location.time_zone", "request_id"],
    ),
    (
        catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="A"), catalog_pb2.Sku(weight_milligrams=-1)]),
        ["skus[0].base_unit", "skus[1].base_unit", "skus[1].weight_milligrams", "skus[1].sku_id"],
    ),
    (
        network.UpsertNetworkRequest(
            network=networks.Network(
                calendars=[networks.Calendar(name="daily", weekdays=[1, 9], closed_dates=["tomorrow"])],
                carriers=[
                    networks.Carrier(
                        name=" C",
                        zones=[
                            networks.CarrierZone(
                                km_max=-1.0, transit_days=31, ship_rates=[networks.RateStep(base_micros=-1)]
                            )
                        ],
                    )
                ],
                lanes=[networks.Lane(days=31)],
                places=[networks.Place(name="P", latitude=91, longitude=181)],
                profiles=[
                    networks.RoutingProfile(
                        name="fast@2",
                        promise=9,  # type: ignore[arg-type]
                        max_distance=networks.RULE_STRENGTH_HARD,
                        max_distance_km=-1.0,
                        shipping_weight=-1.0,
                    )
                ],
                default_profile="slow",
                rejection_days=-1,
            ),
        ),
        [
            "network.rejection_days",
            "network.profiles[0].name",
            "network.profiles[0].shipping_weight",
            "network.profiles[0].version",
            "network.profiles[0].promise",
            "network.profiles[0].max_distance_km",
            "network.default_profile",
            "network.currency",
            "network.calendars[0].weekdays[1]",
            "network.calendars[0].closed_dates[0]",
            "network.carriers[0].name",
            "network.carriers[0].zones[0].km_max",
            "network.carriers[0].zones[0].transit_days",
            "network.carriers[0].zones[0].ship_rates[0].base_micros",
            "network.lanes[0].days",
            "network.places[0].latitude",
            "network.places[0].longitude",
        ],
    ),
    (
        network.UpsertNetworkRequest(
            network=networks.Network(
                profiles=[networks.RoutingProfile(name="p", version=1, stockout_avoidance_weight=2.0)]
            ),
            proposed_locations=[catalog_pb2.Location(location_id="X")],
        ),
        ["network.profiles[0].stockout_avoidance_weight", "proposed_locations", "proposed_locations[0].kind"],
    ),
    (
        routing.PlanFulfillmentRequest(
            order=plans.Order(
                lines=[
                    plans.OrderLine(sku_id="A", quantity=0, promise_date="tomorrow"),
                    plans.OrderLine(quantity=1, method=9),  # type: ignore[arg-type]
                ]
            ),
            strategy=9,  # type: ignore[arg-type]
            max_shipments=-1,
            request_id="7",
        ),
        [
            "request_id",
            "ttl",
            "order.lines[0].quantity",
            "order.lines[0].promise_date",
            "order.lines[1].sku_id",
            "order.lines[1].method",
            "strategy",
            "max_shipments",
        ],
    ),
    (
        bulk.ExecuteCommandsRequest(
            operations=[RESERVE, RESERVE, RELEASE, RECORD],
            line_counts=[2, 1, 1, 1],
            sku_ids=["A", " B"],
            location_ids=["X"],
            texts=["t" * 65],
            sku_indexes=[0, 7, 8, 0, 0],
            location_indexes=[0, 0, 3, 0, 0],
            quantities=[1, 0, 1, 1, 1],
            movement_types=[0, 0, 0, 0, 99],  # type: ignore[list-item]
            ttl_us=[1, 0, 1, 1],
            expected_versions=[0, 0, 0],
            reference_indexes=[0, 0, 2, 0],
            request_ids=b"7",
        ),
        [
            "request_ids",
            "sku_ids[1]",
            "sku_indexes[1]",
            "location_indexes[2]",
            "movement_types[4]",
            "quantities[1]",
            "texts[0]",
            "reference_indexes[2]",
            "expected_versions",
            "reservation_ids[2]",
            "ttl_us[1]",
        ],
    ),
    (
        bulk.ExecuteCommandsRequest(
            operations=[RECEIVE_TRANSFER, RESERVE],
            line_counts=[1, 1],
            sku_indexes=[0, 0],
            location_indexes=[0, 0],
            quantities=[0, 1],
            conditions=[9, 0],  # type: ignore[list-item]
            ttl_us=[0, -1],
        ),
        [
            "conditions[0]",
            "sku_indexes[0]",
            "location_indexes[1]",
            "quantities[0]",
            "ttl_us[1]",
            "reservation_ids[0]",
        ],
    ),
    (
        routing.RejectAssignmentRequest(lines=[routing.RejectedLine(sku_id="A")], request_id="7"),
        ["location_id", "lines[0].quantity", "reservation_id", "request_id"],
    ),
]


def refused(channel: grpc.Channel, request: Any) -> tuple[grpc.RpcError, list[BadRequest.FieldViolation]]:
    """What a wrong request is told: the error, and the fields that it names."""
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(rpc_of(type(request)).path)(request.SerializeToString(), timeout=30)
    status = RpcStatus.FromString(dict(raised.value.trailing_metadata())["grpc-status-details-bin"])
    found = BadRequest()
    assert status.details[1].Unpack(found)
    return raised.value, list(found.field_violations)


@pytest.mark.parametrize(("request_", "fields"), WRONG, ids=[type(request).__name__ for request, _ in WRONG])
def test_all_wrong_fields_are_told_at_once(client, request_, fields):
    error, told = refused(client.channel, request_)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in told] == fields
    assert error.details() == f"{fields[0]}: {told[0].description}"


def test_of_a_quote_too_once_there_is_a_network(client):
    with RoutingClient(client.address, client.prefix) as own:
        own.build({"X": 100.0}, {("A", "X"): 1})
    request = routing.QuoteFulfillmentRequest(
        order=plans.Order(lines=[plans.OrderLine(sku_id=" A", store_id="X")]),
        methods=[9],  # type: ignore[list-item]
        store_count_max=-1,
        store_distance_km_max=-1.0,
    )
    told = [each.field for each in refused(client.channel, request)[1]]
    of_lines = [f"order.lines[0].{name}" for name in ("sku_id", "quantity", "store_id")]
    assert told == [*of_lines, "methods[0]", "store_count_max", "store_distance_km_max"]


def test_of_the_locations_of_a_network_too(client):
    with RoutingClient(client.address, client.prefix) as own:
        own.build({"X": 100.0, "Y": 200.0}, {("A", "X"): 1})
    wrong = [
        networks.LocationRouting(
            location_id=f"{client.prefix}X", cut_off="noon", pickup_minutes=-1, handling_micros=-1
        ),
        networks.LocationRouting(location_id=f"{client.prefix}Y", opens="8", methods=[9]),  # type: ignore[list-item]
    ]
    told = [each.field for each in refused(client.channel, network.UpsertLocationRoutingRequest(locations=wrong))[1]]
    of_first = [f"locations[0].{name}" for name in ("cut_off", "handling_micros", "pickup_minutes")]
    assert told == [*of_first, "locations[1].methods[0]", "locations[1].opens"]


def test_of_orders_in_columns_too(client):
    with RoutingClient(client.address, client.prefix) as own:
        own.build({"X": 100.0}, {("A", "X"): 1})
    request = orders_bulk.PlanOrdersRequest(
        line_counts=[1, 2],
        sku_ids=["A"],
        sku_indexes=[0, 1, 0],
        quantities=[1, 0, 1],
        methods=[1, 9, 1],  # type: ignore[list-item]
        store_indexes=[-1, 0, -1],
        promise_days=[-1, -1, -2],
        ttl_us=[0],
        latitudes=[91, 0],
        channels=["nobodys"],
        channel_indexes=[1, 0],
        texts=["a"],
        actor_indexes=[0, 1],
        request_ids=b"7",
    )
    told = [each.field for each in refused(client.channel, request)[1]]
    of_lines = ["sku_indexes[1]", "quantities[1]", "methods[1]", "store_indexes[1]", "promise_days[2]"]
    of_orders = ["ttl_us[0]", "latitudes[0]", "longitudes", "channel_indexes[0]", "channels[0]", "actor_indexes[1]"]
    assert told == ["request_ids", *of_lines, *of_orders]


def test_what_is_right_but_for_a_field_is_told_of_that_alone(client):
    for request, _ in WRONG[:2]:
        right = type(request)(lines=[ONE], ttl=Duration(seconds=1))
        for name, value in (("request_id", "7"), ("actor", "a" * 65)):
            wrong = type(request).FromString(right.SerializeToString())
            setattr(wrong, name, value)
            assert [each.field for each in refused(client.channel, wrong)[1]] == [name]


def test_of_very_many_wrong_fields_some_are_told(client):
    """Errors travel in HTTP/2 headers, of which a client takes 8 KiB."""
    counts = [inventory.OnHandCount(sku_id="A", location_id="X" * 65, on_hand=-1)] * 8_192
    error, told = refused(client.channel, inventory.SetOnHandRequest(counts=counts))
    assert error.details().startswith("counts[0].location_id: ")
    assert 1 < len(told) <= PROBLEMS_MAX
    assert sum(len(each.field) + len(each.description) for each in told) <= PROBLEMS_BYTES_MAX


def test_a_known_request_id_outranks_all_of_them(stage):
    client, request_id = stage.client, "018f0000-0000-4000-8000-000000000001"
    client.reserve(("A", "X", 1), request_id=request_id)
    wrong = reservations.ReserveStockRequest(lines=[NOTHING], request_id=request_id)
    with pytest.raises(grpc.RpcError) as raised:
        client.channel.unary_unary(rpc_of(type(wrong)).path)(wrong.SerializeToString(), timeout=30)
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS


def test_a_list_that_is_too_long_is_not_read(client):
    counts = [inventory.OnHandCount(sku_id="", location_id="X", on_hand=-1)] * 8_193
    assert [each.field for each in refused(client.channel, inventory.SetOnHandRequest(counts=counts))[1]] == ["counts"]
