//! A command and no `handle-batch`: reads the event from stdin, and ends as the event says.

use std::collections::BTreeMap;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::sync::atomic::{AtomicU64, Ordering};

use wasip2::cli::exit::{exit, exit_with_code};

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Command;

impl wasip2::exports::cli::run::Guest for Command {
    fn run() -> Result<(), ()> {
        let mut event = String::new();
        stdin().read_to_string(&mut event).map_err(|_| ())?;
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        match event.as_str() {
            "fail" => return Err(()),
            "trap" => panic!("as the event says"),
            "exit ok" => exit(Ok(())),
            "exit err" => exit(Err(())),
            "exit 3" => exit_with_code(3),
            "silent" => {}
            "variables" => {
                let variables: BTreeMap<String, String> = std::env::vars().collect();
                write(&serde_json::json!(variables).to_string());
            }
            "count" => write(&calls.to_string()),
            "endless" => loop {
                write(&"x".repeat(64 * 1024));
            },
            "stderr" => {
                // What a handler says here is for the log, and no part of the response.
                let _written = stderr().write_all(b"said on stderr\n");
                write("answered");
            }
            _ => write(&event),
        }
        Ok(())
    }
}

fn write(text: &str) {
    let _written = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}

wasip2::cli::command::export!(Command);
