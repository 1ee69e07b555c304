//! What operators see of incidents.

use super::state::State;
use crate::alerts::Severity;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, MySqlPool, QueryBuilder};
use uuid::Uuid;

/// Notices and deliveries of one incident that are shown.
const DELIVERIES_AT_MOST: u32 = 200;
/// Incidents of one subject that are shown.
const OF_SUBJECT_AT_MOST: u32 = 20;

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: Uuid,
    /// What its alerts share.
    pub group: String,
    /// What happened.
    pub kind: String,
    /// How soon someone has to look.
    pub severity: Severity,
    /// Of the latest alert.
    pub title: String,
    /// What the latest alert is about.
    pub subject: String,
    /// Alerts so far.
    pub alerts: u32,
    /// When the first one was raised.
    pub first_at: DateTime<Utc>,
    /// When the latest was.
    pub last_at: DateTime<Utc>,
    /// Where it stands.
    pub state: State,
    /// How it ended.
    pub resolution: Option<String>,
    /// When.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who looks after it.
    pub acknowledged_by: Option<String>,
    /// Since when.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Who is to.
    pub assigned_to: Option<String>,
    /// Until when nothing is sent, or was.
    pub silenced_until: Option<DateTime<Utc>>,
    /// Who wanted that.
    pub silenced_by: Option<String>,
    /// Why.
    pub silence_reason: Option<String>,
    /// Notices so far.
    pub notices: u32,
    /// When the next route is told, unless somebody acknowledges.
    pub escalate_at: Option<DateTime<Utc>>,
}

/// Which incidents are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Those that stand.
    Open,
    /// Those that are over.
    Resolved,
}

/// A place in a list, newest first: the next page begins after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Of an incident [`Listed::last_at`], of an alert [`Counted::created_at`].
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

/// An alert that is counted in an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Its id.
    pub id: Uuid,
    /// What it is about.
    pub subject: String,
    /// One line.
    pub title: String,
    /// Whether it says that it is over.
    pub resolves: bool,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
}

/// A notice of an incident on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The notice's id, the same on all channels.
    pub id: Uuid,
    /// Of the incident's notices, from 1.
    pub sequence: u32,
    /// Why people were told.
    pub status: String,
    /// Empty where none was configured.
    pub channel: String,
    /// How far it has come.
    pub state: String,
    /// Tries so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the receiver said that it has it.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl Listed {
    /// Its place in the list.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            at: self.last_at,
            id: self.id,
        }
    }
}

impl Counted {
    /// Its place among the incident's alerts.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            at: self.created_at,
            id: self.id,
        }
    }
}

const COLUMNS: &str = "select id, group_key, kind, severity, title, subject, alerts, first_at, last_at, state, resolution, resolved_at, \
     acknowledged_by, acknowledged_at, assigned_to, silenced_until, silenced_by, silence_reason, notices, escalate_at, \
     coalesce(silenced_until > utc_timestamp(3), false) as silenced from incidents ";

/// Up to `limit` incidents, those that happened last first, `before` a place or from the start.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &MySqlPool,
    show: Show,
    limit: u32,
    before: Option<Position>,
) -> sqlx::Result<Vec<Listed>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select.push(match show {
        Show::Open => "where state = 'open'",
        Show::Resolved => "where state = 'resolved'",
    });
    if let Some(Position { at, id }) = before {
        let at = at.naive_utc();
        select.push(" and last_at <= ").push_bind(at);
        select.push(" and (last_at < ").push_bind(at);
        select.push(" or id < ").push_bind(id).push(")");
    }
    select
        .push(" order by last_at desc, id desc limit ")
        .push_bind(limit);
    listed(select, db).await
}

/// One incident.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, id: Uuid) -> sqlx::Result<Option<Listed>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select.push("where id = ").push_bind(id);
    Ok(listed(select, db).await?.pop())
}

/// The incidents that have alerts about this subject, the newest first.
///
/// # Errors
/// What the database says.
pub async fn of_subject(db: &MySqlPool, subject: &str) -> sqlx::Result<Vec<Listed>> {
    let mut select = QueryBuilder::new(COLUMNS);
    select
        .push("where id in (select incident_id from alerts where subject = ")
        .push_bind(subject)
        .push(") order by last_at desc, id desc limit ")
        .push_bind(OF_SUBJECT_AT_MOST);
    listed(select, db).await
}

/// How many stand.
///
/// # Errors
/// What the database says.
pub async fn open(db: &MySqlPool) -> sqlx::Result<u64> {
    let open = sqlx::query_scalar!(
        r#"select cast(count(*) as unsigned) as "open!: u64" from incidents where state = 'open'"#
    )
    .fetch_one(db)
    .await?;
    Ok(open)
}

