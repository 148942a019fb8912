//! The order of a frontend's endpoints.
//!
//! The kernel picks an index and looks up the endpoint, so a change of one endpoint should change
//! one index. With affinity a client has been told an index, so that indices must not move: the
//! place of an endpoint that goes is filled with another one, twice in the list from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The new order, as close to the old one as can be.
pub(crate) fn assign(
    old: &[SocketAddr],
    wanted: &BTreeSet<SocketAddr>,
    sticky: bool,
) -> Vec<SocketAddr> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut slots: Vec<Option<SocketAddr>> =
        old.iter().map(|endpoint| wanted.contains(endpoint).then_some(*endpoint)).collect();
    let present: BTreeSet<_> = slots.iter().flatten().copied().collect();
    let mut fresh = wanted.difference(&present).copied();
    for slot in &mut slots {
        if slot.is_none() {
            *slot = fresh.next();
        }
    }
    let mut fresh: Vec<_> = fresh.collect();
    if sticky {
        let slots = fill(&slots, wanted);
        return share(slots, fresh);
    }
    // Leftovers of a time with affinity: each endpoint once.
    let mut seen = BTreeSet::new();
    for slot in &mut slots {
        if slot.is_some_and(|endpoint| !seen.insert(endpoint)) {
            *slot = fresh.pop();
        }
    }
    let mut slots = compact(slots);
    slots.extend(fresh);
    slots
}

/// Moves the last endpoints into the holes.
fn compact(mut slots: Vec<Option<SocketAddr>>) -> Vec<SocketAddr> {
    let mut index = 0;
    while index < slots.len() {
        if slots[index].is_none() {
            slots.swap_remove(index);
        } else {
            index += 1;
        }
    }
    slots.into_iter().flatten().collect()
}

/// Fills holes with the endpoints that have the fewest slots.
fn fill(slots: &[Option<SocketAddr>], wanted: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
    let mut counts: BTreeMap<SocketAddr, usize> = wanted.iter().map(|it| (*it, 0)).collect();
    for endpoint in slots.iter().flatten() {
        *counts.entry(*endpoint).or_default() += 1;
    }
    let holes = slots.iter().filter(|slot| slot.is_none()).count();
    let mut fillers = Vec::with_capacity(holes);
    let mut by_count: BTreeSet<(usize, SocketAddr)> =
        counts.into_iter().map(|(endpoint, count)| (count, endpoint)).collect();
    for _hole in 0..holes {
        if let Some((count, endpoint)) = by_count.pop_first() {
            fillers.push(endpoint);
            by_count.insert((count + 1, endpoint));
        }
    }
    let mut fillers = fillers.into_iter();
    slots.iter().filter_map(|slot| slot.or_else(|| fillers.next())).collect()
}

/// Gives new endpoints the slots of those that have several; the rest goes to the end.
fn share(mut slots: Vec<SocketAddr>, fresh: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut counts: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for endpoint in &slots {
        *counts.entry(*endpoint).or_default() += 1;
    }
    for endpoint in fresh {
        let most = counts.iter().max_by_key(|(_, count)| **count).map(|(it, count)| (*it, *count));
        let place = match most {
            Some((crowded, count)) if count > 1 => {
                counts.insert(crowded, count - 1);
                slots.iter().rposition(|it| *it == crowded)
            }
            _ => None,
        };
        match place {
            Some(place) => slots[place] = endpoint,
            None => slots.push(endpoint),
        }
        counts.insert(endpoint, 1);
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 80))
    }

    fn set(numbers: &[u8]) -> BTreeSet<SocketAddr> {
        numbers.iter().map(|number| endpoint(*number)).collect()
    }

    fn list(numbers: &[u8]) -> Vec<SocketAddr> {
        numbers.iter().map(|number| endpoint(*number)).collect()
    }

    #[test]
    fn one_endpoint_changes_one_slot() {
        let old = list(&[1, 2, 3, 4]);
        assert_eq!(assign(&old, &set(&[1, 3, 4]), false), list(&[1, 4, 3]));
        assert_eq!(assign(&old, &set(&[1, 3, 4, 9]), false), list(&[1, 9, 3, 4]));
        assert_eq!(assign(&old, &set(&[1, 2, 3, 4, 9]), false), list(&[1, 2, 3, 4, 9]));
    }

    #[test]
    fn indices_stay_with_affinity() {
        let old = list(&[1, 2, 3, 4]);
        let less = assign(&old, &set(&[1, 3]), true);
        assert_eq!(less, list(&[1, 1, 3, 3]));
        assert_eq!(assign(&less, &set(&[1, 3, 7]), true).len(), 4);
        assert_eq!(assign(&less, &set(&[]), true), list(&[]));
        assert_eq!(assign(&less, &set(&[1, 3]), false), list(&[1, 3]));
    }

    proptest! {
        #[test]
        fn every_endpoint_and_no_other(
            steps in prop::collection::vec((prop::collection::btree_set(0..20_u8, 0..12), any::<bool>()), 1..12),
        ) {
            let mut slots = Vec::new();
            for (numbers, sticky) in steps {
                let wanted: BTreeSet<_> = numbers.iter().map(|number| endpoint(*number)).collect();
                let next = assign(&slots, &wanted, sticky);
                prop_assert_eq!(next.iter().copied().collect::<BTreeSet<_>>(), wanted.clone());
                if sticky && !wanted.is_empty() {
                    prop_assert!(next.len() >= slots.len());
                    for (before, after) in slots.iter().zip(&next) {
                        let crowded = slots.iter().filter(|it| *it == before).count() > 1;
                        prop_assert!(before == after || !wanted.contains(before) || crowded);
                    }
                } else {
                    prop_assert_eq!(next.len(), wanted.len());
                }
                slots = next;
            }
        }
    }
}
