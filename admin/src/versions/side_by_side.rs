//! All versions of a message beside one another, as somebody may see them: a row a field, a column a version.

use crate::{archives::raw, hiding::Hide as _, view::Moment};
use compensation::{archive::versions::Version, personal::Sight};
use ordering::edit::{FIELDS, Field, Rule};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// What the table has.
#[derive(Debug, Serialize)]
pub(super) struct SideBySide {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Column {
    number: u32,
    title: String,
    made_from: Option<u32>,
    by: Option<String>,
    at: Moment,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    rule: &'static str,
    about: &'static str,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    /// Of its column.
    title: String,
    value: String,
    /// Whether it is another one than in the version it was made from.
    changed: bool,
}

impl SideBySide {
    /// Of these, which are of a buyer's order, the first first.
    pub fn of(versions: &[Version], user: Option<Uuid>, sight: Sight) -> Self {
        let shown: Vec<Value> = versions
            .iter()
            .map(|version| raw(&version.payload, user, sight))
            .map(|shown| serde_json::from_str(shown.get()).unwrap_or_default())
            .collect();
        let column = |version| Column::of(version, sight);
        Self {
            columns: versions.iter().map(column).collect(),
            rows: FIELDS
                .iter()
                .map(|field| Row {
                    name: field.name,
                    rule: field.rule.as_str(),
                    about: field.about,
                    cells: versions
                        .iter()
                        .zip(&shown)
                        .map(|(version, is)| Cell {
                            title: title(version),
                            value: text(&is[field.name]),
                            changed: changed(versions, version, field),
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

impl Column {
    fn of(version: &Version, sight: Sight) -> Self {
        Self {
            number: version.number,
            title: title(version),
            made_from: version.made_from,
            by: version.made_by.clone(),
            at: Moment::of(version.made_at),
            reason: version.reason.clone().hidden(sight),
        }
    }
}

/// The names of what a version changed of the one it was made from.
pub(super) fn changes(versions: &[Version], version: &Version) -> Vec<&'static str> {
    FIELDS
        .iter()
        .filter(|field| changed(versions, version, field))
        .map(|field| field.name)
        .collect()
}

/// Compared as they are stored: what is masked is changed, too. Which transaction it was tried under is no change of anybody's.
fn changed(versions: &[Version], version: &Version, field: &Field) -> bool {
    let of = |version: &Version| -> Value {
        let whole = serde_json::from_slice::<Value>(&version.payload).unwrap_or_default();
        whole[field.name].clone()
    };
    let from = version
        .made_from
        .and_then(|from| versions.iter().find(|version| version.number == from));
    field.rule != Rule::Locked && from.is_some_and(|from| of(from) != of(version))
}

fn title(version: &Version) -> String {
    match version.number {
        0 => "As it came".to_owned(),
        number => format!("Version {number}"),
    }
}

/// A value as people read it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
