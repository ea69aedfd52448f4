//! Which fault happens when: the same for the same seed.

use std::time::Duration;

use fastrand::Rng;

/// Between two faults.
const PAUSE_MS: std::ops::Range<u64> = 500..4_000;
/// So many of them, and then a calm in which nothing happens that would explain anything; towards its
/// end something is changed, which must not have any message come again.
const STORM: usize = 15;
pub(super) const CALM: Duration = Duration::from_secs(30);
pub(super) const CALM_AFTER_CHANGE: Duration = Duration::from_secs(15);
/// From one storm to the next.
pub(super) const ROUND: usize = STORM + 1;
/// How long what freezes stays so, and what is delayed, swallowed or full.
const SPELL_MS: std::ops::Range<u64> = 200..3_000;
/// How much every byte is held back.
const DELAY_MS: std::ops::Range<u64> = 20..300;
/// By how much a clock may be wrong, either way.
const SHIFT_S: i64 = 2 * 24 * 60 * 60;

/// What can be done to a host.
const HOST: [fn(&mut Rng, usize) -> Fault; 6] = [
    // The last of several is left alive, so that what grows in it is seen.
    |rng, hosts| Fault::KillHost(rng.usize(..hosts.saturating_sub(1).max(1))),
    |rng, hosts| Fault::FreezeHost(rng.usize(..hosts), spell(rng)),
    CHANGE[0],
    CHANGE[1],
    |rng, hosts| Fault::FillDisk(rng.usize(..hosts), spell(rng)),
    |rng, hosts| Fault::ShiftClock(rng.usize(..hosts), rng.i64(-SHIFT_S..SHIFT_S), spell(rng)),
];

/// What its operator does to a host.
const CHANGE: [fn(&mut Rng, usize) -> Fault; 2] = [
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

/// What happens to a host, by its number, to the broker, or to the network between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again.
    KillHost(usize),
    /// `SIGSTOP`, for so long.
    FreezeHost(usize, Duration),
    /// Another version of its handlers.
    ReloadHandler(usize),
    /// Other values in its configuration.
    ReloadConfiguration(usize),
    /// No file can be written, for so long.
    FillDisk(usize, Duration),
    /// The wall clock is wrong by so many seconds, for so long.
    ShiftClock(usize, i64, Duration),
    /// `kill -9`, and started again.
    KillBroker,
    /// Ended in order, and started again.
    RestartBroker,
    /// `SIGSTOP`, for so long.
    FreezeBroker(Duration),
    /// Every connection is cut.
    Cut,
    /// Bytes are held back for so long, over such a time.
    Delay(Duration, Duration),
    /// Bytes vanish for so long, and on the connections that lost some for ever.
    Swallow(Duration),
}

impl Fault {
    /// What kind of thing it is, in a word or two.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::KillHost(_) => "kill host",
            Fault::FreezeHost(..) => "freeze host",
            Fault::ReloadHandler(_) => "reload handler",
            Fault::ReloadConfiguration(_) => "reload configuration",
            Fault::FillDisk(..) => "full disk",
            Fault::ShiftClock(..) => "clock jump",
            Fault::KillBroker => "kill broker",
            Fault::RestartBroker => "restart broker",
            Fault::FreezeBroker(_) => "freeze broker",
            Fault::Cut => "cut",
            Fault::Delay(..) => "delay",
            Fault::Swallow(_) => "half-open",
        }
    }

    /// Whether it is only something new for the host to take up.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Fault::ReloadHandler(_) | Fault::ReloadConfiguration(_))
    }

    /// Whether messages may come again for it, those that were handled and could not be settled.
    pub(super) fn loses_acks(&self) -> bool {
        match self {
            Fault::KillHost(_)
            | Fault::FreezeHost(..)
            | Fault::FillDisk(..)
            | Fault::KillBroker
            | Fault::RestartBroker
            | Fault::FreezeBroker(_)
            | Fault::Cut
            | Fault::Swallow(_) => true,
            Fault::ReloadHandler(_)
            | Fault::ReloadConfiguration(_)
            | Fault::ShiftClock(..)
            | Fault::Delay(..) => false,
        }
    }
}

/// Faults for ever, each with the pause before it.
#[derive(Debug)]
pub(super) struct Schedule {
    rng: Rng,
    hosts: usize,
    /// Whether there is a broker beside the hosts.
    has_broker: bool,
    count: usize,
}

impl Schedule {
    pub(super) fn new(seed: u64, hosts: usize, has_broker: bool) -> Self {
        Self { rng: Rng::with_seed(seed), hosts, has_broker, count: 0 }
    }
}

impl Iterator for Schedule {
    type Item = (Duration, Fault);

    fn next(&mut self) -> Option<Self::Item> {
        let rng = &mut self.rng;
        let (round, place) = (self.count / ROUND, self.count % ROUND);
        self.count += 1;
        if place == STORM {
            return Some((CALM, CHANGE[rng.usize(..CHANGE.len())](rng, self.hosts)));
        }
        let pause = Duration::from_millis(rng.u64(PAUSE_MS));
        let kinds = if self.has_broker && rng.bool() { &BROKER[..] } else { &HOST[..] };
        let fault = kinds[rng.usize(..kinds.len())](rng, self.hosts);
        let is_after_change = round > 0 && place == 0;
        Some((if is_after_change { CALM_AFTER_CHANGE } else { pause }, fault))
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
        let faults: Vec<_> = Schedule::new(1, 1, false).take(300).map(|(_, fault)| fault).collect();
        assert!(faults.iter().all(|fault| matches!(
            fault,
            Fault::KillHost(0)
                | Fault::FreezeHost(0, _)
                | Fault::ReloadHandler(0)
                | Fault::ReloadConfiguration(0)
                | Fault::FillDisk(0, _)
                | Fault::ShiftClock(0, ..)
        )));
        assert!(faults.contains(&Fault::KillHost(0)));
    }

    #[test]
    fn one_of_several_hosts_is_left_alive_and_every_storm_ends() {
        let faults: Vec<_> = Schedule::new(1, 2, true).take(300).collect();
        assert!(faults.iter().all(|(_, fault)| *fault != Fault::KillHost(1)));
        assert_eq!(faults.iter().filter(|(pause, _)| *pause == CALM).count(), 18);
        let changes = faults.iter().filter(|(pause, fault)| *pause == CALM && fault.is_change());
        assert_eq!(changes.count(), 18);
        assert_eq!(faults.iter().filter(|(pause, _)| *pause == CALM_AFTER_CHANGE).count(), 18);
    }
}
