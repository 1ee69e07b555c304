//! Which offsets are settled, and up to where each partition may be committed. Pure: no Kafka, no clock.
//!
//! Orders settle out of order; a commit says "everything before". So a partition is committed up to its lowest unfinished offset.
//! Each assignment of a partition has a generation of its own: what was taken under an earlier one changes nothing any more.

use std::collections::{BTreeMap, BTreeSet};

/// One message in hand: proof of where it was taken, and under which assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    partition: i32,
    offset: i64,
    generation: u64,
}

impl Ticket {
    /// The partition it was taken from.
    #[must_use]
    pub const fn partition(self) -> i32 {
        self.partition
    }

    /// Its offset there.
    #[must_use]
    pub const fn offset(self) -> i64 {
        self.offset
    }
}

/// The partitions this process holds, and what is unfinished in each.
#[derive(Debug, Default)]
pub struct Offsets {
    held: BTreeMap<i32, Partition>,
    generations: u64,
}

#[derive(Debug, Default)]
struct Partition {
    generation: u64,
    /// The offset after the highest that was taken.
    next: Option<i64>,
    unfinished: BTreeSet<i64>,
    /// What was committed last under this assignment.
    committed: Option<i64>,
}

impl Partition {
    fn settled_below(&self) -> Option<i64> {
        self.unfinished.first().copied().or(self.next)
    }

    fn due(&self) -> Option<i64> {
        self.settled_below()
            .filter(|offset| self.committed != Some(*offset))
    }
}

impl Offsets {
    /// A partition was assigned: its count begins anew.
    pub fn assign(&mut self, partition: i32) {
        self.generations += 1;
        self.held.insert(
            partition,
            Partition {
                generation: self.generations,
                ..Partition::default()
            },
        );
    }

    /// A partition was taken away: tickets of it are void from now on.
    pub fn revoke(&mut self, partition: i32) {
        self.held.remove(&partition);
    }

    /// A message came. `None` when the partition is not held, or this very message is in hand already.
    pub fn take(&mut self, partition: i32, offset: i64) -> Option<Ticket> {
        let held = self.held.get_mut(&partition)?;
        if !held.unfinished.insert(offset) {
            return None;
        }
        held.next = held.next.max(Some(offset + 1));
        Some(Ticket {
            partition,
            offset,
            generation: held.generation,
        })
    }

    /// The message is settled for good. A void ticket changes nothing.
    pub fn finish(&mut self, ticket: Ticket) {
        if let Some(held) = self
            .held
            .get_mut(&ticket.partition)
            .filter(|held| held.generation == ticket.generation)
        {
            held.unfinished.remove(&ticket.offset);
        }
    }

    /// Whether the partition is still held under the assignment the ticket was taken under.
    #[must_use]
    pub fn is_valid(&self, ticket: Ticket) -> bool {
        self.held
            .get(&ticket.partition)
            .is_some_and(|held| held.generation == ticket.generation)
    }

    /// What can be committed and was not yet: partition and next offset to read.
    #[must_use]
    pub fn due(&self) -> Vec<(i32, i64)> {
        self.held
            .iter()
            .filter_map(|(partition, held)| Some((*partition, held.due()?)))
            .collect()
    }

    /// The same for one partition.
    #[must_use]
    pub fn due_of(&self, partition: i32) -> Option<i64> {
        self.held.get(&partition)?.due()
    }

    /// A commit was answered.
    pub fn committed(&mut self, partition: i32, offset: i64) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.committed = Some(offset);
        }
    }

    /// The partitions held.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.held.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding_0() -> Offsets {
        let mut offsets = Offsets::default();
        offsets.assign(0);
        offsets
    }

    #[test]
    fn nothing_is_due_before_something_was_taken() {
        assert_eq!(holding_0().due(), []);
    }

    #[test]
    fn an_unfinished_offset_holds_back_those_after_it() {
        let mut offsets = holding_0();
        let tickets: Vec<Ticket> = (5..8)
            .map(|offset| offsets.take(0, offset).unwrap())
            .collect();
        offsets.finish(tickets[1]);
        offsets.finish(tickets[2]);
        assert_eq!(offsets.due(), [(0, 5)]);
        offsets.finish(tickets[0]);
        assert_eq!(offsets.due(), [(0, 8)]);
    }

    #[test]
    fn what_was_committed_is_not_due_until_it_moves() {
        let mut offsets = holding_0();
        let ticket = offsets.take(0, 0).unwrap();
        offsets.finish(ticket);
        assert_eq!(offsets.due(), [(0, 1)]);
        offsets.committed(0, 1);
        assert_eq!(offsets.due(), []);
        offsets.take(0, 1).unwrap();
        let ticket = offsets.take(0, 2).unwrap();
        offsets.finish(ticket);
        assert_eq!(offsets.due(), []);
    }

    #[test]
    fn a_message_in_hand_is_taken_once() {
        let mut offsets = holding_0();
        let ticket = offsets.take(0, 3).unwrap();
        assert_eq!(offsets.take(0, 3), None);
        offsets.finish(ticket);
        assert!(
            offsets.take(0, 3).is_some(),
            "after a seek back it is work again"
        );
    }

    #[test]
    fn a_late_result_of_a_revoked_partition_is_dropped() {
        let mut offsets = holding_0();
        let before = offsets.take(0, 10).unwrap();
        offsets.revoke(0);
        assert!(!offsets.is_valid(before));
        assert_eq!(offsets.take(0, 11), None);
        offsets.assign(0);
        let again = offsets.take(0, 10).unwrap();
        offsets.finish(before);
        assert_eq!(
            offsets.due(),
            [(0, 10)],
            "the new assignment's message is still unfinished"
        );
        offsets.finish(again);
        assert_eq!(offsets.due(), [(0, 11)]);
    }

    /// A small generator, so that a failing seed replays.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    #[test]
    fn whatever_the_order_a_commit_never_passes_an_unfinished_message_and_reaches_the_end() {
        for seed in 1..500 {
            let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
            let mut offsets = holding_0();
            let (mut next, mut committed, mut in_hand) = (0, 0, Vec::new());
            let mut finished = BTreeSet::new();
            for _ in 0..200 {
                match dice.below(20) {
                    0 => {
                        // A rebalance: reading goes on where it was committed; old tickets stay around as late results.
                        offsets.revoke(0);
                        offsets.assign(0);
                        next = committed;
                    }
                    1..=9 => {
                        in_hand.push(offsets.take(0, next).unwrap());
                        next += 1;
                    }
                    10..=17 if !in_hand.is_empty() => {
                        let at = usize::try_from(dice.below(in_hand.len() as u64)).unwrap();
                        let ticket: Ticket = in_hand.swap_remove(at);
                        offsets.finish(ticket);
                        finished.insert(ticket.offset());
                    }
                    _ => {
                        for (partition, offset) in offsets.due() {
                            assert!(offset >= committed, "seed {seed}: a commit went back");
                            assert!(
                                (0..offset).all(|below| finished.contains(&below)),
                                "seed {seed}: passed an unfinished message"
                            );
                            offsets.committed(partition, offset);
                            committed = offset;
                        }
                    }
                }
            }
            for ticket in in_hand {
                offsets.finish(ticket);
            }
            assert!(
                offsets.due().iter().all(|(_, offset)| *offset == next),
                "seed {seed}: the end was not reached"
            );
        }
    }
}
