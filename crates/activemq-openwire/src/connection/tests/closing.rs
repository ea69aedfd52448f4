//! How it ends, and what the broker is told then.

use super::*;

fn removed(structure: Structure) -> (RemovedObject, i64) {
    let Structure::RemoveInfo(info) = structure else { panic!("{structure:?}") };
    (info.object_id.unwrap(), info.last_delivered_sequence_id)
}

#[test]
fn a_closed_consumer_says_what_was_handed_out_and_drops_what_still_comes() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    for sequence in 50..54 {
        simulation.broker_dispatches(consumer, sequence);
    }
    simulation.connection.hand(consumer, Tag(2));
    simulation.connection.settle(consumer, &Settlement::Individual(Tag(2))).unwrap();
    simulation.sent();
    while simulation.connection.poll_event().is_some() {}
    let request = simulation.connection.close_consumer(consumer).unwrap();
    let (object, last) = removed(simulation.sent_one());
    assert_eq!(object, RemovedObject::Consumer(id_of(consumer)));
    assert_eq!(last, 51, "52 is settled and 53 was not handed out");

    simulation.broker_dispatches(consumer, 54);
    assert!(simulation.connection.poll_event().is_none());
    let late = simulation.connection.settle(consumer, &Settlement::Individual(Tag(0)));
    assert_eq!(late, Err(CommandError::Unknown));
    simulation.broker_answers(request.0);
    assert!(matches!(simulation.connection.poll_event(), Some(Event::Answered(..))));
    assert_eq!(simulation.connection.close_consumer(consumer), Err(CommandError::Unknown));
}

#[test]
fn an_orderly_close_waits_for_the_broker_and_then_says_farewell() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    simulation.broker_dispatches(consumer, 50);
    simulation.connection.hand(consumer, Tag(0));
    simulation.connection.close(simulation.now);
    simulation.connection.close(simulation.now);
    let sent = simulation.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(removed(sent[0].clone()), (RemovedObject::Consumer(id_of(consumer)), 50));
    let (object, last) = removed(sent[1].clone());
    assert!(matches!(object, RemovedObject::Connection(_)));
    assert_eq!(last, -1);
    assert_eq!(simulation.connection.open_session(), Err(CommandError::NotOpen));
    let Structure::RemoveInfo(info) = &sent[0] else { panic!() };
    simulation.broker_answers(info.header.command_id);
    assert_eq!(simulation.closed(), None);
    let Structure::RemoveInfo(info) = &sent[1] else { panic!() };
    simulation.broker_answers(info.header.command_id);
    assert!(matches!(simulation.sent_one(), Structure::ShutdownInfo(_)));
    assert_eq!(simulation.closed(), Some(CloseReason::Requested));
}

#[test]
fn a_close_that_the_broker_does_not_confirm_ends_all_the_same() {
    let (mut simulation, _) = Simulation::consuming(10);
    simulation.connection.close(simulation.now);
    simulation.time_passes(5 * SECOND);
    assert_eq!(simulation.closed(), Some(CloseReason::Unconfirmed));
}

#[test]
fn a_close_before_the_login_is_answered_waits_for_nobody() {
    let mut simulation = Simulation::new();
    simulation.connection.close(simulation.now);
    assert_eq!(simulation.closed(), Some(CloseReason::Requested));
    let mut simulation = Simulation::new();
    simulation.broker_offers(12, 0);
    simulation.sent();
    simulation.connection.close(simulation.now);
    assert!(matches!(simulation.sent_one(), Structure::ShutdownInfo(_)));
    assert_eq!(simulation.closed(), Some(CloseReason::Requested));
}

#[test]
fn the_broker_can_ask_to_leave_or_say_that_it_goes() {
    let mut simulation = Simulation::open();
    let reconnect_to = Some("tcp://other:61616".into());
    simulation.broker_says(ConnectionControl { reconnect_to, ..Default::default() });
    let Some(Event::LeaveAsked { reconnect_to: Some(uri) }) = simulation.connection.poll_event()
    else {
        panic!()
    };
    assert_eq!(uri, "tcp://other:61616");
    simulation.broker_says(ConnectionControl { close: true, ..Default::default() });
    let event = simulation.connection.poll_event();
    assert!(matches!(event, Some(Event::LeaveAsked { reconnect_to: None })));
    simulation.broker_says(ShutdownInfo::default());
    assert_eq!(simulation.closed(), Some(CloseReason::ShutDown));
}

#[test]
fn after_the_end_nothing_is_taken_told_or_sent() {
    let (mut simulation, consumer) = Simulation::consuming(10);
    simulation.connection.transport_lost();
    assert_eq!(simulation.closed(), Some(CloseReason::Lost));
    simulation.connection.transport_lost();
    simulation.broker_dispatches(consumer, 1);
    simulation.time_passes(1_000 * SECOND);
    simulation.connection.close(simulation.now);
    assert!(simulation.connection.poll_event().is_none());
    assert!(simulation.sent().is_empty());
    let settled = simulation.connection.settle(consumer, &Settlement::Individual(Tag(0)));
    assert_eq!(settled, Err(CommandError::NotOpen));
}
