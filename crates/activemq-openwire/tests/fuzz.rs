//! The fuzz targets with bytes from `proptest`, with recorded frames that are spoilt in places, and
//! with what fuzzing has found.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../fuzz/recordings.rs"]
mod recordings;
#[path = "../fuzz/targets.rs"]
mod targets;

use proptest::prelude::*;

use recordings::{RECORDED, step};

/// A recorded frame with some of its bytes replaced.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any::<prop::sample::Index>(), changes).prop_map(|(index, changes)| {
        let mut frame = index.get(&RECORDED).clone();
        for (place, byte) in changes {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn any_frame(data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::frame(&data);
    }

    #[test]
    fn spoilt_frames(frame in spoilt()) {
        targets::frame(&frame[4..]);
    }

    #[test]
    fn any_content(data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::content(&data);
    }

    #[test]
    fn any_program_of_a_connection(start in any::<u8>(), data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::connection(&[&[start], &data[..]].concat());
    }
}

proptest! {
    #[test]
    fn spoilt_frames_in_a_program_of_a_connection(
        start in any::<u8>(),
        steps in prop::collection::vec(
            prop_oneof![
                spoilt().prop_map(|frame| step(&frame)),
                prop::collection::vec(any::<u8>(), 0..12),
            ],
            1..12,
        ),
    ) {
        targets::connection(&[&[start | 3], &steps.concat()[..]].concat());
    }
}

/// A broker that takes short frames only delivered a message with a long id: the ack did not fit,
/// and the delivery was settled all the same.
#[test]
fn an_ack_that_does_not_fit_settles_nothing() {
    targets::connection(&[0x0B, 5, 0, 4, 180, 12]);
}

/// The innermost null map took no level when it was read, but one when it was read again as the
/// empty map that it is written as.
#[test]
fn a_null_map_is_a_level() {
    let lists = [12, 0, 0, 0, 1].repeat(15);
    let map = [&[0, 0, 0, 1, 0, 0], &lists[..], &[11, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
    targets::content(&[&[2], &map[..]].concat());
}
