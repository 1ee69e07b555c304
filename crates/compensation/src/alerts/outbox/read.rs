//! What operators see of it.

use super::claim;
use crate::alerts::{Notice, Severity, Status};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, MySqlPool, QueryBuilder};
use uuid::Uuid;

const COLUMNS: &str = "select id, channel, kind, severity, subject, title, state, attempts, last_error, created_at, delivered_at, \
                       incident_id, sequence, status, digest_id from alert_outbox ";
/// More tries and channels of one subject are not shown.
const OF_SUBJECT_AT_MOST: u32 = 500;

/// How far an alert has come on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum State {
    /// Not delivered yet.
    Pending,
    /// The receiver has it.
    Delivered,
    /// Given up, or there was no channel.
    Undelivered,
    /// A digest tells of it instead.
    Digested,
    /// A later notice of its incident says all of it, or it was over before anybody could be told.
    Superseded,
}

impl State {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Digested => "digested",
            Self::Superseded => "superseded",
        }
    }
}

/// One alert on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The alert's id, the same on all channels.
    pub id: Uuid,
    /// Empty where none was configured.
    pub channel: String,
    /// What happened.
    pub kind: String,
    /// How soon someone has to look.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// One line.
    pub title: String,
    /// How far it has come.
    pub state: State,
    /// Tries so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// When the receiver said that it has it.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Its incident.
    pub incident: Option<Uuid>,
    /// Of the incident's notices, from 1; 0: of none.
    pub sequence: u32,
    /// Why people are told.
    pub status: Status,
    /// The digest that tells of it instead.
    pub digest: Option<Uuid>,
}

/// Which alerts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Every one.
    All,
    /// Those that wait or were given up.
    NotDelivered,
}

/// A row's place in the list: the next page begins after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// [`Delivery::created_at`].
    pub created_at: DateTime<Utc>,
    /// [`Delivery::id`].
    pub id: Uuid,
    /// [`Delivery::channel`].
    pub channel: String,
}

/// How many are not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Those that wait.
    pub pending: u64,
    /// Those that were given up.
    pub undelivered: u64,
}

impl Delivery {
    /// Its place in the list.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            created_at: self.created_at,
            id: self.id,
            channel: self.channel.clone(),
        }
    }
}

/// Up to `limit` alerts, the newest first, `before` a place or from the start.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &MySqlPool,
    show: Show,
    limit: u32,
    before: Option<&Position>,
) -> sqlx::Result<Vec<Delivery>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select.push("where ").push(match show {
        Show::All => "true",
        Show::NotDelivered => "state in ('pending', 'undelivered')",
    });
    if let Some(Position {
        created_at,
        id,
        channel,
    }) = before
    {
        let at = created_at.naive_utc();
        select.push(" and created_at <= ").push_bind(at);
        select.push(" and (created_at < ").push_bind(at);
        select.push(" or id < ").push_bind(id);
        select.push(" or (id = ").push_bind(id);
        select.push(" and channel < ").push_bind(channel).push("))");
    }
    select
        .push(" order by created_at desc, id desc, channel desc limit ")
        .push_bind(limit);
    deliveries(select, db).await
}

/// All alerts about one subject, the newest first.
///
/// # Errors
/// What the database says.
pub async fn of_subject(db: &MySqlPool, subject: &str) -> sqlx::Result<Vec<Delivery>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select.push("where subject = ").push_bind(subject);
    select
        .push(" order by created_at desc, id desc, channel desc limit ")
        .push_bind(OF_SUBJECT_AT_MOST);
    deliveries(select, db).await
}

/// A notice on all its channels.
///
/// # Errors
/// What the database says.
pub async fn of_notice(db: &MySqlPool, id: Uuid) -> sqlx::Result<Vec<Delivery>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select.push("where id = ").push_bind(id);
    select
        .push(" order by channel limit ")
        .push_bind(OF_SUBJECT_AT_MOST);
    deliveries(select, db).await
}

/// What a digest tells of, the newest first.
///
/// # Errors
/// What the database says.
pub async fn digested(db: &MySqlPool, digest: Uuid) -> sqlx::Result<Vec<Delivery>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select.push("where digest_id = ").push_bind(digest);
    select
        .push(" order by created_at desc, id desc limit ")
        .push_bind(OF_SUBJECT_AT_MOST);
    deliveries(select, db).await
}

/// What a notice says. `None`: there is none, or nobody can read it.
///
/// # Errors
/// What the database says.
pub async fn notice(db: &MySqlPool, id: Uuid) -> sqlx::Result<Option<Notice>> {
    let body = sqlx::query_scalar!("select body from alert_outbox where id = ? limit 1", id)
        .fetch_optional(db)
        .await?;
    Ok(body.and_then(|body| claim::notice_of(&body).ok()))
}

/// How many are not delivered.
///
/// # Errors
/// What the database says.
pub async fn counts(db: &MySqlPool) -> sqlx::Result<Counts> {
    let rows = sqlx::query!(
        r#"select state as "state: State", count(*) as "count: u64" from alert_outbox
           where state in ('pending', 'undelivered') group by state"#
    )
    .fetch_all(db)
    .await?;
    let mut counts = Counts::default();
    for row in rows {
        match row.state {
            State::Pending => counts.pending = row.count,
            State::Undelivered => counts.undelivered = row.count,
            State::Delivered | State::Digested | State::Superseded => {}
        }
    }
    Ok(counts)
}

async fn deliveries(
    mut select: QueryBuilder<sqlx::MySql>,
    db: &MySqlPool,
) -> sqlx::Result<Vec<Delivery>> {
    let rows: Vec<Row> = select.build_query_as().fetch_all(db).await?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// The columns as the server has them: its texts are no enums, its `int` is signed.
#[derive(FromRow)]
struct Row {
    id: Uuid,
    channel: String,
    kind: String,
    severity: String,
    subject: String,
    title: String,
    state: String,
    attempts: i32,
    last_error: Option<String>,
    created_at: chrono::NaiveDateTime,
    delivered_at: Option<chrono::NaiveDateTime>,
    incident_id: Option<Uuid>,
    sequence: u32,
    status: String,
    digest_id: Option<Uuid>,
}

impl TryFrom<Row> for Delivery {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            channel: row.channel,
            kind: row.kind,
            severity: severity(&row.severity)?,
            subject: row.subject,
            title: row.title,
            state: match row.state.as_str() {
                "pending" => State::Pending,
                "delivered" => State::Delivered,
                "undelivered" => State::Undelivered,
                "digested" => State::Digested,
                "superseded" => State::Superseded,
                other => return Err(unknown(other)),
            },
            attempts: row.attempts.try_into().unwrap_or_default(),
            last_error: row.last_error,
            created_at: row.created_at.and_utc(),
            delivered_at: row.delivered_at.map(|at| at.and_utc()),
            incident: row.incident_id,
            sequence: row.sequence,
            status: status(&row.status)?,
            digest: row.digest_id,
        })
    }
}

pub(super) fn severity(stored: &str) -> sqlx::Result<Severity> {
    let all = [Severity::Urgent, Severity::Warning, Severity::Info];
    let known = all.into_iter().find(|it| it.as_str() == stored);
    known.ok_or_else(|| unknown(stored))
}

pub(super) fn status(stored: &str) -> sqlx::Result<Status> {
    let known = Status::ALL.into_iter().find(|it| it.as_str() == stored);
    known.ok_or_else(|| unknown(stored))
}

fn unknown(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what:?} is not known").into())
}
