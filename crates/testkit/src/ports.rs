//! Ports for servers that tests start, without two test processes choosing the same ones.
//!
//! A server that can only be told its ports (RabbitMQ and its Erlang helpers) cannot ask the kernel
//! for a free one. So ports come in blocks, each claimed by locking a file that all test processes
//! of a machine share; the kernel drops the lock with the process. All lie below 32768, where
//! Linux begins to hand out ports to outgoing connections, which could take one at any time.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail};

/// The first port of the first block.
const FIRST: u16 = 21_000;
/// One past the last port that a block may have.
const END: u16 = 32_000;
/// Ports in a block.
const BLOCK: u16 = 5;

/// Five neighbouring ports that no other claim has while this value lives.
#[derive(Debug)]
pub(crate) struct PortBlock {
    first: u16,
    /// Holds the lock; closing it releases the block.
    _lock: File,
}

impl PortBlock {
    /// Claims the first block whose ports nobody listens on.
    ///
    /// # Errors
    ///
    /// When no block is free or the folder of lock files cannot be made.
    pub(crate) fn claim() -> Result<Self> {
        let folder = std::env::temp_dir().join("gristmill-test-ports");
        fs::create_dir_all(&folder).with_context(|| {
            format!("cannot make the folder of port locks {}", folder.display())
        })?;
        for first in (FIRST..END).step_by(usize::from(BLOCK)) {
            // A file of another user cannot be opened, which means the same as a lock that is held.
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(first.to_string()));
            let Ok(lock) = file else { continue };
            // The lock keeps out other tests, the trial everybody else and a server that a killed
            // test process has left for its watchdog to end.
            if lock.try_lock().is_ok() && (first..first + BLOCK).all(is_free) {
                return Ok(Self { first, _lock: lock });
            }
        }
        bail!("no free ports for a test server between {FIRST} and {END}; end some and try again")
    }

    /// The port at `index`, which is below five.
    pub(crate) fn port(&self, index: u16) -> u16 {
        debug_assert!(index < BLOCK, "a block has {BLOCK} ports");
        self.first + index
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_never_share_a_port() {
        let one = PortBlock::claim().unwrap();
        let two = PortBlock::claim().unwrap();
        assert!(one.first.abs_diff(two.first) >= BLOCK);
        assert!(one.port(3) < 32_768 && two.port(3) < 32_768);
    }

    #[test]
    fn a_block_with_a_port_in_use_is_passed_over() {
        let claimed = PortBlock::claim().unwrap();
        let first = claimed.first;
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, claimed.port(2))).unwrap();
        drop(claimed);
        assert_ne!(PortBlock::claim().unwrap().first, first);
    }
}
