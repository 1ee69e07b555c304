//! Many rows as one value of a statement: a JSON list that `json_table` takes apart.
//!
//! A statement that lists its rows has a text for each number of them, and a pool's session keeps a hundred texts: what is evicted has
//! to be prepared again, and closing it costs 40 ms (see [`coordinator::statement`]). This has one text, whatever the number, and its shape is
//! checked when it is compiled.
//!
//! Texts are `longtext character set utf8mb4` in it. Without the set it is the database's, which may lose letters without a word; and as
//! they are long, the column they go to says whether they are too long.

use serde_json::Value;
use uuid::Uuid;

/// An id as `unhex` takes it.
pub(crate) fn id(id: Uuid) -> String {
    id.simple().to_string()
}

/// Ids, for `json_table(?, '$[*]' columns (id char(32) path '$'))`.
pub(crate) fn ids(ids: impl IntoIterator<Item = Uuid>) -> String {
    rows(ids.into_iter().map(|one| Value::String(id(one))))
}

/// Rows, each an object.
pub(crate) fn rows(rows: impl IntoIterator<Item = Value>) -> String {
    Value::Array(rows.into_iter().collect()).to_string()
}
