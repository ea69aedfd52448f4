//! Calls the host without end, or for too much: which call, the event says. The clock ends it, and
//! others on its thread are served meanwhile.

use gristmill_test_guests::{Answer, handler};
use wasip2::cli::{stderr::get_stderr, stdin::get_stdin, stdout::get_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::types::{Fields, Method, OutgoingRequest, Scheme};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;
use wasip2::random::{insecure::get_insecure_random_bytes, random::get_random_bytes};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;

const RANDOM_BYTES_MAX: u64 = 64 * 1024;

fn call(event: String) -> Answer {
    match event.as_str() {
        "nothing" => return Ok(None),
        "random" => loop {
            get_random_bytes(RANDOM_BYTES_MAX);
        },
        "insecure" => loop {
            get_insecure_random_bytes(RANDOM_BYTES_MAX);
        },
        "random once" => return Ok(Some(get_random_bytes(RANDOM_BYTES_MAX).len().to_string())),
        "random and one" => drop(get_random_bytes(RANDOM_BYTES_MAX + 1)),
        "insecure and one" => drop(get_insecure_random_bytes(RANDOM_BYTES_MAX + 1)),
        "clock" => loop {
            monotonic_clock::now();
            wall_clock::now();
        },
        "poll" => {
            let due = monotonic_clock::subscribe_instant(0);
            let many = vec![&due; 10_000];
            loop {
                poll(&many);
            }
        }
        "print" => loop {
            get_stdout().write(b"x").map_err(text)?;
        },
        // Both streams in turn, and a line each time: 10 GB and more if nobody stops it.
        "print much" => {
            let line = [b'x'; 4095].iter().chain(b"\n").copied().collect::<Vec<u8>>();
            for _ in 0..1_310_720 {
                get_stdout().blocking_write_and_flush(&line).map_err(text)?;
                get_stderr().blocking_write_and_flush(&line).map_err(text)?;
            }
        }
        "zeroes and one" => get_stdout().write_zeroes(64 * 1024 + 1).map_err(text)?,
        "stdin" => {
            // Closed: it is nobody's, so it ends at once.
            let end = get_stdin().blocking_read(1);
            let is_closed = matches!(end, Err(StreamError::Closed));
            return Ok(Some(if is_closed { "closed" } else { "open" }.to_owned()));
        }
        "open" => {
            let dir = directory();
            loop {
                open(&dir, "file").map_err(text)?;
            }
        }
        "long path" => {
            let dir = directory();
            let path = "d/../".repeat(1 << 18);
            loop {
                if open(&dir, &path).is_ok() {
                    return Ok(Some("opened".to_owned()));
                }
            }
        }
        "long name" => {
            let name = "x.".repeat(1 << 20);
            loop {
                if resolve_addresses(&instance_network(), &name).is_ok() {
                    return Ok(Some("looked up".to_owned()));
                }
            }
        }
        "handles" => {
            let dir = directory();
            let mut held = Vec::new();
            loop {
                held.push(open(&dir, "file").map_err(text)?);
            }
        }
        // What the host keeps of a request that is never sent.
        "requests" => {
            let long = "a".repeat(1 << 20);
            let mut held = Vec::new();
            loop {
                let request = OutgoingRequest::new(Fields::new());
                let _too_long = request.set_method(&Method::Other(long.clone()));
                let _too_long = request.set_scheme(Some(&Scheme::Other(long.clone())));
                let _too_long = request.set_authority(Some(&long));
                let _too_long = request.set_path_with_query(Some(&long));
                held.push(request);
            }
        }
        "fields" => {
            // As much as one set of them may hold; more is a trap.
            let value = vec![b'a'; 100 << 10];
            let mut held = Vec::new();
            loop {
                let fields = Fields::new();
                let _kept = fields.append("a", &value);
                held.push(fields);
            }
        }
        "bodies" => {
            let chunk = vec![b'a'; 1 << 20];
            let mut held = Vec::new();
            loop {
                let request = OutgoingRequest::new(Fields::new());
                let body = request.body().map_err(|()| "no body")?;
                let stream = body.write().map_err(|()| "no stream")?;
                while let Ok(room) = stream.check_write()
                    && room > 0
                {
                    let room = usize::try_from(room).unwrap_or_default().min(chunk.len());
                    stream.write(&chunk[..room]).map_err(text)?;
                }
                held.push((stream, body, request));
            }
        }
        "pollables" => {
            let mut held = Vec::new();
            loop {
                held.push(monotonic_clock::subscribe_instant(0));
            }
        }
        _ => return Err("no such call".to_owned()),
    }
    Ok(None)
}

fn directory() -> Descriptor {
    get_directories().swap_remove(0).0
}

fn open(dir: &Descriptor, path: &str) -> Result<Descriptor, wasip2::filesystem::types::ErrorCode> {
    dir.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ)
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

handler!(call);
