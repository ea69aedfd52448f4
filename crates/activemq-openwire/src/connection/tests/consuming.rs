//! Sessions, consumers, deliveries, settlements, pulls and sends.

use super::*;

fn ack(structure: Structure) -> MessageAck {
    let Structure::MessageAck(ack) = structure else { panic!("{structure:?}") };
    *ack
}

fn sequence(id: Option<&MessageId>) -> Option<i64> {
    id.map(|id| id.broker_sequence_id)
}

#[test]
fn deliveries_may_come_before_the_answer_to_the_consumer() {
    let mut simulation = Simulation::open();
    let (session, _) = simulation.connection.open_session().unwrap();
    let options = ConsumerOptions::new(Destination::queue("orders"), 1_000);
    let (consumer, request) = simulation.connection.open_consumer(session, &options).unwrap();
    let Some(Structure::ConsumerInfo(info)) = simulation.sent().pop() else { panic!() };
    assert_eq!(info.prefetch_size, 999, "brokers replace exactly 1,000");
    assert_eq!(info.consumer_id, Some(id_of(consumer)));
    simulation.broker_dispatches(consumer, 7);
    simulation.broker_answers(request.0);
    let Some(Event::Delivered(delivery)) = simulation.connection.poll_event() else { panic!() };
    assert_eq!((delivery.consumer, delivery.tag), (consumer, Tag(0)));
    let Some(Event::Answered(answered, Ok(()))) = simulation.connection.poll_event() else {
        panic!()
    };
    assert_eq!(answered, request);
}

#[test]
fn a_refused_consumer_is_gone_and_the_connection_stands() {
    for (class, kind) in [
        ("java.lang.SecurityException", RefusalKind::MissingRight),
        ("javax.jms.InvalidDestinationException", RefusalKind::UnknownDestination),
        ("jakarta.jms.InvalidSelectorException", RefusalKind::InvalidSelector),
        ("java.lang.IllegalStateException", RefusalKind::Other),
    ] {
        let mut simulation = Simulation::open();
        let (session, _) = simulation.connection.open_session().unwrap();
        let options = ConsumerOptions::new(Destination::queue("orders"), 5);
        let (consumer, request) = simulation.connection.open_consumer(session, &options).unwrap();
        simulation.broker_refuses(request.0, class);
        let Some(Event::Answered(_, Err(refusal))) = simulation.connection.poll_event() else {
            panic!()
        };
        assert_eq!(refusal.kind, kind);
        simulation.broker_dispatches(consumer, 1);
        assert!(simulation.connection.poll_event().is_none());
        assert!(simulation.connection.open_session().is_ok());
    }
}

#[test]
fn an_individual_ack_names_its_message_and_a_poison_ack_a_range_of_one() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    for sequence in 50..53 {
        simulation.broker_dispatches(consumer, sequence);
    }
    simulation.connection.settle(consumer, &Settlement::Individual(Tag(1))).unwrap();
    let individual = ack(simulation.sent_one());
    assert_eq!(individual.ack_type, 4);
    assert_eq!(individual.destination, Some(Destination::queue("orders")));
    assert_eq!(individual.first_message_id, None);
    assert_eq!(sequence(individual.last_message_id.as_ref()), Some(51));
    assert_eq!(individual.message_count, 1);

    let cause = Some("x".repeat(100_000));
    simulation.connection.settle(consumer, &Settlement::Poison { tag: Tag(2), cause }).unwrap();
    let poison = ack(simulation.sent_one());
    assert_eq!((poison.ack_type, poison.message_count), (1, 1));
    assert_eq!(poison.first_message_id, poison.last_message_id);
    assert_eq!(sequence(poison.last_message_id.as_ref()), Some(52));
    assert_eq!(poison.poison_cause.unwrap().message.unwrap().len(), 8_192);

    let again = simulation.connection.settle(consumer, &Settlement::Individual(Tag(1)));
    assert_eq!(again, Err(CommandError::NotUnsettled));
    assert_eq!(simulation.connection.unsettled(consumer), 1);
}

