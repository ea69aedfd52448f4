// @ts-check
// A Gristmill handler that sums the orders of a batch.
//
// A batch is either summed whole or fails whole: no order may be left out in silence. Money is
// counted in integer cents, and a sum that does not fit is an error: a total is exact or there is
// none.

/** @import { Event, RabbitRecord, ActiveRecord } from "./events.d.ts" */

/**
 * The body of a message: `{"id": 17, "items": [{"sku": "A-1", "quantity": 2, "price_cents": 1250}]}`.
 *
 * @typedef {{ items: { quantity: number, price_cents: number }[] }} Order
 */

/**
 * A record with its place, which errors name: where it was in the list of which queue, and its id.
 *
 * @typedef {{ position: number, queue: string, id: string | null | undefined, data: string }} Message
 */

const SUM_MAX = 2n ** 64n - 1n;

/**
 * What the host calls. A string that is thrown here is the reason why the batch failed; an `Error`
 * would be a trap, which ends the instance.
 *
 * @param {string} event
 * @returns {string} the response
 */
export function handleBatch(event) {
  try {
    const { orders, items, totalCents } = sum(event);
    const [units, cents] = [totalCents / 100n, String(totalCents % 100n).padStart(2, "0")];
    console.log(`${orders} orders, ${items} items, total ${units}.${cents}`);
    return `{"orders":${orders},"items":${items},"total_cents":${totalCents}}`;
  } catch (error) {
    throw reason(error);
  }
}

/**
 * Sums the orders of an event, queue by queue and record by record.
 *
 * @param {string} event
 */
function sum(event) {
  let orders = 0;
  let [items, totalCents] = [0n, 0n];
  for (const message of messages(event)) {
    try {
      for (const item of order(message.data).items) {
        items += BigInt(item.quantity);
        totalCents += BigInt(item.quantity) * BigInt(item.price_cents);
        const fits = items <= SUM_MAX && totalCents <= SUM_MAX;
        check(fits, "the sum with this order does not fit into 64 bits");
      }
    } catch (error) {
      const { position, queue, id } = message;
      const place = `record ${position} of ${queue} (message id ${id ?? "none"})`;
      throw new Error(`${place}: ${reason(error)}`);
    }
    orders += 1;
  }
  return { orders, items, totalCents };
}

/**
 * The records of an event in their order; queues are taken in the byte order of their keys.
 *
 * @param {string} text
 * @returns {Message[]}
 */
function messages(text) {
  try {
    /** @type {Event} */
    const event = JSON.parse(text);
    check(isObject(event), "it is not an object");
    if ("rmqMessagesByQueue" in event) {
      const queues = event.rmqMessagesByQueue;
      check(isObject(queues), "rmqMessagesByQueue is not an object");
      return Object.entries(queues)
        .sort(([a], [b]) => compareBytes(a, b))
        .flatMap(([queue, records]) => list(records, queue).map((record, position) =>
          fromRabbit(record, queue, position)));
    }
    check("messages" in event, "it has neither rmqMessagesByQueue nor messages");
    return list(event.messages, "messages").map(fromActive);
  } catch (error) {
    throw new Error(`the event is not one of RabbitMQ or ActiveMQ messages: ${reason(error)}`);
  }
}

/**
 * @param {RabbitRecord} record
 * @param {string} queue
 * @param {number} position
 * @returns {Message}
 */
function fromRabbit(record, queue, position) {
  const id = record?.basicProperties?.messageId;
  check(isObject(record?.basicProperties) && (id == null || typeof id === "string")
    && typeof record.data === "string", `record ${position} of ${queue} is not a message`);
  return { position, queue, id, data: record.data };
}

/**
 * @param {ActiveRecord} record
 * @param {number} position
 * @returns {Message}
 */
function fromActive(record, position) {
  const [id, queue] = [record?.messageID, record?.destination?.physicalName];
  check([id, queue, record?.data].every((value) => typeof value === "string"),
    `record ${position} is not a message`);
  return { position, queue, id, data: record.data };
}

/**
 * The order that is the body of a message.
 *
 * @param {string} data
 * @returns {Order}
 */
function order(data) {
  const body = fromBase64(data);
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    /** @type {Order} */
    const order = JSON.parse(text);
    check(isObject(order) && Array.isArray(order.items), "it has no list of items");
    for (const item of order.items) {
      check(isCount(item?.quantity), "quantity is not a whole number from 0 to 2^53 - 1");
      check(isCount(item?.price_cents), "price_cents is not a whole number from 0 to 2^53 - 1");
    }
    return order;
  } catch (error) {
    throw new Error(`its body is not an order: ${reason(error)}`);
  }
}

/**
 * @param {string} data
 * @returns {Uint8Array}
 */
function fromBase64(data) {
  try {
    // White space would be skipped, which no event has.
    check(!/\s/.test(data), "it has white space");
    // Decoding by hand takes thirty times as long here, where JavaScript is interpreted. TypeScript
    // does not know the function yet.
    const bytes = /** @type {any} */ (Uint8Array);
    return bytes.fromBase64(data, { lastChunkHandling: "strict" });
  } catch (error) {
    throw new Error(`its data is not base64: ${reason(error)}`);
  }
}

/**
 * @template T
 * @param {T[]} value
 * @param {string} name
 */
function list(value, name) {
  check(Array.isArray(value), `${name} is not a list`);
  return value;
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {unknown} value */
function isCount(value) {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/**
 * Orders texts by their UTF-8. Comparing them with `<` goes by UTF-16, which differs past U+FFFF.
 *
 * @param {string} a
 * @param {string} b
 */
function compareBytes(a, b) {
  const [x, y] = [new TextEncoder().encode(a), new TextEncoder().encode(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    if (x[i] !== y[i]) {
      return x[i] - y[i];
    }
  }
  return x.length - y.length;
}

/**
 * @param {boolean} holds
 * @param {string} otherwise
 */
function check(holds, otherwise) {
  if (!holds) {
    throw new Error(otherwise);
  }
}

/** @param {unknown} error */
function reason(error) {
  return error instanceof Error ? error.message : String(error);
}
