"""`onhand call`: every method of the contract by its name, with JSON in and out and refusals in words."""

import json
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from harness import Client
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from typer.testing import CliRunner

from engine.api.desk import METHOD_PATHS
from engine.cli import app
from engine.errors import journal_away
from engine.operate.call import CallError, fields_of, method_named, methods, request_of, told_of_refusal


class Run(NamedTuple):
    code: int
    text: str
    errors: str


def call(*words: str, address: str = "127.0.0.1:1", given: str = "") -> Run:
    result = CliRunner().invoke(app, ["call", *words, "--address", address], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def shop(client: Client) -> Client:
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 10)
    return client


def lines(client: Client, units: int) -> list[dict[str, object]]:
    return [{"sku_id": client.name("A"), "location_id": client.name("X"), "quantity": units}]


def test_every_method_that_the_engine_answers_is_found_by_bare_and_full_name():
    assert {f"/{full}" for full in methods()} == set(METHOD_PATHS)
    assert call("--list").text.split() == list(methods())
    for full, rpc in methods().items():
        service = full.split("/")[0].rpartition(".")[2]
        for name in (rpc.name, full, f"/{full}", f"{service}/{rpc.name}", f"{service}.{rpc.name}"):
            assert method_named(name).path == f"/{full}"
        assert fields_of(rpc).startswith(f"{rpc.request_type.DESCRIPTOR.name}\n")


def test_a_write_gets_a_request_id_and_is_done_once_if_it_is_repeated_with_it(shop: Client):
    request = {"lines": lines(shop, 2), "ttl": "600s", "reference": "cart 7"}
    first = call("ReserveStock", json.dumps(request), address=shop.address)
    assert first.code == 0
    word, request_id = first.errors.split()
    assert (word, uuid.UUID(request_id).version) == ("request_id", 7)
    told = json.loads(first.text)
    assert shop.get(told["reservation_id"]).lines[0].quantity == 2
    assert isinstance(told["seq"], str), "64 bits, as JSON has them"
    again = call("ReserveStock", json.dumps(request | {"requestId": request_id}), address=shop.address)
    assert (again.code, again.errors, json.loads(again.text)) == (0, "", told)
    read = call(
        "GetReservation", "-", address=shop.address, given=json.dumps({"reservation_id": told["reservation_id"]})
    )
    assert (read.code, read.errors) == (0, "")
    assert json.loads(read.text)["reservation"]["state"] == "RESERVATION_STATE_ACTIVE"


def test_refusals_are_told_in_words(shop: Client):
    short = call("ReserveStock", json.dumps({"lines": lines(shop, 11), "ttl": "600s"}), address=shop.address)
    assert (short.code, short.text) == (1, "")
    _, first, shortage = short.errors.splitlines()
    assert first.startswith(f"{shop.address} answered FAILED_PRECONDITION INSUFFICIENT_STOCK: ")
    assert shortage == f"  short: {shop.name('A')} at {shop.name('X')}: requested 11, available 10"
    wrong = call("ReserveStock", json.dumps({"lines": lines(shop, 0), "ttl": "600s"}), address=shop.address)
    assert wrong.code == 1
    assert "INVALID_ARGUMENT VALIDATION_FAILED" in wrong.errors
    assert "  field lines[0].quantity: expected 1 to " in wrong.errors


class Away(grpc.RpcError):
    """What a client gets while the journal server is away."""

    refused = journal_away("written", TimeoutError("no reply"))

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return self.refused.message

    def trailing_metadata(self):
        return (("grpc-status-details-bin", self.refused.details()),)


def test_when_it_makes_sense_to_call_again_is_told():
    told = told_of_refusal(Away()).splitlines()
    assert told[0].startswith("UNAVAILABLE JOURNAL_UNAVAILABLE: The journal cannot be written now")
    assert told[1:] == ["  call again after 0.2 s, with the same request_id"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reservestok"], "method: there is no reservestok; did you mean ReserveStock? See onhand call --list."),
        (["qqqq"], "method: there is no qqqq. See onhand call --list."),
        (
            ["ReserveStock", '{"lines": [{"sku_id": "A", "quantitiy": 1}]}'],
            "lines[0]: there is no field quantitiy; did you mean quantity? Fields are sku_id, location_id, quantity.",
        ),
        (
            ["ReserveStock", '{"ttl": "soon"}'],
            "request: expected JSON of ReserveStockRequest: Failed to parse ttl field",
        ),
        (["ReserveStock", "{"], "request: expected JSON of ReserveStockRequest: Failed to load JSON"),
        (["ReserveStock", "[]"], "request: expected JSON of ReserveStockRequest, an object, was []"),
        (["GetStatus", "--deadline", "soon"], "deadline: expected a number, or a time with a unit"),
        (["GetStatus", "--deadline", "0"], "deadline: expected more than 0, was 0"),
    ],
)
def test_what_cannot_be_called_is_wrong_use(words, told):
    run = call(*words)
    assert (run.code, run.text) == (2, "")
    assert told in " ".join(run.errors.split())


VALUES = (None, True, 1, -1, 2**70, 1.5, "x", "", "\ud800", [], [1], ["x"], [[]], {}, {"x": 1}, [{"x": {}}])


def documents(message: Descriptor, depth: int) -> Iterator[dict[str, object]]:
    """Every field with every value, also in the messages inside."""
    for field in message.fields:
        yield from ({field.name: value} for value in VALUES)
        if field.message_type is not None and depth:
            for inside in documents(field.message_type, depth - 1):
                yield {field.name: [inside] if field.is_repeated else inside}


@pytest.mark.parametrize("name", sorted(methods()))
def test_no_json_makes_a_traceback(name, capsys):
    rpc, refused_count = method_named(name), 0
    for document in documents(rpc.request_type.DESCRIPTOR, 2):
        try:
            request_of(rpc, json.dumps(document))
        except CallError:
            refused_count += 1
    assert refused_count or not rpc.request_type.DESCRIPTOR.fields
    capsys.readouterr()


def test_an_engine_that_is_away():
    run = call("GetStatus", "{}", "--deadline", "5s")
    assert (run.code, run.text) == (1, "")
    assert run.errors.startswith("127.0.0.1:1 answered UNAVAILABLE: ")


def test_the_fields_of_a_request_are_told():
    told = call("ReserveStock", "--help-message").text
    assert told.split("\n\n")[0].splitlines() == [
        "ReserveStockRequest",
        *(
            f"  {field.name:<16}  {kind}"
            for field, kind in zip(
                reservations.ReserveStockRequest.DESCRIPTOR.fields,
                ("[LineQuantity, …]", 'a time, "900s"', "text", "true or false", *["text"] * 3, "whole number"),
                strict=True,
            )
        ),
    ]
    assert "LineQuantity\n  sku_id       text\n  location_id  text\n  quantity     whole number" in told
    assert "UNAVAILABLE_REASON_DAMAGED | " in call("RecordMovements", "--help-message").text
    assert call("GetStatus", "--help-message").text == "GetStatusRequest\n  nothing\n"
