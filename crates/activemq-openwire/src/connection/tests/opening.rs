//! Negotiation, login, and who is still there.

use super::*;

#[test]
fn the_offer_does_not_wait_and_the_login_waits_for_the_brokers() {
    let mut simulation = Simulation::new();
    assert!(matches!(simulation.sent_one(), Structure::WireFormatInfo(_)));
    simulation.broker_offers(11, 30_000);
    assert_eq!(simulation.connection.agreement().format.version, 11);
    let Structure::ConnectionInfo(info) = simulation.sent_one() else { panic!() };
    assert_eq!(info.header, Header { command_id: 1, response_required: true });
    assert_eq!(info.connection_id.unwrap().to_string(), "ID:test");
    assert_eq!(info.client_id.unwrap(), "client");
    assert_eq!(info.user_name.unwrap().expose(), &"user");
    assert_eq!(info.password.unwrap().expose(), &"secret");
    assert_eq!(simulation.connection.open_session(), Err(CommandError::NotOpen));
    // The order of what follows is not fixed.
    simulation.broker_says(Box::new(BrokerInfo::default()));
    simulation.broker_says(ConnectionControl::default());
    assert!(simulation.connection.poll_event().is_none());
    simulation.broker_answers(1);
    assert!(matches!(simulation.connection.poll_event(), Some(Event::LoggedIn)));
    assert!(simulation.connection.broker().is_some());
}

#[test]
fn refusals_of_a_login_are_told_apart() {
    for (class, expected) in [
        ("java.lang.SecurityException", CloseReason::LoginRefused),
        ("javax.jms.JMSSecurityException", CloseReason::LoginRefused),
        ("jakarta.jms.JMSSecurityException", CloseReason::LoginRefused),
    ] {
        let mut simulation = Simulation::new();
        simulation.broker_offers(12, 0);
        simulation.broker_refuses(1, class);
        assert_eq!(simulation.closed(), Some(expected), "{class}");
    }
    let mut simulation = Simulation::new();
    simulation.broker_offers(12, 0);
    simulation.broker_refuses(1, "javax.jms.InvalidClientIDException");
    let Some(CloseReason::Refused(refusal)) = simulation.closed() else { panic!() };
    assert_eq!(refusal.kind, RefusalKind::ClientIdTaken);
}

#[test]
fn nobody_is_shown_the_login() {
    let mut simulation = Simulation::new();
    simulation.broker_offers(12, 0);
    let shown = format!("{:?} {:?}", simulation.connection, simulation.connection.settings);
    let shown = format!("{shown} {:?}", simulation.sent());
    assert!(!shown.contains("secret") && !shown.contains("user\""), "{shown}");
}

#[test]
fn a_broker_that_does_not_negotiate_or_log_in_is_given_up() {
    for offers in [false, true] {
        let mut simulation = Simulation::new();
        if offers {
            simulation.broker_offers(12, 0);
        }
        assert_eq!(simulation.connection.next_timeout(), Some(simulation.now + 15 * SECOND));
        simulation.time_passes(15 * SECOND - Duration::from_millis(1));
        assert_eq!(simulation.closed(), None);
        simulation.time_passes(Duration::from_millis(1));
        assert_eq!(simulation.closed(), Some(CloseReason::LoginTimeout));
        assert_eq!(simulation.connection.next_timeout(), None);
    }
}

#[test]
fn a_peer_that_is_no_broker_of_this_age_is_refused() {
    let mut simulation = Simulation::new();
    simulation.broker_offers(8, 0);
    let reason = CloseReason::Violated(Violation::TooOld { version: 8 });
    assert_eq!(simulation.closed(), Some(reason));

    let mut simulation = Simulation::new();
    let mut input = BytesMut::from(&b"HTTP/1.1 400 Bad Request\r\n"[..]);
    simulation.connection.receive(simulation.now, &mut input);
    assert!(matches!(simulation.closed(), Some(CloseReason::Violated(Violation::Undecodable(_)))));
    assert!(input.is_empty());

    let mut simulation = Simulation::new();
    simulation.broker_answers(1);
    assert_eq!(simulation.closed(), Some(CloseReason::Violated(Violation::OutOfOrder)));

    let mut simulation = Simulation::open();
    simulation.broker_offers(12, 0);
    assert_eq!(simulation.closed(), Some(CloseReason::Violated(Violation::OutOfOrder)));
}

