//! Which dead letters: the filter of the admin's list.

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

/// What they have in common. Nothing said: all that are open.
#[derive(Debug, Clone, Default, Args)]
pub struct Filter {
    /// An order's, transaction's or user's id, or words of the error
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// open, replaying, handled or all
    #[arg(long, value_parser = ["open", "replaying", "handled", "all"])]
    state: Option<String>,
    /// Of a sale
    #[arg(long, value_name = "ID")]
    sale: Option<Uuid>,
    /// Where they failed, such as decide
    #[arg(long)]
    step: Option<String>,
    /// Of a group, as `redressctl groups` names it
    #[arg(long, value_name = "FINGERPRINT")]
    group: Option<String>,
}

impl Filter {
    /// Whether it says anything.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// As the list's address has it.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.pairs();
        if self.state.is_none() {
            query.push(("state", "open".to_owned()));
        }
        query
    }

    /// As an operation has it: what is not said is left out.
    pub(super) fn body(&self) -> Value {
        let fields = self.pairs().into_iter();
        fields
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect()
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        [
            ("q", self.text.clone()),
            ("state", self.state.clone()),
            ("sale", self.sale.map(|sale| sale.to_string())),
            ("step", self.step.clone()),
            ("fingerprint", self.group.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}
