"""Readable calls of FulfillmentService, for the client of tests."""

from collections.abc import Iterable
from typing import Any

from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.order.v1.fulfillment_service_pb2_grpc import FulfillmentServiceStub


class FulfillmentCalls:
    """What a client of tests does with fulfillment orders, called work here."""

    fulfillment: FulfillmentServiceStub

    def name(self, short: str) -> str:
        """Return the name of a sku or location that is this client's own."""
        raise NotImplementedError

    def call(self, method: Any, request: Any) -> Any:
        """Call, and raise `Refused` with the error's details."""
        raise NotImplementedError

    def work_lines(self, lines: Iterable[tuple[str, int]]) -> list[fulfillment_pb2.FulfillmentQuantity]:
        return [fulfillment_pb2.FulfillmentQuantity(sku_id=self.name(sku), quantity=units) for sku, units in lines]

    def assign(self, reservation_id: str, location: str, *lines: tuple[str, int], **more: Any) -> Any:
        """Give units of an order to a location to be fulfilled."""
        request = fulfillment.CreateFulfillmentOrderRequest(
            reservation_id=reservation_id, location_id=self.name(location), lines=self.work_lines(lines), **more
        )
        return self.call(self.fulfillment.CreateFulfillmentOrder, request)

    def work_request(self, number: str, verb: str, *lines: tuple[str, int], **more: Any) -> Any:
        return fulfillment.AdvanceFulfillmentOrderRequest(
            fulfillment_order_id=number,
            verb=f"FULFILLMENT_VERB_{verb}",  # type: ignore[arg-type]  # by its name
            lines=self.work_lines(lines),
            **more,
        )

    def advance(self, number: str, verb: str, *lines: tuple[str, int], **more: Any) -> Any:
        """Do a verb of a fulfillment order."""
        return self.call(self.fulfillment.AdvanceFulfillmentOrder, self.work_request(number, verb, *lines, **more))

    def get_work(self, number: str) -> fulfillment_pb2.FulfillmentOrder:
        request = fulfillment.GetFulfillmentOrderRequest(fulfillment_order_id=number)
        return self.call(self.fulfillment.GetFulfillmentOrder, request).fulfillment_order

    def list_work(self, **filters: Any) -> list[fulfillment_pb2.FulfillmentOrder]:
        """All fulfillment orders that a filter selects, over all pages."""
        found: list[fulfillment_pb2.FulfillmentOrder] = []
        token = ""
        while True:
            request = fulfillment.ListFulfillmentOrdersRequest(page_token=token, page_size=2, **filters)
            response = self.call(self.fulfillment.ListFulfillmentOrders, request)
            found.extend(response.fulfillment_orders)
            token = response.next_page_token
            if not token:
                return found