#[test]
fn a_range_counts_only_what_is_still_unsettled() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    for sequence in 50..55 {
        simulation.broker_dispatches(consumer, sequence);
    }
    simulation.connection.settle(consumer, &Settlement::Individual(Tag(1))).unwrap();
    simulation.sent();
    simulation.connection.settle(consumer, &Settlement::UpTo(Tag(3))).unwrap();
    let range = ack(simulation.sent_one());
    assert_eq!((range.ack_type, range.message_count), (2, 3));
    assert_eq!(sequence(range.first_message_id.as_ref()), Some(50));
    assert_eq!(sequence(range.last_message_id.as_ref()), Some(53));
    assert_eq!(simulation.connection.unsettled(consumer), 1);
}

#[test]
fn a_broker_that_floods_a_consumer_breaks_the_protocol() {
    let (mut simulation, consumer) = Simulation::consuming(2);
    for sequence in 0..4 {
        simulation.broker_dispatches(consumer, sequence);
    }
    assert!(!simulation.connection.is_closed());
    simulation.broker_dispatches(consumer, 4);
    let reason = CloseReason::Violated(Violation::PrefetchExceeded);
    assert_eq!(simulation.closed(), Some(reason));
}

#[test]
fn one_pull_brings_one_message_or_nothing() {
    let (mut simulation, consumer) = Simulation::consuming(0);
    simulation.connection.pull(consumer, PullTimeout::After(Duration::ZERO)).unwrap();
    let again = simulation.connection.pull(consumer, PullTimeout::Never);
    assert_eq!(again, Err(CommandError::PullPending));
    let Structure::MessagePull(pull) = simulation.sent_one() else { panic!() };
    assert_eq!(pull.timeout, 1, "0 would wait for ever");
    simulation.broker_says(nothing_for(consumer));
    let Some(Event::NothingThere(key)) = simulation.connection.poll_event() else { panic!() };
    assert_eq!(key, consumer);

    simulation.connection.pull(consumer, PullTimeout::Never).unwrap();
    simulation.broker_dispatches(consumer, 1);
    assert!(matches!(simulation.connection.poll_event(), Some(Event::Delivered(_))));
    simulation.broker_dispatches(consumer, 2);
    let reason = CloseReason::Violated(Violation::PrefetchExceeded);
    assert_eq!(simulation.closed(), Some(reason));
}

#[test]
fn a_refused_pull_finds_nothing() {
    let (mut simulation, consumer) = Simulation::consuming(0);
    let request = simulation.connection.pull(consumer, PullTimeout::Never).unwrap();
    simulation.broker_refuses(request.0, "java.lang.IllegalStateException");
    assert!(matches!(simulation.connection.poll_event(), Some(Event::NothingThere(_))));
    assert!(matches!(simulation.connection.poll_event(), Some(Event::Answered(_, Err(_)))));
    assert!(simulation.connection.pull(consumer, PullTimeout::None).is_ok());
}

#[test]
fn a_delivery_without_an_id_breaks_the_protocol() {
    let (mut simulation, consumer) = Simulation::consuming(1);
    let mut dispatch = nothing_for(consumer);
    dispatch.message = Some(Box::default());
    simulation.broker_says(dispatch);
    let reason = CloseReason::Violated(Violation::MessageWithoutId);
    assert_eq!(simulation.closed(), Some(reason));
}

#[test]
fn failures_without_a_command_leave_the_connection_as_it_is() {
    let mut simulation = Simulation::open();
    let exception = Some(Throwable::new("javax.jms.JMSException", "no"));
    simulation.broker_says(Box::new(ConnectionError { exception, ..Default::default() }));
    let Some(Event::Failed(refusal)) = simulation.connection.poll_event() else { panic!() };
    assert_eq!(refusal.to_string(), "JMSException: no");
    assert!(!simulation.connection.is_closed());
}

#[test]
fn the_broker_can_ask_to_close_a_consumer_and_change_its_prefetch() {
    let (mut simulation, consumer) = Simulation::consuming(1);
    let destination = Some(Destination::queue("orders"));
    let consumer_id = Some(id_of(consumer));
    let control = ConsumerControl { destination, consumer_id, prefetch: 3, ..Default::default() };
    simulation.broker_says(control.clone());
    let event = simulation.connection.poll_event();
    assert!(matches!(event, Some(Event::PrefetchChanged(key, 3)) if key == consumer));
    for sequence in 0..6 {
        simulation.broker_dispatches(consumer, sequence);
    }
    assert!(!simulation.connection.is_closed());
    simulation.broker_says(ConsumerControl { close: true, ..control });
    while let Some(event) = simulation.connection.poll_event() {
        assert!(matches!(event, Event::Delivered(_) | Event::CloseAsked(_)));
    }
    // What is in hand can be settled until this side closes it.
    simulation.connection.settle(consumer, &Settlement::Individual(Tag(0))).unwrap();
    simulation.connection.close_consumer(consumer).unwrap();
    let settled = simulation.connection.settle(consumer, &Settlement::Individual(Tag(1)));
    assert_eq!(settled, Err(CommandError::Unknown));
}

