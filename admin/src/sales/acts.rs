//! Changing a sale while it is on. The change and its line in the audit are one transaction in MySQL; Redis is told afterwards, and
//! what it does not take now is brought there by the compensator's comparison.

use super::redis_side;
use crate::{
    App,
    access::{Caller, ChangeSale, Permission as _},
    audit::{self, Entry, Outcome},
    doubt,
};
use ordering::{
    SaleId,
    sales::{self, Change, ChangeError, Sale, SaleState},
};

/// A change somebody asks for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub change: Change,
    /// The revision it was made from; nothing for those who do not mind.
    pub made_from: Option<i64>,
    pub reason: &'a str,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    pub sale: Sale,
    /// Whether Redis has it.
    pub in_redis: bool,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error("there is no such sale")]
    NotFound,
    /// The code, and the sentence.
    #[error("{1}")]
    Refused(&'static str, String),
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

/// Changes it.
pub(super) async fn change(
    app: &App,
    caller: &Caller,
    sale: SaleId,
    asked: Asked<'_>,
) -> Result<Done, ActError> {
    match change_in_mysql(app, caller, sale, &asked).await {
        Ok((sale, epoch)) => Ok(Done {
            in_redis: redis_side::tell(app, &sale, epoch).await,
            sale,
        }),
        Err(refused) => {
            if let ActError::Refused(_, sentence) = &refused {
                let subject = sale.to_string();
                let entry = Entry {
                    act: ChangeSale::NAME,
                    subject: &subject,
                    outcome: Outcome::Refused,
                    detail: sentence,
                };
                audit::record_alone(&app.db, &caller.who, entry).await?;
            }
            Err(refused)
        }
    }
}

async fn change_in_mysql(
    app: &App,
    caller: &Caller,
    sale: SaleId,
    asked: &Asked<'_>,
) -> Result<(Sale, i64), ActError> {
    let mut tx = app.db.begin().await?;
    let (changed, epoch) = sales::change_in(&mut tx, sale, &asked.change)
        .await
        .map_err(refusal)?;
    if asked.made_from.is_some_and(|it| it != changed.revision - 1) {
        return Err(ActError::Refused(
            "changed_meanwhile",
            "somebody changed the sale since you looked: look how it stands, and change it again"
                .to_owned(),
        ));
    }
    let (subject, detail) = (sale.to_string(), said(&asked.change, asked.reason));
    let entry = Entry {
        act: ChangeSale::NAME,
        subject: &subject,
        outcome: Outcome::Done,
        detail: &detail,
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok((changed, epoch))
}

fn refusal(cause: ChangeError) -> ActError {
    match cause {
        ChangeError::NotFound => ActError::NotFound,
        ChangeError::NoWindow => ActError::Refused(
            "no_window",
            "the sale would end before it begins".to_owned(),
        ),
        ChangeError::BelowSold { sold } => ActError::Refused(
            "below_sold",
            format!("{sold} units are sold; it cannot have fewer"),
        ),
        ChangeError::Mysql(cause) => ActError::Database(cause),
    }
}

/// What is new, and why.
fn said(change: &Change, reason: &str) -> String {
    let mut new = Vec::new();
    if let Some(total) = change.total {
        new.push(format!("{total} units"));
    }
    if let Some(at) = change.starts_at {
        new.push(format!("begins {}", at.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    if let Some(at) = change.ends_at {
        new.push(format!("ends {}", at.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    match change.state {
        Some(SaleState::Paused) => new.push("paused".to_owned()),
        Some(SaleState::Open) => new.push("goes on".to_owned()),
        None => {}
    }
    format!("{}: {reason}", new.join(", "))
}
