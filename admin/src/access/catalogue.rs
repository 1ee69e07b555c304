//! Every permission there is: its name in the audit, on pages and in a token's scope; the least role that has it; what it lets one do.
//!
//! A handler names one in its arguments. What is in no handler opens nothing, and a route without one does not compile into a caller.

use identity::OperatorRole;

/// Something one may or may not do.
pub(crate) trait Permission {
    /// Its name.
    const NAME: &'static str;
    /// The least role that has it.
    const ROLE: OperatorRole;
}

/// A permission, for whoever reads or grants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The least role that has it.
    pub role: OperatorRole,
    /// What it lets one do.
    pub what: &'static str,
}

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $type:ident: $name:literal, $role:ident, $what:literal;)*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub(crate) struct $type;

            impl Permission for $type {
                const NAME: &'static str = $name;
                const ROLE: OperatorRole = OperatorRole::$role;
            }
        )*

        /// All of them, in the order people read them.
        pub(crate) const CATALOGUE: &[Entry] = &[
            $(Entry { name: $name, role: OperatorRole::$role, what: $what },)*
        ];
    };
}

permissions! {
    /// Looking at archives, transactions, operations, alerts and the audit.
    Look: "archives.look", Viewer, "See archives, groups, transactions, operations, incidents, alerts, the policy, reports and the audit";
    /// Taking a whole list away.
    Export: "archives.export", Viewer, "Export a list, with all that matches";
    /// Seeing who a buyer is, how the buyer is reached, and what the buyer wrote.
    SeePersonal: "personal.see", Operator, "See who a buyer is, how the buyer is reached, and what the buyer wrote";
    /// Taking the audit away.
    ExportAudit: "audit.export", Viewer, "Export the audit";
    /// Having an order tried again.
    Replay: "order.replay", Operator, "Have archived orders tried again, one or many";
    /// Having what is written of an order made to agree.
    Reconcile: "order.reconcile", Operator, "Have what is written of an order made to agree";
    /// Having archived orders given up for good.
    Discard: "order.discard", Operator, "Give archived orders up for good";
    /// Saying what is to become of a group, and who looks after it.
    MarkGroup: "group.mark", Operator, "Mark a group as ignored or resolved, and say who looks after it";
    /// Writing a note beside what is archived.
    WriteNote: "order.note", Operator, "Write notes beside archived orders";
    /// Making another version of an archived order's message.
    EditOrder: "order.edit", Operator, "Edit archived orders: every version is kept";
    /// Making one with another price.
    EditPrice: "order.edit_price", Admin, "Change the price of an archived order";
    /// Pausing, resuming, cancelling or undoing an operation on many orders.
    Steer: "operation.steer", Operator, "Pause, resume, cancel or undo an operation";
    /// Having an undecided transaction given up.
    RollBack: "transaction.rollback", Operator, "Have an undecided transaction given up";
    /// Letting a stuck transaction go on.
    Resume: "transaction.resume", Operator, "Let a stuck transaction go on";
    /// Having nobody complete a transaction any more.
    Stop: "transaction.stop", Operator, "Have nobody complete a transaction any more";
    /// Having a notice sent on a channel once more.
    Redeliver: "alert.redeliver", Operator, "Have a notice sent once more";
    /// Having a test sent on a channel.
    TestChannel: "alert_channel.test", Operator, "Send a test on a channel";
    /// Switching a channel on whose receiver was gone, or ending its rest.
    SwitchChannelOn: "alert_channel.switch_on", Operator, "Switch a channel on whose receiver was gone";
    /// Saying that one looks after an incident.
    Acknowledge: "incident.acknowledge", Operator, "Say that one looks after an incident";
    /// Saying who is to look after an incident.
    Assign: "incident.assign", Operator, "Say who is to look after an incident";
    /// Having nobody told of an incident for a while, and told again.
    Silence: "incident.silence", Operator, "Silence an incident for a while";
    /// Saying that an incident is over.
    CloseIncident: "incident.close", Operator, "Say that an incident is over";
    /// Changing a sale's units, times, or whether it takes orders.
    ChangeSale: "sale.change", Operator, "Pause a sale, restock it, change its times";
    /// Changing when what failed is tried again.
    ChangePolicy: "policy.change", Admin, "Change when what failed is tried again";
    /// Making operators.
    ManageOperators: "operators.manage", Admin, "Make operators, give roles, reset passwords, end lock-outs";
    /// Making and ending tokens of one's own.
    ManageTokens: "tokens.manage", Viewer, "Make and end personal tokens of one's own";
}

/// Those a personal token may have: a token makes no tokens.
pub(crate) fn grantable() -> impl Iterator<Item = &'static Entry> {
    CATALOGUE
        .iter()
        .filter(|entry| entry.name != ManageTokens::NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_told_apart_and_fit_into_a_scope() {
        let names: HashSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        let all: usize = names.iter().map(|name| name.len() + 1).sum();
        assert!(
            all < 2_000,
            "a scope with all of them takes {all} characters"
        );
        for name in names {
            assert!(
                name.bytes()
                    .all(|it| it.is_ascii_lowercase() || matches!(it, b'.' | b'_')),
                "{name}"
            );
        }
    }
}
