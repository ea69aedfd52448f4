//! From the event of a batch of orders to their totals: pure, and tested without WebAssembly.
//!
//! Money is counted in integer cents, and a sum that does not fit is an error: a total is exact or
//! there is none.

use std::collections::BTreeMap;
use std::fmt;

use gristmill_handler::{Event, Record};
use serde::{Deserialize, Deserializer, de};

/// What the orders of one batch come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Orders in the batch.
    pub orders: u64,
    /// Pieces ordered: the sum of all quantities.
    pub items: u64,
    /// Their price in cents.
    pub total_cents: u64,
}

/// A message's body: `{"id": 17, "items": [{"sku": "A-1", "quantity": 2, "price_cents": 1250}]}`.
#[derive(Deserialize)]
struct Order {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(deserialize_with = "exact")]
    quantity: u64,
    /// The price of one piece.
    #[serde(deserialize_with = "exact")]
    price_cents: u64,
}

/// The largest integer that every reader of JSON has exactly (RFC 8259, section 6).
const EXACT_MAX: u64 = (1 << 53) - 1;

fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number > EXACT_MAX {
        let found = de::Unexpected::Unsigned(number);
        return Err(de::Error::invalid_value(found, &"an integer from 0 to 9007199254740991"));
    }
    Ok(number)
}

/// Sums the orders of `event`, record by record.
///
/// # Errors
///
/// Says what is wrong when `event` is not one of messages, when a message is not an order, or when a
/// sum does not fit into 64 bits; for a message also which one, by its place in the queue's list (the
/// first is 0) and its message id.
pub fn sum(event: &str) -> Result<Totals, String> {
    let event = Event::parse(event).map_err(|error| error.to_string())?;
    let mut totals = Totals::default();
    match &event {
        // Queues are a JSON object, whose order means nothing; which error comes first should not
        // depend on it.
        Event::RabbitMq(_) => {
            let mut queues = BTreeMap::<&str, Vec<Record<'_>>>::new();
            for record in event.records() {
                queues.entry(record.queue()).or_default().push(record);
            }
            queues.values().flatten().try_for_each(|record| totals.add_record(record))?;
        }
        Event::ActiveMq(_) => {
            event.records().try_for_each(|record| totals.add_record(&record))?;
        }
    }
    Ok(totals)
}

