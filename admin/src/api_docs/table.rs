//! The routes of the JSON API, in the order of their rooms.

use crate::access::{
    Acknowledge, Assign, ChangePolicy, ChangeSale, CloseIncident, Discard, EditOrder, Export,
    ExportAudit, Look, ManageTokens, MarkGroup, Permission, Reconcile, Redeliver, Replay, Resume,
    RollBack, Silence, Steer, Stop, SwitchChannelOn, TestChannel, WriteNote,
};
use serde_json::{Value, json};

/// One route.
pub(super) struct Described {
    /// In lower case.
    pub method: &'static str,
    /// Below `/api/v1`.
    pub path: &'static str,
    pub what: &'static str,
    /// What one must be allowed; none where a log-in is enough.
    pub permission: Option<&'static str>,
    /// Whether it needs no log-in.
    pub is_open: bool,
    pub query: &'static [(&'static str, &'static str)],
    pub body: &'static [Field],
    pub answer: Answer,
}

/// A field of a body.
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub is_needed: bool,
    pub what: &'static str,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Id,
    Number,
    Share,
    Truth,
    Time,
    Names,
    Object,
}

/// What a call is answered with when it goes well.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Page,
    Whole,
    Made,
    Taken,
    Nothing,
    Text(&'static str),
}

impl Kind {
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Id => json!({"type": "string", "format": "uuid"}),
            Self::Number => json!({"type": "integer"}),
            Self::Share => json!({"type": "integer", "minimum": 0, "maximum": 100}),
            Self::Truth => json!({"type": "boolean"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Names => json!({"type": "array", "items": {"type": "string"}}),
            Self::Object => json!({"type": "object"}),
        }
    }
}

impl Described {
    const fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, body: &'static [Field]) -> Self {
        Self { body, ..self }
    }

    const fn answers(self, answer: Answer) -> Self {
        Self { answer, ..self }
    }
}

const fn route(method: &'static str, path: &'static str, what: &'static str) -> Described {
    Described {
        method,
        path,
        what,
        permission: None,
        is_open: false,
        query: &[],
        body: &[],
        answer: Answer::Whole,
    }
}

const fn may<P: Permission>(
    method: &'static str,
    path: &'static str,
    what: &'static str,
) -> Described {
    Described {
        permission: Some(P::NAME),
        ..route(method, path, what)
    }
}

const fn needed(name: &'static str, kind: Kind, what: &'static str) -> Field {
    Field {
        name,
        kind,
        is_needed: true,
        what,
    }
}

const fn field(name: &'static str, kind: Kind, what: &'static str) -> Field {
    Field {
        name,
        kind,
        is_needed: false,
        what,
    }
}

const LIST: &[(&str, &str)] = &[
    ("q", "An id, or words of the error."),
    (
        "state",
        "open, replaying, handled or all; all when it is not said.",
    ),
    ("sale", "Of a sale."),
    ("step", "Where they failed."),
    ("fingerprint", "Of a group."),
    ("after", "Where the page before ended."),
];
const EXPORT: &[(&str, &str)] = &[
    LIST[0],
    LIST[1],
    LIST[2],
    LIST[3],
    LIST[4],
    (
        "columns",
        "Names with commas between them; all when it is not said.",
    ),
];
const AUDIT: &[(&str, &str)] = &[
    ("operator", "By whom."),
    ("act", "What was done: noun.verb."),
    ("outcome", "done, denied, refused or failed."),
    ("subject", "What it was done to."),
    ("operation", "Of an operation."),
    ("from", "From this day or time on, in UTC."),
    ("to", "Before this time, or to the end of this day, in UTC."),
    ("before", "Only lines before this one."),
];
const BEFORE: (&str, &str) = ("before", "Where the page before ended.");
const REASON: Field = needed("reason", Kind::Text, "Why; it stands in the audit.");
const SOME_REASON: Field = field("reason", Kind::Text, "Why; it stands in the audit.");

