//! Events of both shapes around orders, with every field that a broker's event has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A message: its id, if it has one, and its body, or data that is no body's.
#[derive(Debug, Clone)]
pub(super) struct Record<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) body: Vec<u8>,
    pub(super) data: Option<&'a str>,
}

impl Record<'_> {
    pub(super) fn of(body: &str) -> Self {
        Self { id: None, body: body.as_bytes().to_vec(), data: None }
    }

    fn data(&self) -> String {
        self.data.map_or_else(|| STANDARD.encode(&self.body), str::to_owned)
    }
}

/// An order of items with these quantities and prices, and with what nobody reads.
pub(super) fn order(items: &[(u64, u64)]) -> String {
    let item = |(quantity, price_cents): &(u64, u64)| json!({ "sku": "Ä-1 \u{1f980}", "quantity": quantity, "price_cents": price_cents });
    let items: Vec<_> = items.iter().map(item).collect();
    json!({ "id": 17, "customer": { "name": "Zoë \"Z\"" }, "items": items }).to_string()
}

/// An event from RabbitMQ with these queues, by their keys.
pub(super) fn rabbit(queues: &[(&str, Vec<Record<'_>>)]) -> String {
    let record = |record: &Record<'_>| {
        json!({
            "basicProperties": {
                "contentType": "application/json", "contentEncoding": null,
                "headers": {
                    "text": { "bytes": [-61, -92] }, "flag": true, "try": 1, "share": 0.5,
                    "raw": [1, -1], "at": "Jul 2, 2023, 1:30:34 AM", "none": null,
                    "table": { "list": [{ "bytes": [97] }, [], {}] },
                },
                "deliveryMode": 2, "priority": null, "correlationId": null, "replyTo": null,
                "expiration": "60000", "messageId": record.id,
                "timestamp": "Jul 2, 2023, 1:30:34 AM", "type": null, "userId": null,
                "appId": null, "clusterId": null, "bodySize": record.body.len(),
            },
            "redelivered": false,
            "data": record.data(),
        })
    };
    let queues: Map<String, Value> = queues
        .iter()
        .map(|(key, records)| ((*key).to_owned(), records.iter().map(record).collect()))
        .collect();
    json!({
        "eventSource": "aws:rmq",
        "eventSourceArn": "arn:aws:mq:us-east-1:111122223333:broker:shop:b-1",
        "rmqMessagesByQueue": queues,
    })
    .to_string()
}

/// An event from ActiveMQ, spelled as documented or as observed. Its messages have the ids `ID:1`
/// if they have no other.
fn active(queue: &str, records: &[Record<'_>], is_documented: bool) -> String {
    let record = |record: &Record<'_>| {
        let mut value = json!({
            "messageID": record.id.unwrap_or("ID:1"), "messageType": "jms/text-message",
            "deliveryMode": 1, "priority": 4, "redelivered": false,
            "destination": { "physicalName": queue }, "data": record.data(),
            "timestamp": 1_598_827_811_958_i64, "brokerInTime": 1_598_827_811_958_i64,
            "brokerOutTime": 1_598_827_811_959_i64, "properties": { "index": "1" },
            "replyTo": null, "type": null, "expiration": "60000",
        });
        if is_documented {
            value["correlationId"] = Value::Null;
        } else {
            value["correlationID"] = "".into();
            value["replyTo"] = "null".into();
            value["type"] = "".into();
            value["expiration"] = 0.into();
        }
        value
    };
    json!({
        "eventSource": "aws:mq",
        "eventSourceArn": "arn:aws:mq:us-west-2:111122223333:broker:test:b-1",
        "messages": records.iter().map(record).collect::<Vec<_>>(),
    })
    .to_string()
}

/// Events of the same messages: from RabbitMQ, and from ActiveMQ in both spellings.
pub(super) fn both_shapes(queue: &str, records: &[Record<'_>]) -> [String; 3] {
    [
        rabbit(&[(&format!("{queue}::/"), records.to_vec())]),
        active(queue, records, true),
        active(queue, records, false),
    ]
}

/// The quantities and prices of one order's items.
type Items = Vec<(u64, u64)>;

/// Orders by the keys of their queues.
#[derive(Debug)]
pub(super) struct Batch(Vec<(String, Vec<Items>)>);

/// Any batch whose sums fit.
pub(super) fn generated() -> impl Strategy<Value = Batch> {
    // At most 3 × 5 × 4 items: 60 × (2^53 - 1) and 60 × 2^32 × 2^26 fit into 64 bits.
    let item = prop_oneof![
        (0..=3_u64, 0..=10_000_u64),
        (0..=u64::from(u32::MAX), 0..=1_u64 << 26),
        (0..=(1_u64 << 53) - 1, 0..=1_u64),
        (0..=1_u64, 0..=(1_u64 << 53) - 1),
    ];
    let queue = ("\\PC{0,8}", vec(vec(item, 0..=4), 0..=5));
    vec(queue, 0..=3).prop_map(|mut queues| {
        queues.sort();
        queues.dedup_by(|a, b| a.0 == b.0);
        Batch(queues)
    })
}

impl Batch {
    /// Orders, items and cents.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let orders = || self.0.iter().flat_map(|(_, orders)| orders);
        let items = || orders().flatten();
        let count = u64::try_from(orders().count()).unwrap();
        (
            count,
            items().map(|(quantity, _)| quantity).sum(),
            items().map(|(quantity, price)| quantity * price).sum(),
        )
    }

    /// The batch as one event from RabbitMQ, and as one from ActiveMQ for each queue put together.
    pub(super) fn events(&self) -> [String; 3] {
        let records = |orders: &[Items]| -> Vec<Record<'_>> {
            orders.iter().map(|items| Record::of(&order(items))).collect()
        };
        let queues: Vec<_> =
            self.0.iter().map(|(key, orders)| (key.as_str(), records(orders))).collect();
        let all: Vec<_> = queues.iter().flat_map(|(_, records)| records.clone()).collect();
        [rabbit(&queues), active("orders", &all, true), active("orders", &all, false)]
    }
}
