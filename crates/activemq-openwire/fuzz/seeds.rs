//! `cargo run --bin seeds`: makes the fuzzers' first inputs out of the recordings, in `corpus`.

mod recordings;

use std::fs;

use recordings::{LINES, RECORDED, bytes, step};

fn main() {
    let write = |target: &str, name: String, seed: &[u8]| {
        let folder = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(format!("{folder}/{name}"), seed).unwrap();
    };
    for (number, frame) in RECORDED.iter().enumerate() {
        write("frame", format!("recorded-{number}"), &frame[4..]);
        write("connection", format!("recorded-{number}"), &[&[3], &step(frame)[..]].concat());
    }
    for (number, lines) in LINES.iter().enumerate() {
        // A second offer would be the end.
        let later = lines.iter().filter(|line| line["fields"]["$"] != "WireFormatInfo");
        let frames = later.filter_map(|line| bytes(line, "hex"));
        let steps: Vec<u8> = frames.flat_map(|frame| step(&frame)).collect();
        write("connection", format!("recording-{number}"), &[&[3], &steps[..]].concat());
        for (line, content) in lines.iter().enumerate() {
            let name = format!("recorded-{number}-{line}");
            for (what, field) in [(2, "marshalled_properties"), (content_kind(content), "content")]
            {
                if let Some(content) = bytes(content, field) {
                    write("content", format!("{name}-{field}"), &[&[what], &content[..]].concat());
                }
            }
        }
    }
}

/// The byte before a recorded content.
fn content_kind(content: &serde_json::Value) -> u8 {
    let kinds = ["Plain", "Bytes", "Map", "Object", "Stream", "Text", "Blob"];
    let kind = kinds.iter().position(|kind| content["kind"] == *kind).unwrap_or_default();
    let compressed = if content["compressed"] == true { 8 } else { 0 };
    u8::try_from(kind).unwrap() | compressed
}
