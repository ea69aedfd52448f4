//! What a status becomes, over any sequence of changes.

use proptest::prelude::*;

use super::*;

const USER: StateTransitionReason = StateTransitionReason::UserInitiated;

fn after(changes: &[Change]) -> Status {
    changes.iter().cloned().fold(Status::NEW, Status::after)
}

fn refused() -> Change {
    Change::Refused(StopCode::AuthenticationError, "mend the password".to_owned())
}

fn away() -> Change {
    Change::Away("no answer".to_owned())
}

#[test]
fn a_refused_mapping_is_disabled_by_its_code_and_comes_back_when_subscribed() {
    let status = after(&[Change::Enable, refused()]);
    assert_eq!(status.state, State::Disabled);
    assert_eq!(status.reason.as_str(), "EVENT_SOURCE_AUTHN_ERROR");
    assert_eq!(status.last_processing_result(), "PROBLEM: mend the password");
    let status = status.after(Change::Subscribed);
    assert_eq!((status.state, status.reason), (State::Enabled, USER));
    assert_eq!(status.last_processing_result(), "No records processed");
}

#[test]
fn a_broker_that_is_away_leaves_the_mapping_enabled_and_is_said() {
    for changes in [&[Change::Enable, away()][..], &[Change::Enable, Change::Subscribed, away()]] {
        let status = after(changes);
        assert_eq!((status.state, status.reason), (State::Enabled, USER));
        assert!(!status.subscribed);
        assert_eq!(status.last_processing_result(), "PROBLEM: no answer");
    }
}

#[test]
fn a_broker_that_goes_away_does_not_mend_what_needs_somebody() {
    let status = after(&[Change::Enable, refused(), away()]);
    assert_eq!(status.state, State::Disabled);
    assert_eq!(status.reason, StateTransitionReason::Stopped(StopCode::AuthenticationError));
}

#[test]
fn a_failed_batch_is_a_problem_until_one_is_handled() {
    let failed = Change::Failed("handler error: no".to_owned());
    let status = after(&[Change::Enable, Change::Subscribed, failed]);
    assert_eq!(status.state, State::Enabled);
    assert_eq!(status.last_processing_result(), "PROBLEM: handler error: no");
    // To reach the queue again says nothing about the handler.
    let status = status.after(away()).after(Change::Subscribed);
    assert_eq!(status.last_processing_result(), "PROBLEM: handler error: no");
    assert_eq!(status.after(Change::Handled).last_processing_result(), "OK");
}

#[test]
fn a_drained_mapping_is_disabled_by_its_user() {
    let status = after(&[Change::Enable, Change::Subscribed, Change::Disable, Change::Ended]);
    assert_eq!((status.state, status.reason, status.subscribed), (State::Disabled, USER, false));
}

#[test]
fn to_take_on_other_settings_is_to_drain_and_to_begin_anew_in_one_state() {
    let steps = [Change::Enable, Change::Subscribed, Change::Update, Change::Drain, Change::Ended];
    assert_eq!(after(&steps).state, State::Updating);
    assert_eq!(after(&steps).after(Change::Enable).state, State::Updating);
    let status = after(&steps).after(Change::Enable).after(Change::Subscribed);
    assert_eq!((status.state, status.reason), (State::Enabled, USER));
    // Disabled meanwhile, or in the end of another state than was wanted.
    let status = after(&steps).after(Change::Disable).after(Change::Ended);
    assert_eq!((status.state, status.reason), (State::Disabled, USER));
    assert_eq!(after(&steps).after(refused()).state, State::Disabled);
}

#[test]
fn a_board_tells_a_move_once() {
    let board = Board::default();
    assert_eq!(board.note(Change::Enable).unwrap().state, State::Enabling);
    assert_eq!(board.note(Change::Subscribed).unwrap().state, State::Enabled);
    assert_eq!(board.note(Change::Handled), None);
    assert_eq!(board.status().last_processing_result(), "OK");
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        Just(Change::Enable),
        Just(Change::Disable),
        Just(Change::Drain),
        Just(Change::Update),
        Just(Change::Delete),
        Just(Change::Ended),
        Just(Change::Subscribed),
        Just(away()),
        Just(refused()),
        Just(Change::Handled),
        Just(Change::Failed("no".to_owned())),
    ];
    prop::collection::vec(change, 0..30)
}

proptest! {
    #[test]
    fn a_code_always_comes_with_a_sentence_and_without_a_subscription(changes in changes()) {
        let status = after(&changes);
        if let StateTransitionReason::Stopped(_) = status.reason {
            prop_assert_eq!(status.state, State::Disabled);
            prop_assert!(!status.subscribed);
            prop_assert!(status.last_processing_result().starts_with("PROBLEM: "));
        }
    }

    #[test]
    fn only_a_user_brings_back_what_a_user_ended(before in changes(), later in changes()) {
        let ended = after(&before).after(Change::Disable).after(Change::Ended);
        let told = |change: &Change| matches!(change, Change::Enable | Change::Update);
        let later: Vec<Change> = later.into_iter().filter(|change| !told(change)).collect();
        let status = later.into_iter().fold(ended, Status::after);
        prop_assert!(matches!(status.state, State::Disabled | State::Disabling | State::Deleting));
        prop_assert_eq!(status.reason, USER);
        prop_assert!(!status.subscribed);
    }

    #[test]
    fn what_is_deleted_stays_so(before in changes(), later in changes()) {
        let deleted = after(&before).after(Change::Delete);
        prop_assert_eq!(later.into_iter().fold(deleted, Status::after).state, State::Deleting);
    }

    #[test]
    fn a_mapping_that_is_to_work_and_subscribed_is_enabled(before in changes()) {
        let status = after(&before).after(Change::Enable).after(Change::Subscribed);
        let deleted = before.contains(&Change::Delete);
        prop_assert!(deleted || status.state == State::Enabled && status.subscribed);
    }
}