#[test]
fn something_is_said_every_third_of_the_agreed_silence() {
    let mut simulation = Simulation::open();
    for _ in 0..3 {
        assert_eq!(simulation.connection.next_timeout(), Some(simulation.now + 10 * SECOND));
        simulation.time_passes(10 * SECOND);
        let Structure::KeepAliveInfo(info) = simulation.sent_one() else { panic!() };
        assert_eq!(info.header, Header::default());
        // The broker is there as well.
        simulation.broker_says(KeepAliveInfo::default());
    }
    assert!(simulation.sent().is_empty(), "a keep-alive was answered");
}

#[test]
fn a_silent_broker_is_given_up_and_part_of_a_frame_is_a_sign_of_life() {
    let mut simulation = Simulation::open();
    simulation.time_passes(44 * SECOND);
    let mut part = BytesMut::from(&[0, 0][..]);
    simulation.connection.receive(simulation.now, &mut part);
    assert_eq!(part.len(), 2);
    simulation.time_passes(44 * SECOND);
    assert_eq!(simulation.closed(), None);
    simulation.time_passes(SECOND);
    assert_eq!(simulation.closed(), Some(CloseReason::Silent));
}

#[test]
fn silence_counts_from_the_agreed_delay_on() {
    let mut simulation = Simulation::new();
    let properties = [
        ("MaxInactivityDuration", Value::Long(2_000)),
        ("MaxInactivityDurationInitalDelay", Value::Long(10_000)),
    ];
    let properties: PrimitiveMap = properties.into_iter().collect();
    let marshalled_properties = Some(Opaque(properties.encode().unwrap()));
    simulation.broker_says(WireFormatInfo { magic: Magic, version: 12, marshalled_properties });
    simulation.broker_answers(1);
    assert!(matches!(simulation.connection.poll_event(), Some(Event::LoggedIn)));
    // This side has offered to begin after its silence, which is less than the broker's delay.
    let mut simulation_time = Duration::ZERO;
    while simulation.closed().is_none() {
        simulation_time += SECOND / 2;
        simulation.time_passes(SECOND / 2);
    }
    assert_eq!(simulation_time, 5 * SECOND);
}

#[test]
fn a_keep_alive_passes_what_waits_for_answers() {
    let mut simulation = Simulation::open();
    simulation.connection.settings.unanswered_bytes_max = 1;
    simulation.connection.open_session().unwrap();
    let (_, second) = simulation.connection.open_session().unwrap();
    assert!(matches!(simulation.sent_one(), Structure::SessionInfo(_)));
    simulation.time_passes(10 * SECOND);
    assert!(matches!(simulation.sent_one(), Structure::KeepAliveInfo(_)));
    simulation.broker_answers(second.0 - 1);
    assert!(matches!(simulation.sent_one(), Structure::SessionInfo(_)));
}

#[test]
fn a_broker_that_offers_no_silence_is_waited_for_for_ever() {
    let mut simulation = Simulation::new();
    simulation.broker_offers(12, 0);
    simulation.broker_answers(1);
    assert_eq!(simulation.connection.next_timeout(), None);
}

#[test]
fn a_keep_alive_that_asks_is_answered_by_one_that_does_not_and_once() {
    let mut simulation = Simulation::open();
    let header = Header { command_id: 0, response_required: true };
    for _ in 0..1000 {
        simulation.broker_says(KeepAliveInfo { header });
    }
    let Structure::KeepAliveInfo(info) = simulation.sent_one() else { panic!() };
    assert_eq!(info.header, Header::default());
    simulation.broker_says(KeepAliveInfo { header });
    assert_eq!(simulation.sent().len(), 1);
}

#[test]
fn what_is_unknown_or_unasked_for_is_skipped() {
    let mut simulation = Simulation::open();
    let mut input = BytesMut::from(&[0, 0, 0, 3, 65, 1, 2, 0, 0, 0, 1, 0][..]);
    simulation.connection.receive(simulation.now, &mut input);
    simulation.broker_answers(77);
    simulation.broker_says(ControlCommand::default());
    assert!(simulation.connection.poll_event().is_none());
    assert!(!simulation.connection.is_closed());
}