/// Acks four messages and poisons one between, and lets all leave together.
fn acks_that_leave_together(simulation: &mut Simulation, consumer: ConsumerKey) -> Vec<RequestId> {
    let mut requests = Vec::new();
    for sequence in 0..5 {
        simulation.broker_dispatches(consumer, sequence);
        let tag = Tag(sequence.unsigned_abs());
        let poison = Settlement::Poison { tag, cause: None };
        let settlement = if sequence == 2 { poison } else { Settlement::Individual(tag) };
        requests.push(simulation.connection.settle(consumer, &settlement).unwrap());
    }
    let asks = simulation.sent().into_iter().map(|sent| {
        let Structure::MessageAck(ack) = sent else { panic!("{sent:?}") };
        ack.header.response_required
    });
    assert_eq!(asks.collect::<Vec<_>>(), [false, false, true, false, true]);
    requests
}

fn answers(simulation: &mut Simulation) -> Vec<(RequestId, bool)> {
    let mut answers = Vec::new();
    while let Some(event) = simulation.connection.poll_event() {
        if let Event::Answered(request, answer) = event {
            answers.push((request, answer.is_ok()));
        }
    }
    answers
}

#[test]
fn one_answer_stands_for_the_acks_that_left_together() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    let requests = acks_that_leave_together(&mut simulation, consumer);
    let [first, second, poison, third, last] = requests[..] else { panic!() };
    simulation.broker_refuses(last.0, "javax.jms.JMSException");
    let expected = [(first, true), (second, true), (third, true), (last, false)];
    assert_eq!(answers(&mut simulation), expected);
    simulation.broker_answers(poison.0);
    assert_eq!(answers(&mut simulation), [(poison, true)]);
}

#[test]
fn a_failure_without_a_name_is_that_of_the_acks_that_ask_for_no_answer() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    let requests = acks_that_leave_together(&mut simulation, consumer);
    let [first, second, poison, third, last] = requests[..] else { panic!() };
    simulation.broker_answers(poison.0);
    assert_eq!(answers(&mut simulation), [(poison, true)]);
    simulation.broker_says(Box::new(ConnectionError::default()));
    let expected = [(first, false), (second, false), (third, false)];
    assert_eq!(answers(&mut simulation), expected);
    simulation.broker_answers(last.0);
    assert_eq!(answers(&mut simulation), [(last, true)]);
}

#[test]
fn every_message_of_a_producer_has_a_number_of_its_own() {
    let mut simulation = Simulation::open();
    let (session, _) = simulation.connection.open_session().unwrap();
    let (producer, _) = simulation.connection.open_producer(session).unwrap();
    simulation.sent();
    for expected in 1..3 {
        let message = Message { persistent: true, ..Message::default() };
        let to = Destination::queue("orders");
        let (id, request) = simulation.connection.send(producer, to, message).unwrap();
        let Structure::Message(sent) = simulation.sent_one() else { panic!() };
        assert_eq!(sent.message_id, Some(id));
        assert_eq!(sent.message_id.unwrap().producer_sequence_id, expected);
        assert_eq!(sent.header, Header { command_id: request.0, response_required: true });
    }
}

#[test]
fn a_message_larger_than_the_broker_takes_is_not_sent() {
    let mut simulation = Simulation::open();
    let (session, _) = simulation.connection.open_session().unwrap();
    let (producer, _) = simulation.connection.open_producer(session).unwrap();
    simulation.sent();
    simulation.connection.agreement.frame_bytes_max = 1_000;
    let content = Some(Opaque(vec![0; 1_000].into()));
    let message = Message { kind: MessageKind::Bytes, content, ..Message::default() };
    let sent = simulation.connection.send(producer, Destination::queue("orders"), message);
    assert!(matches!(sent, Err(CommandError::Unencodable(_))), "{sent:?}");
    assert!(simulation.sent().is_empty());
}
