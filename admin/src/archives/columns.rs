//! Columns of an export: all of them, or those that were chosen, in their own order.

use chrono::{DateTime, SecondsFormat, Utc};
use compensation::{
    archive::listing::{Listed, State as Stands},
    fingerprint::Fingerprint,
    personal::{self, Sight},
};
use std::{borrow::Cow, collections::HashMap};
use uuid::Uuid;

/// What a ticked box is called, before its column's name.
pub(crate) const TICKED: &str = "column.";

/// All there are.
pub(crate) const NAMES: [&str; 19] = [
    "id",
    "order_id",
    "state",
    "resolution",
    "sale_id",
    "user_id",
    "quantity",
    "generation",
    "gid",
    "step",
    "error",
    "attempts",
    "times_archived",
    "held",
    "first_failed_at",
    "archived_at",
    "handled_at",
    "kind",
    "fingerprint",
];

/// Those that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns(Vec<usize>);

/// A name that no column has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("columns cannot be understood: {name:?} is none; there are {all}", name = .0, all = NAMES.join(", "))]
pub(super) struct UnknownColumn(String);

impl Columns {
    /// `id,step`, or boxes that were ticked, or all where nothing is said.
    ///
    /// # Errors
    /// [`UnknownColumn`].
    pub fn chosen(
        named: Option<&str>,
        ticked: &HashMap<String, String>,
    ) -> Result<Self, UnknownColumn> {
        let named = named.unwrap_or_default().split(',').map(str::trim);
        let ticked = ticked.keys().filter_map(|key| key.strip_prefix(TICKED));
        let mut chosen = named
            .chain(ticked)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let place = NAMES.iter().position(|it| *it == name);
                place.ok_or_else(|| UnknownColumn(name.chars().take(64).collect()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.is_empty() {
            chosen.extend(0..NAMES.len());
        }
        Ok(Self(chosen))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = Cow<'static, str>> {
        self.0.iter().map(|place| NAMES[*place].into())
    }

    /// What a row has in them; what its texts hide is hidden already.
    pub fn of(&self, row: &Listed, sight: Sight) -> Vec<Cow<'static, str>> {
        let all = fields(row, sight);
        self.0.iter().map(|place| all[*place].clone()).collect()
    }

    /// Whether it is one of them; what no column holds is there where all are.
    pub fn has(&self, name: &str) -> bool {
        self.0.len() == NAMES.len() || self.names().any(|it| it == name)
    }
}

fn fields(row: &Listed, sight: Sight) -> [Cow<'static, str>; 19] {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    [
        row.id.to_string().into(),
        id(row.order_id).into(),
        Stands::as_str(row.state()).into(),
        row.resolution.clone().unwrap_or_default().into(),
        id(row.sale_id).into(),
        row.user_id
            .map(|id| personal::user(id, sight))
            .unwrap_or_default()
            .into(),
        row.quantity
            .map(|units| units.to_string())
            .unwrap_or_default()
            .into(),
        row.generation.to_string().into(),
        id(row.gid).into(),
        row.step.clone().into(),
        row.error.clone().into(),
        row.attempts.to_string().into(),
        row.times_archived.to_string().into(),
        if row.held { "yes" } else { "no" }.into(),
        time(row.first_failed_at).into(),
        time(row.archived_at).into(),
        row.handled_at.map(time).unwrap_or_default().into(),
        row.kind().as_str().into(),
        row.fingerprint
            .map(|it| Fingerprint::from_number(it).to_string())
            .unwrap_or_default()
            .into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(named: Option<&str>, ticked: &[&str]) -> Result<Vec<String>, UnknownColumn> {
        let ticked = ticked.iter().map(|it| ((*it).to_owned(), "on".to_owned()));
        let columns = Columns::chosen(named, &ticked.collect())?;
        Ok(columns.names().map(Cow::into_owned).collect())
    }

    #[test]
    fn columns_are_chosen_by_name_or_by_box_and_keep_their_order() {
        assert_eq!(chosen(None, &[]).unwrap(), NAMES);
        assert_eq!(chosen(Some(" step , id,,id"), &[]).unwrap(), ["id", "step"]);
        let boxes = ["column.error", "state", "column.id"];
        assert_eq!(chosen(None, &boxes).unwrap(), ["id", "error"]);
        assert!(chosen(Some("id,payload"), &[]).is_err());
        assert!(chosen(None, &["column.x"]).is_err());
    }
}
