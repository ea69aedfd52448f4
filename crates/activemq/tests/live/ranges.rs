//! Acks in any order and of any shape: exactly what was acked has gone, and everything else comes
//! again.

use std::collections::BTreeSet;
use std::mem;

use gristmill_broker::{Settlement, Source};
use gristmill_testkit::activemq::ActiveMqServer;

use super::*;

const MESSAGES: usize = 300;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// Some of what is in hand: as they came, or from anywhere and in any order.
fn some(hand: &mut Vec<Delivery>, numbers: &mut Numbers) -> Vec<Delivery> {
    let count = 1 + numbers.below(hand.len());
    if numbers.below(2) == 0 {
        let first = numbers.below(hand.len() - count + 1);
        return hand.drain(first..first + count).collect();
    }
    (0..count).map(|_| hand.remove(numbers.below(hand.len()))).collect()
}

#[tokio::test]
async fn exactly_what_was_acked_has_gone_and_the_others_come_again() {
    let server = ActiveMqServer::shared().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    for seed in 1..=6 {
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let queue = server.test_queue().await.unwrap();
        let messages: Vec<_> = (0..MESSAGES)
            .map(|number| jms::Message {
                // Those that are kept apart as well, because a reject has to copy them.
                persistent: seed % 2 == 0,
                ..jms::Message::text(number.to_string())
            })
            .collect();
        peer.send(&queue, &messages).await.unwrap();

        let mut left: BTreeSet<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
        let mut rejected = BTreeSet::new();
        let mut source = subscribed(server, &queue, 100).await;
        let mut hand: Vec<Delivery> = Vec::new();
        let mut taken = 0;
        while taken < 250 {
            let more = 1 + numbers.below(100 - hand.len().min(99));
            let more = more.min(100 - hand.len()).min(250 - taken);
            hand.extend(take(&mut source, more).await);
            taken += more;
            let settled = some(&mut hand, &mut numbers);
            let gone: BTreeSet<String> = bodies(&settled).into_iter().map(str::to_owned).collect();
            left.retain(|number| !gone.contains(number));
            let verdict = match numbers.below(8) {
                0 => {
                    rejected.extend(gone);
                    Settlement::Reject("by the dice")
                }
                _ => Settlement::Ack,
            };
            let tokens = tokens(&settled);
            assert_eq!(settle(&mut source, verdict, &tokens).await, sent(tokens.len()), "{seed}");
        }
        source.close().await;
        wait_for(server, &queue, left.len() as u64, 0).await;

        let in_hand: BTreeSet<String> = mem::take(&mut hand)
            .iter()
            .map(|it| bodies(std::slice::from_ref(it))[0].to_owned())
            .collect();
        assert!(in_hand.is_subset(&left), "{seed}");
        let mut source = subscribed(server, &queue, 400).await;
        let again = take(&mut source, left.len()).await;
        let bodies = bodies(&again);
        assert!(bodies.is_sorted_by_key(|number| number.parse::<usize>().unwrap()), "{seed}");
        let came: BTreeSet<String> = bodies.into_iter().map(str::to_owned).collect();
        assert_eq!(came, left, "{seed}");
        assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&again)).await, sent(again.len()));
        wait_for(server, &queue, 0, 0).await;
        source.close().await;
        let letters = dead_letters(&mut peer, &queue).await;
        let letters: BTreeSet<String> =
            bodies_of(&letters).into_iter().map(str::to_owned).collect();
        assert_eq!(letters, rejected, "{seed}");
    }
}
