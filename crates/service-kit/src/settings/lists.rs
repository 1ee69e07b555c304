//! Lists that may be written as YAML lists or, in the environment, as one comma-separated text.

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum ListOrText {
    List(Vec<String>),
    Text(String),
}

/// Takes either form; blanks around items are dropped, empty items too.
pub(super) fn comma_separated<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let items = match ListOrText::deserialize(input)? {
        ListOrText::List(items) => items,
        ListOrText::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    Ok(items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
}
