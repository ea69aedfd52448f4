//! Which fault happens when: the same for the same seed.

use std::time::Duration;

use fastrand::Rng;

/// Between two faults.
const PAUSE_MS: std::ops::Range<u64> = 500..4_000;
/// How long what freezes stays so, and what is delayed or swallowed.
const SPELL_MS: std::ops::Range<u64> = 200..3_000;
/// How much every byte is held back.
const DELAY_MS: std::ops::Range<u64> = 20..300;

/// What can be done to a host.
const HOST: [fn(&mut Rng, usize) -> Fault; 4] = [
    |rng, hosts| Fault::KillHost(rng.usize(..hosts)),
    |rng, hosts| Fault::FreezeHost(rng.usize(..hosts), spell(rng)),
    |rng, hosts| Fault::ReloadHandler(rng.usize(..hosts)),
    |rng, hosts| Fault::ReloadConfiguration(rng.usize(..hosts)),
];

/// What can be done to a broker elsewhere, and to the way there.
const BROKER: [fn(&mut Rng, usize) -> Fault; 6] = [
    |_, _| Fault::KillBroker,
    |_, _| Fault::RestartBroker,
    |rng, _| Fault::FreezeBroker(spell(rng)),
    |_, _| Fault::Cut,
    |rng, _| Fault::Delay(Duration::from_millis(rng.u64(DELAY_MS)), spell(rng)),
    |rng, _| Fault::Swallow(spell(rng)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    KillHost(usize),
    FreezeHost(usize, Duration),
    ReloadHandler(usize),
    ReloadConfiguration(usize),
    KillBroker,
    RestartBroker,
    FreezeBroker(Duration),
    Cut,
    /// Holds bytes back for so long, over such a time.
    Delay(Duration, Duration),
    Swallow(Duration),
}

/// Faults for ever, each with the pause before it.
#[derive(Debug)]
pub(super) struct Schedule {
    rng: Rng,
    hosts: usize,
    /// Whether there is a broker beside the hosts.
    has_broker: bool,
}

impl Schedule {
    pub(super) fn new(seed: u64, hosts: usize, has_broker: bool) -> Self {
        Self { rng: Rng::with_seed(seed), hosts, has_broker }
    }
}

impl Iterator for Schedule {
    type Item = (Duration, Fault);

    fn next(&mut self) -> Option<Self::Item> {
        let rng = &mut self.rng;
        let pause = Duration::from_millis(rng.u64(PAUSE_MS));
        let kinds = if self.has_broker && rng.bool() { &BROKER[..] } else { &HOST[..] };
        let fault = kinds[rng.usize(..kinds.len())](rng, self.hosts);
        Some((pause, fault))
    }
}

fn spell(rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(SPELL_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_faults_again_and_another_gives_others() {
        let faults = |seed| Schedule::new(seed, 2, true).take(50).collect::<Vec<_>>();
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
    }

    #[test]
    fn where_there_is_no_broker_nothing_is_done_to_one() {
        let mut faults = Schedule::new(1, 1, false).take(200).map(|(_, fault)| fault);
        assert!(faults.all(|fault| matches!(
            fault,
            Fault::KillHost(0)
                | Fault::FreezeHost(0, _)
                | Fault::ReloadHandler(0)
                | Fault::ReloadConfiguration(0)
        )));
    }
}
