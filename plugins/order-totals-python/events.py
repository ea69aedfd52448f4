"""The events that a handler receives, as types for editors and type checkers.

They are the events of AWS Lambda for Amazon MQ, one of RabbitMQ and one of ActiveMQ. At run time
they are plain dictionaries.
"""

from typing import Literal, TypedDict, Union, final

HeaderValue = Union[
    "HeaderText",
    bool,
    int,
    float,
    list[int],
    str,
    None,
    list["HeaderValue"],
    dict[str, "HeaderValue"],
]
"""A value in the headers of a message.

A list of numbers is a byte array, as signed bytes (-128 to 127), or a list whose values are
numbers; a string is a time, written as in `BasicProperties.timestamp`.
"""


class HeaderText(TypedDict):
    """A text in the headers: its UTF-8 as signed bytes (-128 to 127)."""

    bytes: list[int]


class BasicProperties(TypedDict):
    """The properties of AMQP 0-9-1; what a message does not have is None."""

    contentType: str | None
    contentEncoding: str | None
    headers: dict[str, HeaderValue] | None
    deliveryMode: int | None
    """1: may be lost when the broker stops; 2: persistent."""
    priority: int | None
    correlationId: str | None
    replyTo: str | None
    expiration: str | None
    """Milliseconds, in digits."""
    messageId: str | None
    timestamp: str | None
    """In UTC, such as `Jul 2, 2023, 1:30:34 AM`."""
    type: str | None
    userId: str | None
    appId: str | None
    clusterId: str | None
    bodySize: int | None
    """Bytes of the body."""


class RabbitRecord(TypedDict):
    """A message from RabbitMQ."""

    basicProperties: BasicProperties
    redelivered: bool
    """Whether it may have been delivered before."""
    data: str
    """The body in base64."""


@final
class RabbitEvent(TypedDict):
    """A batch from RabbitMQ."""

    eventSource: Literal["aws:rmq"]
    eventSourceArn: str
    rmqMessagesByQueue: dict[str, list[RabbitRecord]]
    """Records in the order of their queue, under `queue::virtual-host`."""


class Destination(TypedDict):
    """The queue that a message from ActiveMQ was in."""

    physicalName: str


class ActiveRecordBase(TypedDict):
    """What both spellings of a message from ActiveMQ share."""

    messageID: str
    messageType: Literal["jms/text-message", "jms/bytes-message"]
    deliveryMode: int
    priority: int
    redelivered: bool
    destination: Destination
    data: str
    """The body in base64; a text is in UTF-8."""
    timestamp: int
    """Milliseconds since 1970 (UTC), as are the next two."""
    brokerInTime: int
    brokerOutTime: int
    properties: dict[str, str]
    """JMS properties in the form of strings."""


class DocumentedRecord(ActiveRecordBase):
    """As the guide of AWS Lambda prints it: what is absent is None."""

    correlationId: str | None
    replyTo: str | None
    type: str | None
    expiration: str
    """Milliseconds, in digits."""


class ObservedRecord(ActiveRecordBase):
    """As the service has been seen to send it."""

    correlationID: str
    """Empty when absent."""
    replyTo: str
    """The word `null` when absent."""
    type: str
    """Empty when absent."""
    expiration: int
    """Milliseconds."""


ActiveRecord = DocumentedRecord | ObservedRecord
"""In one of the two spellings that a broker's `event_profile` chooses."""


@final
class ActiveEvent(TypedDict):
    """A batch from ActiveMQ."""

    eventSource: Literal["aws:mq"]
    eventSourceArn: str
    messages: list[ActiveRecord]
    """In the order of the queue."""


Event = RabbitEvent | ActiveEvent
"""The event of one batch. Which of the two it is shows in the key that holds the records."""
