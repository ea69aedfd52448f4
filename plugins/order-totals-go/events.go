package main

import "encoding/json"

// The events that a handler receives: those of AWS Lambda for Amazon MQ, one of RabbitMQ and one of
// ActiveMQ. Pointers are nil for what is null or absent.

// Event is the event of one batch. Which of the two it is shows in the field that holds the records.
type Event struct {
	EventSource    string `json:"eventSource"`
	EventSourceARN string `json:"eventSourceArn"`
	// From RabbitMQ: records in the order of their queue, under "queue::virtual-host".
	MessagesByQueue *map[string]*[]RabbitRecord `json:"rmqMessagesByQueue"`
	// From ActiveMQ: records in the order of the queue.
	Messages *[]ActiveRecord `json:"messages"`
}

// RabbitRecord is a message from RabbitMQ.
type RabbitRecord struct {
	BasicProperties *BasicProperties `json:"basicProperties"`
	// Whether it may have been delivered before.
	Redelivered bool `json:"redelivered"`
	// The body in base64.
	Data *string `json:"data"`
}

// BasicProperties are the properties of AMQP 0-9-1.
type BasicProperties struct {
	ContentType     *string `json:"contentType"`
	ContentEncoding *string `json:"contentEncoding"`
	// A text is {"bytes": [...]}, its UTF-8 as signed bytes; a list of numbers is a byte array, as
	// signed bytes, or a list of numbers; a string is a time, written as in Timestamp.
	Headers map[string]json.RawMessage `json:"headers"`
	// 1: may be lost when the broker stops; 2: persistent.
	DeliveryMode  *int    `json:"deliveryMode"`
	Priority      *int    `json:"priority"`
	CorrelationID *string `json:"correlationId"`
	ReplyTo       *string `json:"replyTo"`
	// Milliseconds, in digits.
	Expiration *string `json:"expiration"`
	MessageID  *string `json:"messageId"`
	// In UTC, such as "Jul 2, 2023, 1:30:34 AM".
	Timestamp *string `json:"timestamp"`
	Type      *string `json:"type"`
	UserID    *string `json:"userId"`
	AppID     *string `json:"appId"`
	ClusterID *string `json:"clusterId"`
	// Bytes of the body.
	BodySize *int64 `json:"bodySize"`
}

// ActiveRecord is a message from ActiveMQ, in either of the two spellings that a broker's
// event_profile chooses. encoding/json takes names in any case, so CorrelationID has both.
type ActiveRecord struct {
	MessageID *string `json:"messageID"`
	// "jms/text-message" or "jms/bytes-message".
	MessageType   string  `json:"messageType"`
	DeliveryMode  int     `json:"deliveryMode"`
	Priority      int     `json:"priority"`
	CorrelationID *string `json:"correlationId"`
	// Absent: null, or the word "null".
	ReplyTo *string `json:"replyTo"`
	// Absent: null or empty.
	Type *string `json:"type"`
	// Milliseconds, as a number or as digits in a string.
	Expiration  json.RawMessage `json:"expiration"`
	Redelivered bool            `json:"redelivered"`
	Destination struct {
		PhysicalName *string `json:"physicalName"`
	} `json:"destination"`
	// The body in base64; a text is in UTF-8.
	Data *string `json:"data"`
	// Milliseconds since 1970 (UTC), as are the next two.
	Timestamp     int64 `json:"timestamp"`
	BrokerInTime  int64 `json:"brokerInTime"`
	BrokerOutTime int64 `json:"brokerOutTime"`
	// JMS properties in the form of strings.
	Properties map[string]string `json:"properties"`
}
