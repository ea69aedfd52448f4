//! What an event costs against the least it could cost: the base64 of the same bodies.
//!
//! One batch of 100 messages of 1 KB with ordinary properties and a few headers. Encoding it should
//! reach 0.6 of the speed of plain base64, which is measured in the same run.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_event::{
    BasicProperties, Envelope, HeaderInteger, HeaderValue, Message, RabbitMqMessage,
};

const BATCH: u8 = 100;
const BODY_BYTES: usize = 1024;

fn message(number: u8) -> Message {
    let trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = vec![
        ("traceparent".to_owned(), HeaderValue::LongString(trace.to_vec())),
        ("tenant".to_owned(), HeaderValue::LongString(b"pizza".to_vec())),
        ("attempt".to_owned(), HeaderValue::Integer(HeaderInteger::I32(1))),
    ];
    let properties = BasicProperties {
        content_type: Some("application/json".to_owned()),
        headers: Some(headers),
        delivery_mode: Some(2),
        message_id: Some(format!("order-{number}")),
        timestamp: Some(1_688_261_434),
        ..BasicProperties::default()
    };
    let body = (0..=u8::MAX).cycle().map(|byte| byte ^ number).take(BODY_BYTES).collect();
    RabbitMqMessage { properties, redelivered: false, body }.into()
}

fn encode(criterion: &mut Criterion) {
    let messages: Vec<Message> = (0..BATCH).map(message).collect();
    let envelope = Envelope::rabbitmq("arn:aws:mq:eu-west-1:1:broker:pizza:b-1", "orders", "/");
    let record_bytes = |message: &Message| envelope.record_bytes(message);
    let records_bytes = messages.iter().map(record_bytes).sum();
    let event_bytes = envelope.event_bytes(messages.len(), records_bytes);

    let mut group = criterion.benchmark_group("batch");
    let body_bytes = messages.iter().map(|message| message.body().len() as u64).sum();
    group.throughput(Throughput::Bytes(body_bytes));
    group.bench_function("plain_base64", |bencher| {
        bencher.iter(|| {
            for message in &messages {
                black_box(STANDARD.encode(black_box(message.body())));
            }
        });
    });
    group.bench_function("event", |bencher| {
        bencher.iter(|| envelope.encode(black_box(&messages), event_bytes));
    });
    group.bench_function("record_bytes", |bencher| {
        bencher.iter(|| black_box(&messages).iter().map(record_bytes).sum::<usize>());
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
