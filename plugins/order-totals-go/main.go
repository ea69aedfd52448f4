// A Gristmill handler that sums the orders of a batch.
//
// It is a command: the event comes on standard input, the response goes to standard output, and what
// it says for the log to standard error. Exit code 1 is a failed batch, with the reason in the log.
//
// A batch is either summed whole or fails whole: no order may be left out in silence. Money is
// counted in integer cents, and a sum that does not fit is an error: a total is exact or there is
// none.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"sort"
	"unicode/utf8"
)

// The largest integer that every JSON number carries exactly (RFC 8259, section 6).
const countMax = 1<<53 - 1

// Order is a message's body, such as
// {"id": 17, "items": [{"sku": "A-1", "quantity": 2, "price_cents": 1250}]}.
type Order struct {
	// Pointers tell what is missing from what is empty or 0.
	Items *[]Item `json:"items"`
}

// Item is one line of an order.
type Item struct {
	Quantity   *uint64 `json:"quantity"`
	PriceCents *uint64 `json:"price_cents"`
}

// Totals are what the orders of one batch come to, and the response.
type Totals struct {
	Orders uint64 `json:"orders"`
	// Pieces ordered: the sum of all quantities.
	Items      uint64 `json:"items"`
	TotalCents uint64 `json:"total_cents"`
}

func main() {
	if err := run(os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout, stderr io.Writer) error {
	event, err := io.ReadAll(stdin)
	if err != nil {
		return fmt.Errorf("cannot read the event: %w", err)
	}
	totals, err := sum(event)
	if err != nil {
		return err
	}
	response, err := json.Marshal(totals)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%d orders, %d items, total %d.%02d\n",
		totals.Orders, totals.Items, totals.TotalCents/100, totals.TotalCents%100)
	_, err = stdout.Write(response)
	return err
}

// message is a record with its place, which errors name.
type message struct {
	position int
	queue    string
	id       *string
	data     string
}

// Sums the orders of an event, queue by queue and record by record.
func sum(event []byte) (Totals, error) {
	var totals Totals
	messages, err := readEvent(event)
	if err != nil {
		return totals, fmt.Errorf("the event is not one of RabbitMQ or ActiveMQ messages: %w", err)
	}
	for _, message := range messages {
		if err := totals.add(message.data); err != nil {
			id := "none"
			if message.id != nil {
				id = *message.id
			}
			return totals, fmt.Errorf("record %d of %s (message id %s): %w",
				message.position, message.queue, id, err)
		}
	}
	return totals, nil
}

// The records of an event in their order; queues are taken in the byte order of their keys.
func readEvent(text []byte) ([]message, error) {
	var event Event
	if err := json.Unmarshal(text, &event); err != nil {
		return nil, err
	}
	if event.MessagesByQueue != nil {
		return rabbitMessages(*event.MessagesByQueue)
	}
	if event.Messages != nil {
		return activeMessages(*event.Messages)
	}
	return nil, errors.New("it has neither rmqMessagesByQueue nor messages")
}

func rabbitMessages(recordsByQueue map[string]*[]RabbitRecord) ([]message, error) {
	var queues []string
	for queue := range recordsByQueue {
		queues = append(queues, queue)
	}
	sort.Strings(queues)
	var messages []message
	for _, queue := range queues {
		records := recordsByQueue[queue]
		if records == nil {
			return nil, fmt.Errorf("%s is not a list", queue)
		}
		for position, record := range *records {
			if record.BasicProperties == nil || record.Data == nil {
				return nil, fmt.Errorf("record %d of %s is not a message", position, queue)
			}
			id := record.BasicProperties.MessageID
			messages = append(messages, message{position, queue, id, *record.Data})
		}
	}
	return messages, nil
}

func activeMessages(records []ActiveRecord) ([]message, error) {
	var messages []message
	for position, record := range records {
		queue := record.Destination.PhysicalName
		if record.MessageID == nil || queue == nil || record.Data == nil {
			return nil, fmt.Errorf("record %d is not a message", position)
		}
		messages = append(messages, message{position, *queue, record.MessageID, *record.Data})
	}
	return messages, nil
}

// Adds the order that is the body of a message.
func (totals *Totals) add(data string) error {
	body, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return fmt.Errorf("its data is not base64: %w", err)
	}
	order, err := readOrder(body)
	if err != nil {
		return fmt.Errorf("its body is not an order: %w", err)
	}
	for _, item := range *order.Items {
		if !totals.addItem(*item.Quantity, *item.PriceCents) {
			return errors.New("the sum with this order does not fit into 64 bits")
		}
	}
	totals.Orders++
	return nil
}

// Reads an order, of which nothing is nil.
func readOrder(body []byte) (Order, error) {
	var order Order
	if !utf8.Valid(body) {
		// encoding/json would put U+FFFD in place of what is wrong.
		return order, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(body, &order); err != nil {
		return order, err
	}
	if order.Items == nil {
		return order, errors.New("it has no list of items")
	}
	for _, item := range *order.Items {
		for _, count := range []*uint64{item.Quantity, item.PriceCents} {
			if count == nil || *count > countMax {
				return order, errors.New(
					"an item's quantity or price_cents is not a whole number from 0 to 2^53 - 1")
			}
		}
	}
	return order, nil
}

// Adds an item, unless a sum does not fit.
func (totals *Totals) addItem(quantity, price uint64) bool {
	overflow, cents := bits.Mul64(quantity, price)
	items, itemsCarry := bits.Add64(totals.Items, quantity, 0)
	total, totalCarry := bits.Add64(totals.TotalCents, cents, 0)
	totals.Items, totals.TotalCents = items, total
	return overflow == 0 && itemsCarry == 0 && totalCarry == 0
}
