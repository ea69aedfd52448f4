//! Ways out of a granted directory, tried by the thousand: odd names, and links that come and go.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{Place, SECRET, act};

/// Ten thousand names, always the same: a failure can be looked into.
fn odd_names(place: &Place) -> Vec<String> {
    let long = "a".repeat(300);
    let absolute = place.outside().to_str().unwrap().to_owned();
    let pieces = [
        "..",
        ".",
        "",
        "plain",
        "dir",
        "deep",
        "inner",
        "secret",
        "outside",
        "inside",
        "out",
        "up",
        "here",
        "zigzag",
        "chain0",
        "chain1",
        "chain2",
        "chain3",
        "loop",
        "within",
        "passwd",
        "top",
        "proc",
        "absolute",
        "home",
        "etc",
        "\0",
        "..\0",
        "plain\0",
        "%2e%2e",
        "%2f",
        "..%2f",
        "..\\",
        "\\",
        "．．",
        "‥",
        "／",
        "․․",
        "..;",
        "...",
        " ",
        ".. ",
        "~",
        "$HOME",
        "CON",
        "C:",
        "\u{202e}",
        "\u{feff}..",
        "ﬀ",
        "PLAIN",
        &long,
        &absolute,
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut paths: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
    while paths.len() < 10_000 {
        let count = 1 + random(7);
        // One half of honest names, or next to none of the paths would get anywhere.
        let honest = ["dir", "here", ".", "..", "", "plain", "inner", "within"];
        let mut piece = || match random(2) {
            0 => honest[random(honest.len())],
            _ => pieces[random(pieces.len())],
        };
        let parts: Vec<&str> = (0..count).map(|_| piece()).collect();
        let start = ["", "", "", "/", "//", "./", "../"][random(7)];
        paths.push(format!("{start}{}", parts.join("/")));
    }
    paths
}

#[tokio::test]
async fn ten_thousand_odd_names_read_nothing_but_what_is_inside() {
    let place = Place::new();
    let function = place.function(true);
    let before = place.content();
    let mut paths = odd_names(&place);
    paths.push(format!("{}outside/secret", "../".repeat(2_000)));
    let read = act(&function, json!({ "do": "read all", "paths": paths })).await;
    assert_eq!(read["contents"], json!(["inner", "plain"]));
    assert!(read["opened"].as_u64().unwrap() > 100, "some of the names are there: {read}");
    assert_eq!(place.content(), before);
}

#[tokio::test]
async fn ten_thousand_odd_names_change_nothing_but_what_is_inside() {
    let place = Place::new();
    let function = place.function(true);
    let inside = place.inside();
    let outside = || {
        let mut content = place.content();
        content.retain(|path, _| !path.starts_with(&inside));
        content
    };
    let before = outside();
    // Without those that would lead out of the root too, if any led out: see `DEPTH`.
    let mut names = odd_names(&place);
    let root = place.root.path().to_str().unwrap();
    names.retain(|name| {
        let leads_far = ["top", "proc", "passwd"].iter().any(|&link| name.contains(link));
        !leads_far && (!name.starts_with('/') || name.starts_with(root))
    });
    let mut done = BTreeMap::<String, u64>::new();
    for paths in names.chunks(100) {
        let changed = act(&function, json!({ "do": "change all", "paths": paths })).await;
        let changed: BTreeMap<String, u64> = serde_json::from_value(changed).unwrap();
        for (what, count) in changed {
            *done.entry(what).or_default() += count;
        }
        assert_eq!(outside(), before, "{paths:?}");
        empty(&inside);
        place.fill();
    }
    assert_eq!(done.len(), 6, "{done:?}");
    assert!(done.values().all(|&count| count > 10), "inside all of it can be done: {done:?}");
}

fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let (path, kind) = entry.map(|e| (e.path(), e.file_type().unwrap())).unwrap();
        if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}

/// Changes a name again and again, until the flag says stop: now it is inside, now a link out.
fn swap(inside: &Path, outside: &Path, stop: &AtomicBool, swaps: &AtomicU64) {
    let (file, dir, next) = (inside.join("file"), inside.join("swapped"), inside.join("next"));
    let (real, kept) = (inside.join("real"), inside.join("kept"));
    fs::create_dir(&real).unwrap();
    fs::write(real.join("secret"), "plain").unwrap();
    while !stop.load(Ordering::Relaxed) {
        symlink(outside.join("secret"), &next).unwrap();
        fs::rename(&next, &file).unwrap();
        fs::rename(&real, &dir).unwrap();
        fs::write(&next, "plain").unwrap();
        fs::rename(&next, &file).unwrap();
        fs::rename(&dir, &real).unwrap();
        symlink("../outside", &dir).unwrap();
        symlink("../outside/secret", &next).unwrap();
        fs::rename(&next, &file).unwrap();
        fs::remove_file(&dir).unwrap();
        fs::hard_link(inside.join("plain"), &kept).unwrap();
        fs::rename(&kept, &file).unwrap();
        swaps.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does something with paths that are swapped meanwhile, until it was seen both ways, thousands of times.
async fn race(place: &Place, write: bool, paths: &[&str], look: impl Fn(&Value)) {
    let function = place.function(write);
    let flags = Arc::new((AtomicBool::new(false), AtomicU64::new(0)));
    let (inside, outside, shared) = (place.inside(), place.outside(), Arc::clone(&flags));
    let swapping = thread::spawn(move || swap(&inside, &outside, &shared.0, &shared.1));
    let what = if write { "write again" } else { "read again" };
    for path in paths {
        let (mut opened, mut refused) = (0, 0);
        while opened == 0 || refused == 0 || opened + refused < 10_000 {
            let event = json!({ "do": what, "path": path, "times": 2_000 });
            let done = act(&function, event).await;
            look(&done);
            opened += done["opened"].as_u64().unwrap();
            refused += 2_000 - done["opened"].as_u64().unwrap();
            assert!(opened + refused < 10_000_000, "{opened} opened, {refused} refused");
        }
    }
    flags.0.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert!(flags.1.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_link_that_is_swapped_in_at_the_last_moment_is_not_followed_out() {
    race(&Place::new(), false, &["file", "swapped/secret"], |read| {
        let contents: Vec<String> = serde_json::from_value(read["contents"].clone()).unwrap();
        assert!(contents.iter().all(|content| content == "plain"), "{contents:?}");
    })
    .await;
}

#[tokio::test]
async fn nor_is_it_followed_out_to_write() {
    let place = Place::new();
    race(&place, true, &["file", "swapped/secret", "swapped/new"], |_| {
        let outside: Vec<_> = fs::read_dir(place.outside()).unwrap().collect();
        assert_eq!(outside.len(), 1, "{outside:?}");
        assert_eq!(fs::read_to_string(place.outside().join("secret")).unwrap(), SECRET);
    })
    .await;
}
