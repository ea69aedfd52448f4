//! The fuzz targets with bytes from `proptest`, and with recorded frames that are spoilt in places.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;

/// All recorded frames, with their sizes.
static RECORDED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frames");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let hex = |hex: &str| {
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    };
    let frames: Vec<Vec<u8>> = lines.filter_map(|line| line["hex"].as_str().map(hex)).collect();
    assert!(frames.len() > 400);
    frames
});

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
    fn any_bytes_to_a_connection(data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::connection(&data);
    }
}

proptest! {
    #[test]
    fn spoilt_frames_to_a_connection(first in any::<u8>(), frames in prop::collection::vec(spoilt(), 1..8)) {
        targets::connection(&[&[first | 3], &frames.concat()[..]].concat());
    }
}
