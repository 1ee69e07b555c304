//! Many rows as one value of a statement: a JSON list that `json_table` takes apart.
//!
//! A statement that lists its rows has a text for each number of them, and a pool's session keeps a hundred texts: what is evicted has
//! to be prepared again, and closing it costs 40 ms (see [`coordinator::statement`]). This has one text, whatever the number, and its shape is
//! checked when it is compiled.
//!
//! Texts are `longtext character set utf8mb4` in it. Without the set it is the database's, which may lose letters without a word; and as
//! they are long, the column they go to says whether they are too long.

use serde::Serialize;
use uuid::Uuid;

/// An id as `unhex` takes it.
pub(crate) fn id(id: Uuid) -> String {
    id.simple().to_string()
}

/// Ids, for `json_table(?, '$[*]' columns (id char(32) path '$'))`.
pub(crate) fn ids(ids: impl IntoIterator<Item = Uuid>) -> String {
    rows(ids.into_iter().map(id))
}

/// Rows, each an object. The server looks for each column from the beginning of its row: long texts are a row's last fields.
pub(crate) fn rows<R: Serialize>(rows: impl IntoIterator<Item = R>) -> String {
    let rows: Vec<R> = rows.into_iter().collect();
    serde_json::to_string(&rows)
        .unwrap_or_else(|cause| unreachable!("rows are plain data: {cause}"))
}
