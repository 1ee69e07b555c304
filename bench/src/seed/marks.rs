//! Ids that say of themselves that they were made up: version 7 of the year 5226, with a place for each kind, in the order of their
//! numbers as real ones are in the order of their times.

use uuid::Uuid;

/// Nobody's real ids begin so: those of orders are of their time, those of other rows are of another version.
const MARK: [u8; 6] = [0x5e, 0xed, 0xda, 0x7a, 0x5e, 0xed];

/// What an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A row of the archive; of an order, also the order and its first transaction.
    Archived = 1,
    /// The transaction of an archived row that is not its first.
    ArchivedGid = 2,
    /// An order that waits, and its first transaction.
    Waiting = 3,
    /// The transaction of a waiting order that is not its first.
    WaitingGid = 4,
    Sale = 5,
    User = 6,
}

/// The id of the kind's row `number`, below 2^30. `tail` is what a sale's orders carry of it.
pub fn id(kind: Kind, number: u32, tail: [u8; 4]) -> Uuid {
    let [high, low] = (kind as u16).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&MARK);
    (bytes[6], bytes[7]) = (0x70 | high, low);
    bytes[8..12].copy_from_slice(&(0x8000_0000 | number).to_be_bytes());
    bytes[12..].copy_from_slice(&tail);
    Uuid::from_bytes(bytes)
}

/// The first and the last that rows of the kind with these numbers may have.
pub fn range(kind: Kind, from: u32, to: u32) -> (Uuid, Uuid) {
    (id(kind, from, [0; 4]), id(kind, to, [0xff; 4]))
}

/// All of the kind.
pub fn all(kind: Kind) -> (Uuid, Uuid) {
    range(kind, 0, (1 << 30) - 1)
}

/// The number of a marked id.
pub fn number(id: Uuid) -> u32 {
    let bytes = id.into_bytes();
    u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) & !0x8000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_within_its_range_and_is_read_again() {
        for number_of_it in [0, 1, 19_999_999, (1 << 30) - 1] {
            let made = id(Kind::Waiting, number_of_it, [1, 2, 3, 4]);
            let (first, last) = all(Kind::Waiting);
            assert!(first <= made && made <= last);
            assert_eq!(number(made), number_of_it);
            assert_eq!(made.get_version_num(), 7);
        }
        assert!(all(Kind::Archived).1 < all(Kind::ArchivedGid).0);
    }
}
