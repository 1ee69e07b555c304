//! What a refusal of the database is about.

use sqlx::mysql::MySqlDatabaseError;

/// Data too long, out of range, not a time, not a text, forbidden by a check.
const OF_DATA: [u16; 7] = [1264, 1265, 1292, 1366, 1406, 3819, 4025];
/// Waited too long for a lock, or chosen to break a deadlock.
const OF_THE_MOMENT: [u16; 2] = [1205, 1213];

/// Whether it refused what was written, and not just now: trying again would not help.
pub(super) fn is_about_data(cause: &sqlx::Error) -> bool {
    is_one_of(cause, &OF_DATA)
}

/// Whether the same may be taken a moment later.
pub(super) fn is_of_the_moment(cause: &sqlx::Error) -> bool {
    is_one_of(cause, &OF_THE_MOMENT)
}

fn is_one_of(cause: &sqlx::Error, numbers: &[u16]) -> bool {
    let error = cause
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    error.is_some_and(|error| numbers.contains(&error.number()))
}
