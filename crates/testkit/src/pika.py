"""Publishes and reads messages with pika, for tests. Run as `pika.py publish|drain|peek`.

Standard input has one JSON object: url, queue and, for publish, messages. A message is an object
with a `body` (text, or a list of byte values) and optional `properties` with pika's names.
drain and peek print a JSON list of objects: body (a list of byte values), redelivered, properties.
"""

import json
import sys

import pika


def publish(channel, queue, messages):
    # A passive declare fails where publishing to a missing queue would silently drop the message,
    # and one transaction confirms all messages at once where confirms would wait for each.
    channel.queue_declare(queue, passive=True)
    channel.tx_select()
    for message in messages:
        body = message["body"]
        body = body.encode() if isinstance(body, str) else bytes(body)
        properties = pika.BasicProperties(**message.get("properties", {}))
        channel.basic_publish("", queue, body, properties)
    channel.tx_commit()


def read(channel, queue, settle):
    received = []
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return received
        if settle:
            channel.basic_ack(method.delivery_tag)
        properties = {name: value for name, value in vars(properties).items() if value is not None}
        received.append(
            {"body": list(body), "redelivered": method.redelivered, "properties": properties}
        )


def main():
    command = sys.argv[1]
    request = json.load(sys.stdin)
    connection = pika.BlockingConnection(pika.URLParameters(request["url"]))
    channel = connection.channel()
    if command == "publish":
        publish(channel, request["queue"], request["messages"])
    else:
        received = read(channel, request["queue"], settle=command == "drain")
        # Timestamps and decimals have no JSON form of their own.
        json.dump(received, sys.stdout, default=str)
    connection.close()


main()
