//! Rows of `incidents`: locked, changed, written. What changes is decided elsewhere.

use super::{saying::Told, state::State};
use crate::alerts::Severity;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use tracing::error;
use uuid::Uuid;

/// As long as the column, in characters.
const RESOLUTION_AT_MOST: usize = 500;

/// An incident that this transaction has locked, or is about to make.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    pub id: Uuid,
    pub group_key: String,
    pub kind: String,
    pub severity: Severity,
    pub title: String,
    pub subject: String,
    pub opened_by: Uuid,
    pub latest_id: Uuid,
    pub alerts: u32,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub over: bool,
    pub resolution: Option<String>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub ended_by: Option<Uuid>,
    pub acknowledged_by: Option<String>,
    pub silenced_until: Option<DateTime<Utc>>,
    pub notices: u32,
    pub told: Told,
    pub notify_at: Option<DateTime<Utc>>,
    pub escalate_at: Option<DateTime<Utc>>,
    /// Not in the table yet.
    pub is_new: bool,
}

impl Incident {
    /// Where it stands.
    pub fn state(&self, now: DateTime<Utc>) -> State {
        let silenced = self.silenced_until.is_some_and(|until| until > now);
        State::of(self.over, self.acknowledged_by.is_some(), silenced)
    }

    /// It was not over.
    pub fn reopen(&mut self) {
        (self.over, self.resolution, self.resolved_at) = (false, None, None);
    }

    /// It is over; how, in words.
    pub fn resolve(&mut self, how: &str, now: DateTime<Utc>) {
        self.over = true;
        self.resolution = Some(how.chars().take(RESOLUTION_AT_MOST).collect());
        self.resolved_at = Some(now);
    }
}

/// What time it is by the database's clock, `ahead` of it.
pub(super) async fn now(db: &mut MySqlConnection, ahead: TimeDelta) -> sqlx::Result<DateTime<Utc>> {
    let now: DateTime<Utc> =
        sqlx::query_scalar!(r#"select utc_timestamp(3) as "now!: DateTime<Utc>""#)
            .fetch_one(db)
            .await?;
    Ok(now + ahead)
}

/// The open incidents of a group, the most severe first. Locks them.
pub(super) async fn open_of(
    db: &mut MySqlConnection,
    group_key: &str,
) -> sqlx::Result<Vec<Incident>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: Uuid", group_key, kind, severity as "severity: Severity", title, subject, opened_by as "opened_by: Uuid",
                  latest_id as "latest_id: Uuid", alerts, first_at as "first_at: DateTime<Utc>", last_at as "last_at: DateTime<Utc>",
                  state, resolution, resolved_at as "resolved_at: DateTime<Utc>", ended_by as "ended_by: Uuid", acknowledged_by,
                  silenced_until as "silenced_until: DateTime<Utc>", notices, told, notify_at as "notify_at: DateTime<Utc>"
           from incidents where open_group = ? for update"#,
        group_key
    )
    .fetch_all(db)
    .await?;
    let mut open: Vec<Incident> = rows.into_iter().map(Incident::from).collect();
    open.sort_by_key(|incident| incident.severity);
    Ok(open)
}

/// The incident, if it is still to be looked at by now and nobody else does so. Locks it.
pub(super) async fn due(
    db: &mut MySqlConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Incident>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: Uuid", group_key, kind, severity as "severity: Severity", title, subject, opened_by as "opened_by: Uuid",
                  latest_id as "latest_id: Uuid", alerts, first_at as "first_at: DateTime<Utc>", last_at as "last_at: DateTime<Utc>",
                  state, resolution, resolved_at as "resolved_at: DateTime<Utc>", ended_by as "ended_by: Uuid", acknowledged_by,
                  silenced_until as "silenced_until: DateTime<Utc>", notices, told, notify_at as "notify_at: DateTime<Utc>"
           from incidents where id = ? and notify_at <= ? for update skip locked"#,
        id,
        now.naive_utc()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Incident::from))
}

/// An incident of a group that is over.
#[derive(Debug, Clone)]
pub(super) struct Over {
    pub id: Uuid,
    pub severity: Severity,
    pub title: String,
    pub last_at: DateTime<Utc>,
    pub resolved_at: DateTime<Utc>,
    /// The alert that ended it.
    pub ended_by: Option<Uuid>,
    pub by_hand: bool,
}

/// The group's incidents that ended last, of each severity at least one where there are few of the others. Locks nothing.
pub(super) async fn over_of(db: &mut MySqlConnection, group_key: &str) -> sqlx::Result<Vec<Over>> {
    sqlx::query_as!(
        Over,
        r#"select id as "id: Uuid", severity as "severity: Severity", title, last_at as "last_at: DateTime<Utc>",
                  coalesce(resolved_at, last_at) as "resolved_at!: DateTime<Utc>", ended_by as "ended_by: Uuid",
                  closed_by is not null as "by_hand!: bool"
           from incidents where group_key = ? and state = 'resolved' order by last_at desc limit 10"#,
        group_key
    )
    .fetch_all(db)
    .await
}

