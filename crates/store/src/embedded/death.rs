//! What RabbitMQ says about a message that it moves to a dead-letter queue ("Dead Letter Exchanges").

use gristmill_event::{BasicProperties, HeaderInteger, HeaderTable, HeaderValue};

const DEATHS: &str = "x-death";

/// Why a message leaves its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    Rejected,
    Expired,
}

impl Death {
    fn as_str(self) -> &'static str {
        match self {
            Death::Rejected => "rejected",
            Death::Expired => "expired",
        }
    }
}

/// Notes a death in a message's headers. It no longer expires by itself, as that would lose it.
pub(super) fn died(properties: &mut BasicProperties, queue: &str, death: Death, now_s: u64) {
    let expiration = properties.expiration.take();
    let headers = properties.headers.get_or_insert_default();
    let mut deaths = match headers.iter_mut().find(|(name, _)| name == DEATHS) {
        Some((_, HeaderValue::Array(deaths))) => std::mem::take(deaths),
        _ => Vec::new(),
    };
    // One entry for each queue and reason; the latest stands first.
    let is_same = |value: &HeaderValue| {
        let HeaderValue::Table(table) = value else { return false };
        is_text(table, "queue", queue) && is_text(table, "reason", death.as_str())
    };
    let before = deaths.iter().position(is_same).map(|index| deaths.remove(index));
    deaths.insert(0, entry(before.as_ref(), queue, death, now_s, expiration));
    headers.retain(|(name, _)| name != DEATHS);
    headers.push((DEATHS.to_owned(), HeaderValue::Array(deaths)));
    for (what, said) in [("reason", death.as_str()), ("queue", queue), ("exchange", "")] {
        let (first, last) = (format!("x-first-death-{what}"), format!("x-last-death-{what}"));
        if !headers.iter().any(|(name, _)| *name == first) {
            headers.push((first, text(said)));
        }
        headers.retain(|(name, _)| *name != last);
        headers.push((last, text(said)));
    }
}

fn entry(
    before: Option<&HeaderValue>,
    queue: &str,
    death: Death,
    now_s: u64,
    expiration: Option<String>,
) -> HeaderValue {
    let count = before.and_then(count).unwrap_or(0).saturating_add(1);
    let mut table = vec![
        ("count".to_owned(), HeaderValue::Integer(HeaderInteger::I64(count))),
        ("reason".to_owned(), text(death.as_str())),
        ("queue".to_owned(), text(queue)),
        ("time".to_owned(), HeaderValue::Timestamp(now_s)),
        ("exchange".to_owned(), text("")),
        ("routing-keys".to_owned(), HeaderValue::Array(vec![text(queue)])),
    ];
    if let Some(expiration) = expiration {
        table.push(("original-expiration".to_owned(), text(&expiration)));
    }
    HeaderValue::Table(table)
}

fn count(entry: &HeaderValue) -> Option<i64> {
    let HeaderValue::Table(table) = entry else { return None };
    let (_, value) = table.iter().find(|(name, _)| name == "count")?;
    let HeaderValue::Integer(count) = value else { return None };
    Some(i64::from(*count))
}

fn is_text(table: &HeaderTable, name: &str, said: &str) -> bool {
    table.iter().any(|(given, value)| given == name && *value == text(said))
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::LongString(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(table: &'a HeaderTable, name: &str) -> &'a HeaderValue {
        &table.iter().find(|(given, _)| given == name).unwrap().1
    }

    /// How often, from which queue and why, the latest first.
    fn deaths(properties: &BasicProperties) -> Vec<(i64, HeaderValue, HeaderValue)> {
        let HeaderValue::Array(deaths) = field(properties.headers.as_ref().unwrap(), DEATHS) else {
            panic!("no list of deaths");
        };
        let one = |death: &HeaderValue| {
            let HeaderValue::Table(table) = death else { panic!("{death:?}") };
            let (queue, reason) = (field(table, "queue"), field(table, "reason"));
            (count(death).unwrap(), queue.clone(), reason.clone())
        };
        deaths.iter().map(one).collect()
    }

    #[test]
    fn each_queue_and_reason_is_counted_and_the_latest_stands_first() {
        let mut properties =
            BasicProperties { expiration: Some("50".to_owned()), ..BasicProperties::default() };
        died(&mut properties, "orders", Death::Expired, 1);
        assert_eq!(properties.expiration, None);
        died(&mut properties, "wait", Death::Rejected, 2);
        died(&mut properties, "orders", Death::Expired, 3);
        let expected = [(2, "orders", "expired"), (1, "wait", "rejected")];
        let expected = expected.map(|(count, queue, why)| (count, text(queue), text(why)));
        assert_eq!(deaths(&properties), expected);
        let headers = properties.headers.unwrap();
        assert_eq!(*field(&headers, "x-first-death-queue"), text("orders"));
        assert_eq!(*field(&headers, "x-last-death-reason"), text("expired"));
    }

    #[test]
    fn what_a_producer_wrote_there_is_no_list_of_ours() {
        let forged = vec![(DEATHS.to_owned(), text("never"))];
        let mut properties =
            BasicProperties { headers: Some(forged), ..BasicProperties::default() };
        died(&mut properties, "orders", Death::Rejected, 1);
        assert_eq!(deaths(&properties).len(), 1);
    }
}