impl Totals {
    /// The totals as a JSON object.
    pub fn to_json(&self) -> String {
        let Self { orders, items, total_cents } = self;
        format!(r#"{{"orders":{orders},"items":{items},"total_cents":{total_cents}}}"#)
    }

    fn add_record(&mut self, record: &Record<'_>) -> Result<(), String> {
        let body = record.data().map_err(|error| error.to_string())?;
        self.add_order(&body).map_err(|error| format!("{record}: {error}"))
    }

    fn add_order(&mut self, body: &[u8]) -> Result<(), String> {
        let order: Order = serde_json::from_slice(body)
            .map_err(|error| format!("its body is not an order: {error}"))?;
        for item in &order.items {
            self.add_item(item).ok_or("the sum with this order does not fit into 64 bits")?;
        }
        self.orders += 1;
        Ok(())
    }

    fn add_item(&mut self, item: &Item) -> Option<()> {
        let cents = item.quantity.checked_mul(item.price_cents)?;
        self.items = self.items.checked_add(item.quantity)?;
        self.total_cents = self.total_cents.checked_add(cents)?;
        Some(())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, items, total_cents } = self;
        let (units, cents) = (total_cents / 100, total_cents % 100);
        write!(f, "{orders} orders, {items} items, total {units}.{cents:02}")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;

    fn event(records_by_queue: Value) -> String {
        json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": records_by_queue }).to_string()
    }

    fn record(message_id: Option<&str>, body: &str) -> Value {
        json!({
            "basicProperties": { "messageId": message_id, "priority": null },
            "redelivered": false,
            "data": STANDARD.encode(body),
        })
    }

    fn activemq_event(bodies: &[&str]) -> String {
        let message = |(number, body): (usize, &&str)| {
            json!({
                "messageID": format!("ID:{number}"),
                "messageType": "jms/text-message",
                "destination": { "physicalName": "orders" },
                "data": STANDARD.encode(body),
            })
        };
        let messages: Vec<Value> = bodies.iter().enumerate().map(message).collect();
        json!({ "eventSource": "aws:mq", "messages": messages }).to_string()
    }

    fn order(quantity: u64, price_cents: u64) -> String {
        let items = json!([{ "sku": "A-1", "quantity": quantity, "price_cents": price_cents }]);
        json!({ "id": 17, "customer": "Ada", "items": items }).to_string()
    }

    #[test]
    fn orders_of_all_queues_are_summed() {
        let event = event(json!({
            "orders::/": [record(None, &order(2, 1250)), record(None, &order(1, 5))],
            "late::/": [record(None, r#"{"id": 18, "customer": "Bo", "items": []}"#)],
        }));
        let totals = sum(&event).unwrap();
        assert_eq!(totals, Totals { orders: 3, items: 3, total_cents: 2505 });
        assert_eq!(totals.to_string(), "3 orders, 3 items, total 25.05");
        assert_eq!(totals.to_json(), r#"{"orders":3,"items":3,"total_cents":2505}"#);
    }

    #[test]
    fn orders_from_activemq_are_summed() {
        let totals = sum(&activemq_event(&[&order(2, 1250), &order(1, 5)])).unwrap();
        assert_eq!(totals, Totals { orders: 2, items: 3, total_cents: 2505 });
        let error = sum(&activemq_event(&[&order(1, 1), "no order"])).unwrap_err();
        let start = "record 1 of orders (message id ID:1): its body is not an order: ";
        assert!(error.starts_with(start), "{error}");
    }

    #[test]
    fn the_sample_event_has_one_order() {
        let totals = sum(include_str!("../event.json")).unwrap();
        assert_eq!(totals, Totals { orders: 1, items: 3, total_cents: 2505 });
    }

    #[test]
    fn a_malformed_order_is_named() {
        let good = record(Some("m-0"), &order(1, 1));
        let bad = record(Some("m-1"), r#"{"id": 1, "items": [{"quantity": -1}]}"#);
        let error = sum(&event(json!({ "orders::/": [good, bad] }))).unwrap_err();
        assert!(error.starts_with("record 1 of orders::/ (message id m-1): "), "{error}");
        assert!(error.contains("its body is not an order: invalid value: integer `-1`"), "{error}");
    }

    #[test]
    fn the_first_error_is_that_of_the_first_queue_by_name() {
        let event = r#"{"rmqMessagesByQueue":{"b::/":[{"data":"?"}],"a::/":[{"data":"!"}]}}"#;
        assert!(sum(event).unwrap_err().starts_with("record 0 of a::/ "));
    }

    #[test]
    fn a_number_that_json_does_not_carry_exactly_is_none_of_an_order() {
        let largest = (1 << 53) - 1;
        let totals = sum(&event(json!({ "q::/": [record(None, &order(1, largest))] }))).unwrap();
        assert_eq!(totals.total_cents, largest);
        let half = order(1, 1).replace(r#""quantity":1"#, r#""quantity":0.5"#);
        for body in [order(largest + 1, 1), order(1, u64::MAX), half] {
            let error = sum(&event(json!({ "q::/": [record(None, &body)] }))).unwrap_err();
            assert!(error.contains("its body is not an order: invalid "), "{error}");
        }
    }

    #[test]
    fn data_that_is_not_base64_is_named() {
        let bad = json!({ "basicProperties": { "messageId": null }, "data": "?" });
        let error = sum(&event(json!({ "orders::/": [bad] }))).unwrap_err();
        let start = "record 0 of orders::/ (message id none): its data is not base64: ";
        assert!(error.starts_with(start), "{error}");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error() {
        let largest = (1 << 53) - 1;
        let totals =
            sum(&event(json!({ "q::/": [record(None, &order(2_048, largest))] }))).unwrap();
        assert_eq!(totals.total_cents, u64::MAX - 2_047);
        for (quantity, price_cents) in [(2_049, largest), (largest, largest)] {
            let one = record(None, &order(1, 1));
            let more = record(None, &order(quantity, price_cents));
            let error = sum(&event(json!({ "orders::/": [one, more] }))).unwrap_err();
            let expected = "record 1 of orders::/ (message id none): the sum with this order does not \
                            fit into 64 bits";
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn another_event_is_refused() {
        for event in ["{}", "", r#"{"eventSource":"aws:sqs","Records":[]}"#, r#"{"messages":[{}]}"#]
        {
            let error = sum(event).unwrap_err();
            let start = "the event is not one of RabbitMQ or ActiveMQ messages";
            assert!(error.starts_with(start), "{error}");
        }
    }
}