/// The incident, whatever became of it. Locks it.
pub(super) async fn locked(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<Option<Incident>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: Uuid", group_key, kind, severity as "severity: Severity", title, subject, opened_by as "opened_by: Uuid",
                  latest_id as "latest_id: Uuid", alerts, first_at as "first_at: DateTime<Utc>", last_at as "last_at: DateTime<Utc>",
                  state, resolution, resolved_at as "resolved_at: DateTime<Utc>", ended_by as "ended_by: Uuid", acknowledged_by,
                  silenced_until as "silenced_until: DateTime<Utc>", notices, told, notify_at as "notify_at: DateTime<Utc>"
           from incidents where id = ? for update"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Incident::from))
}

/// Has the incident looked at again at that time: now it cannot be.
pub(super) async fn postpone(
    db: &MySqlPool,
    id: Uuid,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update incidents set notify_at = ? where id = ? and notify_at <= ?",
        to.naive_utc(),
        id,
        from.naive_utc()
    )
    .execute(db)
    .await
    .map(drop)
}

/// Writes it as it is now.
pub(super) async fn write(db: &mut MySqlConnection, it: &Incident) -> sqlx::Result<()> {
    let told =
        serde_json::to_string(&it.told).map_err(|cause| sqlx::Error::Encode(cause.into()))?;
    let state = if it.over { "resolved" } else { "open" };
    if it.is_new {
        return sqlx::query!(
            "insert into incidents (id, group_key, kind, severity, title, subject, opened_by, latest_id, alerts, first_at, last_at, state,
                                    resolution, resolved_at, ended_by, notices, told, notify_at, escalate_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            it.id,
            it.group_key,
            it.kind,
            it.severity.as_str(),
            it.title,
            it.subject,
            it.opened_by,
            it.latest_id,
            it.alerts,
            it.first_at.naive_utc(),
            it.last_at.naive_utc(),
            state,
            it.resolution,
            it.resolved_at.map(|at| at.naive_utc()),
            it.ended_by,
            it.notices,
            told,
            it.notify_at.map(|at| at.naive_utc()),
            it.escalate_at.map(|at| at.naive_utc())
        )
        .execute(db)
        .await
        .map(drop);
    }
    sqlx::query!(
        "update incidents set title = ?, subject = ?, latest_id = ?, alerts = ?, first_at = ?, last_at = ?, state = ?, resolution = ?, resolved_at = ?,
                              ended_by = ?, notices = ?, told = ?, notify_at = ?, escalate_at = ?
         where id = ?",
        it.title,
        it.subject,
        it.latest_id,
        it.alerts,
        it.first_at.naive_utc(),
        it.last_at.naive_utc(),
        state,
        it.resolution,
        it.resolved_at.map(|at| at.naive_utc()),
        it.ended_by,
        it.notices,
        told,
        it.notify_at.map(|at| at.naive_utc()),
        it.escalate_at.map(|at| at.naive_utc()),
        it.id
    )
    .execute(db)
    .await
    .map(drop)
}

struct Row {
    id: Uuid,
    group_key: String,
    kind: String,
    severity: Severity,
    title: String,
    subject: String,
    opened_by: Uuid,
    latest_id: Uuid,
    alerts: u32,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    state: String,
    resolution: Option<String>,
    resolved_at: Option<DateTime<Utc>>,
    ended_by: Option<Uuid>,
    acknowledged_by: Option<String>,
    silenced_until: Option<DateTime<Utc>>,
    notices: u32,
    told: String,
    notify_at: Option<DateTime<Utc>>,
}

impl From<Row> for Incident {
    fn from(row: Row) -> Self {
        // One that cannot be read keeps no other alert from being counted: people are told once more.
        let told = serde_json::from_str(&row.told).unwrap_or_else(|cause| {
            error!(incident = %row.id, "What was told of incident {} cannot be read, it is told anew: {cause}", row.id);
            Told::default()
        });
        Self {
            over: row.state == "resolved",
            told,
            is_new: false,
            escalate_at: None,
            id: row.id,
            group_key: row.group_key,
            kind: row.kind,
            severity: row.severity,
            title: row.title,
            subject: row.subject,
            opened_by: row.opened_by,
            latest_id: row.latest_id,
            alerts: row.alerts,
            first_at: row.first_at,
            last_at: row.last_at,
            resolution: row.resolution,
            resolved_at: row.resolved_at,
            ended_by: row.ended_by,
            acknowledged_by: row.acknowledged_by,
            silenced_until: row.silenced_until,
            notices: row.notices,
            notify_at: row.notify_at,
        }
    }
}
