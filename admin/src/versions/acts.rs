//! Making a version: what is changed is checked field by field, written down with its line in the audit.
//!
//! The audit tells which fields were changed and how many units are asked for. What the buyer wrote, and prices, it does not tell.

use super::refusal;
use crate::{
    App,
    access::{Caller, EditOrder, EditPrice, Permission as _, Refusal},
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
    replay::{Looked, ReplayError},
};
use axum::http::Uri;
use chrono::{DateTime, Utc};
use compensation::archive::{
    self, Archived,
    versions::{self, Made, NewVersion, NotMade},
};
use ordering::{
    edit::{self, Bad, Edited, Rule},
    message::OrderMessage,
};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What is to be changed.
#[derive(Debug)]
pub(crate) struct NewEdit<'a> {
    /// The newest version whoever edits has seen.
    pub revision: u32,
    /// The version it is made from.
    pub from: u32,
    /// Fields with their values.
    pub changes: Map<String, Value>,
    pub reason: &'a str,
}

/// Why it was not done.
#[derive(Debug)]
pub(crate) enum EditError {
    /// What was typed, field by field.
    Bad(Vec<Bad>),
    /// A field needs a permission.
    Denied(Refusal),
    /// Somebody saved a version meanwhile.
    Newer {
        number: u32,
        by: String,
        at: DateTime<Utc>,
    },
    /// It cannot be edited now.
    NotNow(ReplayError),
}

impl<T: Into<ReplayError>> From<T> for EditError {
    fn from(cause: T) -> Self {
        Self::NotNow(cause.into())
    }
}

impl EditError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bad(_) => "invalid",
            Self::Denied(_) => "forbidden",
            Self::Newer { .. } => "edited_meanwhile",
            Self::NotNow(refused) => refused.code(),
        }
    }

    /// Who was faster.
    pub fn meanwhile(number: u32, by: &str, at: DateTime<Utc>) -> String {
        format!(
            "{by} saved version {number} at {} UTC, after this form was opened. Look at it before you save yours.",
            at.format("%H:%M:%S")
        )
    }
}

/// Makes a version and gives its number. Version and audit are one transaction; what is refused is audited too, but for what was typed.
///
/// # Errors
/// [`EditError`].
pub(crate) async fn edit(
    app: &App,
    caller: &Caller,
    uri: &Uri,
    id: Uuid,
    new: &NewEdit<'_>,
) -> Result<u32, EditError> {
    let made = made(app, caller, uri, id, new).await;
    let Err(refused) = &made else { return made };
    let outcome = match refused {
        EditError::Bad(_) | EditError::Denied(_) => return made,
        EditError::NotNow(ReplayError::Database(cause)) if Doubt::of(cause).is_some() => {
            return made;
        }
        EditError::NotNow(ReplayError::Database(_)) => Outcome::Failed,
        _ => Outcome::Refused,
    };
    let entry = Entry {
        act: EditOrder::NAME,
        subject: &id.to_string(),
        outcome,
        detail: refused.code(),
    };
    let audited = audit::record_alone(&app.db, &caller.who, entry).await;
    // A database that is away has been told of once.
    if outcome == Outcome::Refused {
        audited?;
    }
    made
}

async fn made(
    app: &App,
    caller: &Caller,
    uri: &Uri,
    id: Uuid,
    new: &NewEdit<'_>,
) -> Result<u32, EditError> {
    let archived = archive::find(&app.db, id)
        .await?
        .ok_or(ReplayError::NotFound)?;
    let looked = Looked::at(app, &archived, None).await?;
    // Whose hands it is in is told under the row's lock, with who and when.
    match refusal(&archived, &looked) {
        None | Some("replaying") => {}
        Some(code) => return Err(ReplayError::Refused(code).into()),
    }
    let from = base(app, &archived, &looked, new.from).await?;
    let sale = looked.outlook.as_ref().and_then(|it| it.sale.as_ref());
    let edited =
        edit::edited(&from, &new.changes, sale.map(|sale| sale.limit)).map_err(EditError::Bad)?;
    // An older version may have another price than the newest one, which is taken unless somebody chooses.
    let newest = base(app, &archived, &looked, archived.version).await?;
    let sensitive = edited.changed.iter().any(|it| it.rule == Rule::Sensitive);
    if sensitive || edited.message.price != newest.price {
        let allowed = caller.must_be_allowed::<EditPrice>(app, uri).await;
        allowed.map_err(EditError::Denied)?;
    }
    if edited.changed.is_empty() {
        return Err(bad("fields", "nothing is changed"));
    }
    let original = looked.message.as_ref().map(|it| it.payload.as_slice());
    let version = NewVersion {
        archive_id: id,
        revision: new.revision,
        made_from: new.from,
        original: original.unwrap_or_default(),
        payload: &edited.message.to_bytes(),
        made_by: &caller.who.name,
        reason: new.reason,
    };
    let mut tx = app.db.begin().await?;
    let number = match versions::make(&mut tx, &version).await {
        Ok(Made::Now(number)) => number,
        // A second click has no line of its own.
        Ok(Made::Before(number)) => return Ok(number),
        Err(refused) => return Err(not_made(refused)),
    };
    let entry = Entry {
        act: EditOrder::NAME,
        subject: &id.to_string(),
        outcome: Outcome::Done,
        detail: &format!(
            "{} (version {number} of {}: {})",
            new.reason,
            new.from,
            told(&from, &edited),
        ),
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(number)
}

/// The order a version is made from.
async fn base(
    app: &App,
    archived: &Archived,
    looked: &Looked,
    from: u32,
) -> Result<OrderMessage, EditError> {
    let found = if archived.version == 0 && from == 0 {
        looked.order()
    } else {
        let mut db = app.db.acquire().await?;
        let version = versions::find(&mut db, archived.id, from).await?;
        version.and_then(|version| OrderMessage::parse(&version.payload).ok())
    };
    found.ok_or_else(|| ReplayError::Refused("no_such_version").into())
}

fn not_made(refused: NotMade) -> EditError {
    match refused {
        NotMade::NotNow(refused) => refused.into(),
        NotMade::Held => ReplayError::Refused("held_as_it_is").into(),
        NotMade::Newer { number, by, at } => EditError::Newer { number, by, at },
        NotMade::NoSuchVersion(_) => ReplayError::Refused("no_such_version").into(),
        NotMade::TooMany => ReplayError::Refused("too_many_versions").into(),
        NotMade::Database(cause) => cause.into(),
    }
}

pub(super) fn bad(field: &str, why: &str) -> EditError {
    EditError::Bad(vec![Bad {
        field: field.to_owned(),
        why: why.to_owned(),
    }])
}

/// What was changed, without what nobody is to read in the audit.
fn told(base: &OrderMessage, edited: &Edited) -> String {
    let told: Vec<String> = edited
        .changed
        .iter()
        .map(|field| match field.name {
            "quantity" => format!(
                "quantity {} to {}",
                base.quantity.get(),
                edited.message.quantity.get()
            ),
            name => name.to_owned(),
        })
        .collect();
    told.join(", ")
}
