//! Whatever is done in whatever order, the store holds what a list would.

use gristmill_store::{Bounds, Filter};
use proptest::prelude::*;

use super::{check, keep, letter, list, origin, store};

#[derive(Debug, Clone)]
enum Act {
    Keep { mapping: bool, bodies: Vec<u16> },
    Check(bool),
    Remove(Vec<prop::sample::Index>),
    Shrink,
    Reopen,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let bodies = prop::collection::vec(0u16..6_000, 0..12);
    let act = prop_oneof![
        4 => (any::<bool>(), bodies).prop_map(|(mapping, bodies)| Act::Keep { mapping, bodies }),
        1 => any::<bool>().prop_map(Act::Check),
        2 => prop::collection::vec(any::<prop::sample::Index>(), 0..8).prop_map(Act::Remove),
        1 => Just(Act::Shrink),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(act, 1..25)
}

fn name(mapping: bool) -> &'static str {
    if mapping { "orders" } else { "mail" }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_holds_what_was_kept_and_not_removed(acts in acts()) {
        const BYTES_MAX: u64 = 60_000;
        let folder = tempfile::tempdir().unwrap();
        let open = || store(folder.path(), Bounds { bytes_max: BYTES_MAX, age_max: None });
        let mut kept = open();
        // What should be there: number, mapping, body.
        let mut model: Vec<(i64, bool, Vec<u8>, u64)> = Vec::new();
        let mut kept_ever = 0;
        for act in acts {
            match act {
                Act::Keep { mapping, bodies } => {
                    let letters: Vec<_> = bodies
                        .iter()
                        .enumerate()
                        .map(|(id, bytes)| letter(id, vec![7; usize::from(*bytes)]))
                        .collect();
                    let size = |body: usize| (body + 34 + 256) as u64;
                    let held: u64 =
                        model.iter().filter(|row| row.1 == mapping).map(|row| row.3).sum();
                    let more: u64 = bodies.iter().map(|body| size(usize::from(*body))).sum();
                    let is_kept = keep(&kept.keeper(origin(name(mapping))), letters.clone()).is_ok();
                    prop_assert_eq!(is_kept, held + more <= BYTES_MAX);
                    for letter in letters.into_iter().filter(|_| is_kept) {
                        kept_ever += 1;
                        let bytes = size(letter.original.0.len());
                        model.push((kept_ever, mapping, letter.original.0, bytes));
                    }
                }
                Act::Check(mapping) => {
                    check(&kept.keeper(origin(name(mapping)))).unwrap();
                }
                Act::Remove(picked) => {
                    let ids: Vec<i64> = picked
                        .iter()
                        .filter(|_| !model.is_empty())
                        .map(|index| model[index.index(model.len())].0)
                        .collect();
                    let before = model.len();
                    model.retain(|row| !ids.contains(&row.0));
                    prop_assert_eq!(kept.remove(&ids).unwrap(), before - model.len());
                }
                Act::Shrink => kept.shrink().unwrap(),
                Act::Reopen => kept = open(),
            }
            let letters = list(&kept, &Filter::default());
            prop_assert_eq!(letters.len(), model.len());
            for (letter, (id, mapping, body, bytes)) in letters.iter().zip(&model) {
                prop_assert_eq!((letter.id, letter.bytes), (*id, *bytes));
                prop_assert_eq!(&letter.origin.mapping, name(*mapping));
                prop_assert_eq!(&kept.get(*id).unwrap().unwrap().original.0, body);
            }
        }
    }
}
