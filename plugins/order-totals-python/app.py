"""A Gristmill handler that sums the orders of a batch.

A batch is either summed whole or fails whole: no order may be left out in silence. Money is counted
in integer cents, and a sum that does not fit is an error: a total is exact or there is none.
"""

import base64
import json
from typing import Any, NamedTuple, NoReturn, TypedDict, TypeVar, cast

import wit_world
from componentize_py_types import Err

from events import ActiveRecord, Event, RabbitRecord

COUNT_MAX = 2**53 - 1
"""The largest integer that every JSON number carries exactly (RFC 8259, section 6)."""

SUM_MAX = 2**64 - 1

NESTING_MAX = 500

NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

T = TypeVar("T")


class Item(TypedDict):
    quantity: int
    price_cents: int


class Order(TypedDict):
    """A message's body.

    Such as `{"id": 17, "items": [{"sku": "A-1", "quantity": 2, "price_cents": 1250}]}`.
    """

    items: list[Item]


class Message(NamedTuple):
    """A record with its place, which errors name."""

    position: int
    queue: str
    id: str | None
    data: str


class Totals(NamedTuple):
    """What the orders of one batch come to."""

    orders: int
    items: int
    cents: int


class WitWorld(wit_world.WitWorld):
    def handle_batch(self, event: str) -> str | None:
        """Handles one batch: what the host calls.

        An `Err` is the reason why the batch failed; any other exception would be a trap, which ends
        the instance.
        """
        try:
            orders, items, cents = sum_orders(event)
        except ValueError as error:
            # JSON can escape half a character, which no text that leaves here may contain.
            raise Err(str(error).encode("utf-8", "replace").decode("utf-8")) from None
        print(f"{orders} orders, {items} items, total {cents // 100}.{cents % 100:02}", flush=True)
        return f'{{"orders":{orders},"items":{items},"total_cents":{cents}}}'


def sum_orders(event: str) -> Totals:
    """Sums the orders of an event, queue by queue and record by record.

    Raises a ValueError that says what is wrong, for a message also with which one.
    """
    totals = Totals(0, 0, 0)
    for message in read_event(event):
        try:
            totals = add(totals, read_order(message.data))
        except ValueError as error:
            position, queue, message_id, _ = message
            known = "none" if message_id is None else message_id
            place = f"record {position} of {queue} (message id {known})"
            raise ValueError(f"{place}: {error}") from None
    return totals


def add(totals: Totals, order: Order) -> Totals:
    orders, items, cents = totals
    for item in order["items"]:
        items += item["quantity"]
        cents += item["quantity"] * item["price_cents"]
        if items > SUM_MAX or cents > SUM_MAX:
            raise ValueError("the sum with this order does not fit into 64 bits")
    return Totals(orders + 1, items, cents)


def read_event(text: str) -> list[Message]:
    """The records of an event in their order; queues are taken in the byte order of their keys."""
    try:
        event = cast(Event, parse_object(text))
        if "rmqMessagesByQueue" in event:
            queues = expect(dict, event["rmqMessagesByQueue"])
            return [
                rabbit_message(record, queue, position)
                # Texts compare by code points, which gives the order of their UTF-8 too.
                for queue, records in sorted(queues.items())
                for position, record in enumerate(expect(list, records))
            ]
        records = expect(list, event["messages"])
        return [active_message(record, position) for position, record in enumerate(records)]
    except (KeyError, TypeError, ValueError) as error:
        wrong = f"the event is not one of RabbitMQ or ActiveMQ messages: {describe(error)}"
        raise ValueError(wrong) from None


def rabbit_message(record: RabbitRecord, queue: str, position: int) -> Message:
    message_id = expect(dict, record["basicProperties"]).get("messageId")
    if message_id is not None:
        expect(str, message_id)
    return Message(position, queue, message_id, expect(str, record["data"]))


def active_message(record: ActiveRecord, position: int) -> Message:
    queue = expect(str, record["destination"]["physicalName"])
    return Message(position, queue, expect(str, record["messageID"]), expect(str, record["data"]))


def read_order(data: str) -> Order:
    """The order that is the body of a message."""
    try:
        body = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ValueError(f"its data is not base64: {error}") from None
    try:
        order = cast(Order, parse_object(body.decode("utf-8")))
        for item in expect(list, order["items"]):
            expect_count(item["quantity"])
            expect_count(item["price_cents"])
        return order
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its body is not an order: {describe(error)}") from None


def parse_object(text: str) -> dict[str, Any]:
    """The object that is a JSON text, or a ValueError, or a TypeError."""
    if is_nested_deeply(text):
        raise ValueError("it is nested too deeply")
    return expect(dict, json.loads(text, parse_constant=refuse_constant))


def is_nested_deeply(text: str) -> bool:
    """Whether more than `NESTING_MAX` brackets are open at once somewhere in a text.

    Python's parser recurses until the stack of WebAssembly ends, which would be a trap.
    """
    brackets = text.encode("utf-8", "replace").translate(None, NO_BRACKETS)
    for _ in range(NESTING_MAX):
        outer = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(outer) == len(brackets):
            # All that were closed are gone; the rest is what a text lacks that is no JSON.
            return len(brackets) > NESTING_MAX
        brackets = outer
    return len(brackets) > 0


def refuse_constant(name: str) -> NoReturn:
    """Python would read NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is not JSON")


def expect(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"found {type(value).__name__} instead of {kind.__name__}")
    return value


def expect_count(value: Any) -> None:
    # A bool is an int to Python.
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise ValueError("a number is not a whole one from 0 to 2^53 - 1")


def describe(error: Exception) -> str:
    """Says what an error is about; that of a missing key is nothing but the key."""
    return f"it has no key {error}" if isinstance(error, KeyError) else str(error)