/// Up to `limit` alerts of an incident, the newest first, `before` a place or from the start.
///
/// # Errors
/// What the database says.
pub async fn alerts_of(
    db: &MySqlPool,
    incident: Uuid,
    limit: u32,
    before: Option<Position>,
) -> sqlx::Result<Vec<Counted>> {
    // Nobody's alert is of the year 9999.
    let (at, id) = before.map_or_else(
        || {
            let end = DateTime::from_timestamp(253_370_764_800, 0).unwrap_or_default();
            (end.naive_utc(), Uuid::max())
        },
        |place| (place.at.naive_utc(), place.id),
    );
    sqlx::query_as!(
        Counted,
        r#"select id as "id: Uuid", subject, title, resolves as "resolves: bool", created_at as "created_at: DateTime<Utc>"
           from alerts where incident_id = ? and created_at <= ? and (created_at < ? or id < ?)
           order by created_at desc, id desc limit ?"#,
        incident,
        at,
        at,
        id,
        limit
    )
    .fetch_all(db)
    .await
}

/// The last notices of an incident, each on each of its channels, the newest first.
///
/// # Errors
/// What the database says.
pub async fn deliveries_of(db: &MySqlPool, incident: Uuid) -> sqlx::Result<Vec<Sent>> {
    sqlx::query_as!(
        Sent,
        r#"select id as "id: Uuid", sequence, status, channel, state, attempts as "attempts: u32", last_error,
                  created_at as "created_at: DateTime<Utc>", delivered_at as "delivered_at: DateTime<Utc>"
           from alert_outbox where incident_id = ? order by sequence desc, channel limit ?"#,
        incident,
        DELIVERIES_AT_MOST
    )
    .fetch_all(db)
    .await
}

/// Whether something of the group stands, or was raised and is counted nowhere yet. Whoever tells when it is over asks once after a start:
/// the process that told that it began may have died since.
///
/// # Errors
/// What the database says.
pub async fn stands(db: &MySqlPool, group: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from incidents where open_group = ? and severity <> 'info')
               or exists(select 1 from alerts where incident_id is null and group_key = ? and not resolves) as "stands!: bool""#,
        group,
        group
    )
    .fetch_one(db)
    .await
}

async fn listed(
    mut select: QueryBuilder<sqlx::MySql>,
    db: &MySqlPool,
) -> sqlx::Result<Vec<Listed>> {
    let rows: Vec<Row> = select.build_query_as().fetch_all(db).await?;
    rows.into_iter().map(Listed::try_from).collect()
}

/// The columns as the server has them: its texts are no enums.
#[derive(FromRow)]
struct Row {
    id: Uuid,
    group_key: String,
    kind: String,
    severity: String,
    title: String,
    subject: String,
    alerts: u32,
    first_at: chrono::NaiveDateTime,
    last_at: chrono::NaiveDateTime,
    state: String,
    resolution: Option<String>,
    resolved_at: Option<chrono::NaiveDateTime>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<chrono::NaiveDateTime>,
    assigned_to: Option<String>,
    silenced_until: Option<chrono::NaiveDateTime>,
    silenced_by: Option<String>,
    silence_reason: Option<String>,
    notices: u32,
    escalate_at: Option<chrono::NaiveDateTime>,
    silenced: i32,
}

impl TryFrom<Row> for Listed {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let severity = match row.severity.as_str() {
            "urgent" => Severity::Urgent,
            "warning" => Severity::Warning,
            "info" => Severity::Info,
            other => {
                return Err(sqlx::Error::Decode(
                    format!("{other:?} is not known").into(),
                ));
            }
        };
        let state = State::of(
            row.state == "resolved",
            row.acknowledged_by.is_some(),
            row.silenced != 0,
        );
        Ok(Self {
            id: row.id,
            group: row.group_key,
            kind: row.kind,
            severity,
            title: row.title,
            subject: row.subject,
            alerts: row.alerts,
            first_at: row.first_at.and_utc(),
            last_at: row.last_at.and_utc(),
            state,
            resolution: row.resolution,
            resolved_at: row.resolved_at.map(|at| at.and_utc()),
            acknowledged_by: row.acknowledged_by,
            acknowledged_at: row.acknowledged_at.map(|at| at.and_utc()),
            assigned_to: row.assigned_to,
            silenced_until: row.silenced_until.map(|at| at.and_utc()),
            silenced_by: row.silenced_by,
            silence_reason: row.silence_reason,
            notices: row.notices,
            escalate_at: row.escalate_at.map(|at| at.and_utc()),
        })
    }
}
