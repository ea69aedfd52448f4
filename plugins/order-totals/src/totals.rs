//! From the event of a batch of orders to their totals: pure, and tested without WebAssembly.
//!
//! Money is counted in integer cents, and a sum that does not fit is an error: a total is exact or
//! there is none.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

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

/// The part of a RabbitMQ event that is read here; everything else in it is skipped.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "rmqMessagesByQueue")]
    records_by_queue: BTreeMap<String, Vec<Record>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    basic_properties: BasicProperties,
    /// The message's body in base64.
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BasicProperties {
    message_id: Option<String>,
}

/// A message's body: `{"id": 17, "items": [{"sku": "A-1", "quantity": 2, "price_cents": 1250}]}`.
#[derive(Deserialize)]
struct Order {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    quantity: u64,
    /// The price of one piece.
    price_cents: u64,
}

/// Sums the orders of `event`, queue by queue and record by record.
///
/// # Errors
///
/// Says what is wrong when `event` is not a RabbitMQ event, when a message is not an order, or when
/// a sum does not fit into 64 bits; for a message also which one, by its place in the queue's list
/// (the first is 0) and its message id.
pub fn sum(event: &str) -> Result<Totals, String> {
    let event: Event = serde_json::from_str(event)
        .map_err(|error| format!("the event is not one of RabbitMQ messages: {error}"))?;
    let mut totals = Totals::default();
    for (queue, records) in &event.records_by_queue {
        for (position, record) in records.iter().enumerate() {
            totals.add(record).map_err(|error| {
                let id = record.basic_properties.message_id.as_deref().unwrap_or("none");
                format!("record {position} of {queue} (message id {id}): {error}")
            })?;
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

    fn add(&mut self, record: &Record) -> Result<(), String> {
        let body = STANDARD
            .decode(&record.data)
            .map_err(|error| format!("its data is not base64: {error}"))?;
        let order: Order = serde_json::from_slice(&body)
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
    fn data_that_is_not_base64_is_named() {
        let bad = json!({ "basicProperties": { "messageId": null }, "data": "?" });
        let error = sum(&event(json!({ "orders::/": [bad] }))).unwrap_err();
        assert!(error.starts_with("record 0 of orders::/ (message id none): its data"), "{error}");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error() {
        for (quantity, price_cents) in [(u64::MAX, 2), (1, u64::MAX)] {
            let one = record(None, &order(1, 1));
            let more = record(None, &order(quantity, price_cents));
            let error = sum(&event(json!({ "orders::/": [one, more] }))).unwrap_err();
            assert!(error.ends_with("does not fit into 64 bits"), "{error}");
        }
    }

    #[test]
    fn another_event_is_refused() {
        let error = sum(r#"{"eventSource": "aws:mq", "messages": []}"#).unwrap_err();
        assert!(error.contains("missing field `rmqMessagesByQueue`"), "{error}");
    }
}
