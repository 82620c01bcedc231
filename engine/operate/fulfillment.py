"""`onhand fulfillment`: what locations have to do for orders, through a running engine."""

from typing import Annotated, Final

import typer

from engine.operate.documents import (
    Actor,
    NamedUnits,
    Reference,
    Units,
    Version,
    as_shown,
    engine_client,
    instant_us,
    one_of,
    units_in,
)
from engine.operate.terminal import ADDRESS_DEFAULT, Address, AsJson, show, show_rows
from ledger.core.statuses import FulfillmentMethod, FulfillmentState, FulfillmentVerb

fulfillment_app = typer.Typer(
    help="Let a location do its part of an order; see docs/fulfillment.md.", no_args_is_help=True
)

STATES: Final = [state.name for state in FulfillmentState]
METHODS: Final = [method.name for method in FulfillmentMethod]
VERBS: Final = [verb.name for verb in FulfillmentVerb if verb is not FulfillmentVerb.CREATE]

Id = Annotated[str, typer.Argument(help="Fulfillment order id.")]


@fulfillment_app.command()
def create(  # noqa: PLR0917 - each is an argument or a flag
    order: Annotated[str, typer.Argument(help="Reservation of the order, committed.")],
    location: Annotated[str, typer.Argument(help="Where it holds the units.")],
    units: NamedUnits,
    method: Annotated[str, typer.Option(help=f"How they come to the customer: {', '.join(METHODS)}.")] = "SHIP",
    due: Annotated[str, typer.Option(help="When they should have left, or be ready, ISO 8601.")] = "",
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Give units of an order to a location to be fulfilled."""
    lines, due_time_us, name = units_in(units), instant_us(due, "--due"), one_of(METHODS, method, "--method")
    from onhand.client import FulfillmentMethod as Method  # noqa: PLC0415 - the other commands start faster without it

    with engine_client(address) as client:
        made = client.create_fulfillment_order(
            order,
            location,
            lines,
            method=Method[name],
            due_time_us=due_time_us,
            reference=reference,
            actor=actor,
        )
    show(as_shown(made), as_json, "Created")


@fulfillment_app.command()
def advance(  # noqa: PLR0917 - each is an argument or a flag
    fulfillment_order_id: Id,
    verb: Annotated[str, typer.Argument(help=f"What is done: {', '.join(VERBS)}.")],
    units: Units = None,
    expected_version: Version = 0,
    reference: Reference = "",
    actor: Actor = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Do a verb with units of a fulfillment order, or with all of it."""
    lines, name = units_in(units), one_of(VERBS, verb, "VERB")
    from onhand.client import FulfillmentVerb as Verb  # noqa: PLC0415 - the other commands start faster without it

    with engine_client(address) as client:
        done = client.advance_fulfillment_order(
            fulfillment_order_id,
            Verb[name],
            lines,
            expected_version=expected_version,
            reference=reference,
            actor=actor,
        )
    show(as_shown(done), as_json, f"{name} {fulfillment_order_id}")


@fulfillment_app.command("show")
def show_one(fulfillment_order_id: Id, address: Address = ADDRESS_DEFAULT, as_json: AsJson = None) -> None:
    """Show a fulfillment order: where its units are, and what can be done with it now."""
    with engine_client(address) as client:
        found = client.get_fulfillment_order(fulfillment_order_id)
    show(as_shown(found), as_json, f"Fulfillment order {fulfillment_order_id}")


@fulfillment_app.command("list")
def show_list(  # noqa: PLR0917 - each is an argument or a flag
    location: Annotated[str, typer.Argument(help="Only those of this location.")] = "",
    state: Annotated[list[str] | None, typer.Option(help=f"Only those in this state: {', '.join(STATES)}.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"Only those by this method: {', '.join(METHODS)}.")] = None,
    order: Annotated[str, typer.Option(help="Only those of the order that this reservation is of.")] = "",
    due_before: Annotated[str, typer.Option(help="Only those that are due before this, ISO 8601.")] = "",
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """List fulfillment orders, those that ended lately included: the work of a location."""
    states = [one_of(STATES, word, "--state") for word in state or ()]
    methods = [one_of(METHODS, word, "--method") for word in method or ()]
    due_before_us = instant_us(due_before, "--due-before")
    from onhand.client import FulfillmentMethod as Method  # noqa: PLC0415 - the other commands start faster without it
    from onhand.client import FulfillmentState as State  # noqa: PLC0415

    with engine_client(address) as client:
        rows = [
            as_shown(each)
            for each in client.list_fulfillment_orders(
                location_id=location,
                reservation_id=order,
                states=[State[name] for name in states],
                methods=[Method[name] for name in methods],
                due_before_us=due_before_us,
            )
        ]
    show_rows(rows, as_json, f"Fulfillment orders at {address}")