/// All of them.
pub(super) const ROUTES: &[Described] = &[
    Described { is_open: true, ..route("post", "/sessions", "Logs in: gives an access token.") }.body(&[
        needed("username", Kind::Text, "Who."),
        needed("password", Kind::Text, "Their password."),
    ]),
    route("delete", "/sessions", "Logs out.").answers(Answer::Nothing),
    route("get", "/me", "Who one is, and what one may."),
    may::<ManageTokens>("get", "/tokens", "One's personal tokens."),
    may::<ManageTokens>("post", "/tokens", "Makes a personal token; it is told once.")
        .body(&[
            needed("name", Kind::Text, "1 to 64 characters."),
            needed("scope", Kind::Names, "Permissions, by name."),
            needed("days", Kind::Number, "How long it holds, 1 to 366."),
        ])
        .answers(Answer::Made),
    may::<ManageTokens>("delete", "/tokens/{id}", "Ends a personal token.").answers(Answer::Nothing),
    may::<Look>("get", "/overview", "What waits in all parts, and how old it is."),
    may::<Look>("get", "/archives", "Dead letters, newest first. A page may be short, or empty, and not the last.").query(LIST).answers(Answer::Page),
    may::<Export>("get", "/archives.csv", "All that match, for a spreadsheet.").query(EXPORT).answers(Answer::Text("text/csv")),
    may::<Export>("get", "/archives.jsonl", "All that match, one a line, for programs.").query(EXPORT).answers(Answer::Text("application/jsonl")),
    may::<Look>("get", "/archives/{id}", "One dead letter, with everything that happened to it."),
    may::<Look>("get", "/archives/{id}/truth", "What is true of its order now, and what that means."),
    may::<Look>("get", "/archives/{id}/preview", "What a replay would come to now."),
    may::<Look>("get", "/archives/{id}/notes", "What people wrote beside it."),
    may::<WriteNote>("post", "/archives/{id}/notes", "Writes a note beside it.")
        .body(&[
            needed("text", Kind::Text, "What."),
            field("id", Kind::Id, "Of the note: a request that is sent again is the same one."),
        ])
        .answers(Answer::Made),
    may::<Look>("get", "/archives/{id}/versions", "All versions of its message, and what may be changed."),
    may::<EditOrder>("post", "/archives/{id}/versions", "Makes another version. A price needs order.edit_price, too.")
        .body(&[
            needed("revision", Kind::Number, "The newest version that was seen: refused when there is a newer one."),
            needed("fields", Kind::Object, "Those that are to be others: quantity, remark, price."),
            needed("reason", Kind::Text, "Why; it stands in the audit."),
            field("from", Kind::Number, "The version it is made from; the newest when it is not said."),
        ])
        .answers(Answer::Made),
    may::<Discard>("post", "/archives/{id}/discard", "Gives it up for good.").body(&[SOME_REASON]).answers(Answer::Taken),
    may::<Reconcile>("post", "/archives/{id}/reconcile", "Has what is written of its order made to agree.").answers(Answer::Taken),
    may::<Look>("get", "/groups", "Dead letters by cause.")
        .query(&[
            ("show", "open or all; open when it is not said."),
            ("sort", "open or last_seen; open when it is not said."),
            ("after", "Where the page before ended."),
            ("limit", "Groups of a page, at most 100."),
        ])
        .answers(Answer::Page),
    may::<Look>("get", "/groups/{fingerprint}", "One group, and what is said of it."),
    may::<MarkGroup>("patch", "/groups/{fingerprint}", "Says what is to become of it; what is left out stays.").body(&[
        field("status", Kind::Text, "open, ignored or resolved."),
        field("assignee", Kind::Text, "An operator's name; null: nobody."),
        field("reason", Kind::Text, "Why."),
        field("mark_version", Kind::Number, "The one that was seen: refused when it is another by now."),
    ]),
    may::<Look>("get", "/transactions", "What the coordinator has in hand.")
        .query(&[
            ("state", "stuck, undecided, completing, finished, all, or a state."),
            ("label", "Of a label, such as an order's id."),
            ("kind", "Of a kind."),
            ("participant", "With a participant."),
            ("older_than_s", "Begun longer ago than so many seconds."),
            ("cursor", "Where the page before ended."),
            ("limit", "Transactions of a page, at most 100."),
        ])
        .answers(Answer::Page),
    may::<Look>("get", "/transactions/{gid}", "One transaction, with each branch and its calls."),
    may::<RollBack>("post", "/transactions/{gid}/rollback", "Undoes one that is not decided.").answers(Answer::Taken),
    may::<Resume>("post", "/transactions/{gid}/resume", "Lets a stuck one go on.").answers(Answer::Taken),
    may::<Stop>("post", "/transactions/{gid}/stop", "Has nobody complete a decided one any more.").body(&[REASON]),
    may::<Look>("get", "/operations", "Replays, discards and reconciliations, newest first.").query(&[("after", "Where the page before ended.")]).answers(Answer::Page),
    may::<Replay>("post", "/operations", "Asks for a replay or a discard, of an order or of all that a filter matches. A discard needs order.discard instead.")
        .body(&[
            needed("kind", Kind::Text, "replay or discard."),
            field("order_id", Kind::Id, "Of one order; else a filter."),
            field("filter", Kind::Object, "q, state, sale, step, fingerprint; what is not said is open."),
            field("id", Kind::Id, "Of the operation on many: a request that is sent again is the same one."),
            field("reason", Kind::Text, "Why. An operation on many needs one."),
            field("rate", Kind::Number, "Orders a second."),
            field("canary", Kind::Truth, "Whether 1, then 10, then 100 go first."),
            field("stop_percent", Kind::Share, "Stops itself above so many of a hundred that fail."),
            field("grace_s", Kind::Number, "Seconds in which it can be undone."),
        ])
        .answers(Answer::Taken),
    may::<Look>("post", "/operations/preview", "What would happen now; changes nothing.").body(&[
        needed("kind", Kind::Text, "replay or discard."),
        needed("filter", Kind::Object, "q, state, sale, step, fingerprint; what is not said is open."),
    ]),
    may::<Look>("get", "/operations/{id}", "One operation, as far as it has come."),
    may::<Look>("get", "/operations/{id}/items", "What it is done to.")
        .query(&[("state", "Those that stand so."), ("after", "Where the page before ended.")])
        .answers(Answer::Page),
    may::<Discard>("post", "/operations/{id}/confirm", "Confirms what somebody else asked for and is too many for one."),
    may::<Steer>("post", "/operations/{id}/{act}", "pause, resume, cancel or undo."),
    may::<Look>("get", "/alerts", "Notices by channel, newest first.").query(&[("show", "all or undelivered; all when it is not said."), BEFORE]).answers(Answer::Page),
    may::<Look>("get", "/alerts/channels", "How the channels are.").answers(Answer::Page),
    may::<TestChannel>("post", "/alerts/channels/{name}/test", "Sends a test.").answers(Answer::Taken),
    may::<SwitchChannelOn>("post", "/alerts/channels/{name}/on", "Switches a channel on whose receiver was gone."),
    may::<Look>("get", "/alerts/{id}", "A notice on all its channels, with every try."),
    may::<Redeliver>("post", "/alerts/{id}/redeliver", "Sends a notice once more.").body(&[needed("channel", Kind::Text, "As the settings name it.")]).answers(Answer::Taken),
    may::<Look>("get", "/incidents", "Alike alerts as one.").query(&[("show", "open or resolved; open when it is not said."), BEFORE]).answers(Answer::Page),
    may::<Look>("get", "/incidents/{id}", "One incident, with its notices."),
    may::<Look>("get", "/incidents/{id}/alerts", "What it was made of.").query(&[BEFORE]).answers(Answer::Page),
    may::<Acknowledge>("post", "/incidents/{id}/acknowledge", "Says that one looks after it."),
    may::<Assign>("post", "/incidents/{id}/assign", "Says who is to look after it.").body(&[field("to", Kind::Text, "An operator's name; null: nobody.")]),
    may::<Silence>("post", "/incidents/{id}/silence", "Has nobody told of it for a while.").body(&[needed("minutes", Kind::Number, "For how long."), REASON]),
    may::<Silence>("post", "/incidents/{id}/unsilence", "Has people told of it again."),
    may::<CloseIncident>("post", "/incidents/{id}/close", "Says that it is over.").body(&[REASON]),
    may::<Look>("get", "/sales", "Sales with their stock.")
        .query(&[("show", "Which ones."), BEFORE, ("limit", "Sales of a page.")])
        .answers(Answer::Page),
    may::<Look>("get", "/sales/{id}", "One sale, as MySQL and Redis have it."),
    may::<ChangeSale>("patch", "/sales/{id}", "Pauses, restocks, changes times.").body(&[
        field("total", Kind::Number, "Units, in all."),
        field("starts_at", Kind::Time, "When it begins."),
        field("ends_at", Kind::Time, "When it ends."),
        field("paused", Kind::Truth, "Whether it takes no orders."),
        field("revision", Kind::Number, "The one that was looked at: refused when it is another by now."),
        REASON,
    ]),
    may::<Look>("get", "/compensation-logs", "Every try there was.")
        .query(&[
            ("order", "Of an order."),
            ("lane", "first, retry or dead_letter."),
            ("outcome", "How it ended."),
            ("until", "Before this time, in UTC."),
            ("cursor", "Where the page before ended."),
            ("limit", "Tries of a page."),
        ])
        .answers(Answer::Page),
    may::<Look>("get", "/audit", "Who did what, newest first.").query(AUDIT).answers(Answer::Page),
    may::<ExportAudit>("get", "/audit.csv", "The audit, for a spreadsheet.").query(AUDIT).answers(Answer::Text("text/csv")),
    may::<ExportAudit>("get", "/audit.jsonl", "The audit, for whoever checks its chain. It needs personal.see, too.").query(AUDIT).answers(Answer::Text("application/jsonl")),
    may::<Look>("get", "/reports/weekly", "Attempts, success, causes and times of a week.").query(&[("week", "Its monday; the last whole week when it is not said.")]),
    may::<Look>("get", "/settings/retry-policy", "When what failed is tried again, and what ruled before."),
    may::<ChangePolicy>("put", "/settings/retry-policy", "Changes it.").body(&[
        needed("version", Kind::Number, "The one it was made from: refused when another rules by now."),
        needed("policy", Kind::Object, "All of it."),
        REASON,
    ]),
    may::<Look>("post", "/settings/retry-policy/preview", "What would come of a policy; changes nothing.").body(&[needed("policy", Kind::Object, "All of it.")]),
];
