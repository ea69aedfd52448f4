// The events that a handler receives, as types for editors and for `npm run check`.
//
// They are the events of AWS Lambda for Amazon MQ, one of RabbitMQ and one of ActiveMQ. Nothing of
// this file reaches the component.

/** The event of one batch. Which of the two it is shows in the key that holds the records. */
export type Event = RabbitEvent | ActiveEvent;

/** A batch from RabbitMQ. */
export interface RabbitEvent {
  eventSource: "aws:rmq";
  eventSourceArn: string;
  /** Records in the order of their queue, under `queue::virtual-host`. */
  rmqMessagesByQueue: Record<string, RabbitRecord[]>;
}

/** A message from RabbitMQ. */
export interface RabbitRecord {
  basicProperties: BasicProperties;
  /** Whether it may have been delivered before. */
  redelivered: boolean;
  /** The body in base64. */
  data: string;
}

/** The properties of AMQP 0-9-1; what a message does not have is null. */
export interface BasicProperties {
  contentType: string | null;
  contentEncoding: string | null;
  headers: Record<string, HeaderValue> | null;
  /** 1: may be lost when the broker stops; 2: persistent. */
  deliveryMode: number | null;
  priority: number | null;
  correlationId: string | null;
  replyTo: string | null;
  /** Milliseconds, in digits. */
  expiration: string | null;
  messageId: string | null;
  /** In UTC, such as `Jul 2, 2023, 1:30:34 AM`. */
  timestamp: string | null;
  type: string | null;
  userId: string | null;
  appId: string | null;
  clusterId: string | null;
  /** Bytes of the body. */
  bodySize: number | null;
}

/**
 * A value in the headers of a message.
 *
 * A text is `{ bytes: [...] }`, its UTF-8 as signed bytes (-128 to 127); a list of numbers is a byte
 * array, or a list whose values are numbers; a string is a time, written as in `timestamp`.
 */
export type HeaderValue =
  | { bytes: number[] }
  | boolean
  | number
  | number[]
  | string
  | null
  | HeaderValue[]
  | { [name: string]: HeaderValue };

/** A batch from ActiveMQ. */
export interface ActiveEvent {
  eventSource: "aws:mq";
  eventSourceArn: string;
  /** In the order of the queue. */
  messages: ActiveRecord[];
}

/** A message from ActiveMQ, in one of the two spellings that a broker's `event_profile` chooses. */
export type ActiveRecord = DocumentedRecord | ObservedRecord;

/** What both spellings share. */
export interface ActiveRecordBase {
  messageID: string;
  messageType: "jms/text-message" | "jms/bytes-message";
  deliveryMode: number;
  priority: number;
  redelivered: boolean;
  destination: { physicalName: string };
  /** The body in base64; a text is in UTF-8. */
  data: string;
  /** Milliseconds since 1970 (UTC), as are the next two. */
  timestamp: number;
  brokerInTime: number;
  brokerOutTime: number;
  /** JMS properties in the form of strings. */
  properties: Record<string, string>;
}

/** As the guide of AWS Lambda prints it: what is absent is null. */
export interface DocumentedRecord extends ActiveRecordBase {
  correlationId: string | null;
  replyTo: string | null;
  type: string | null;
  /** Milliseconds, in digits. */
  expiration: string;
}

/** As the service has been seen to send it. */
export interface ObservedRecord extends ActiveRecordBase {
  /** Empty when absent. */
  correlationID: string;
  /** The word `null` when absent. */
  replyTo: string;
  /** Empty when absent. */
  type: string;
  /** Milliseconds. */
  expiration: number;
}
