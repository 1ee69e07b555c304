//! Rows of `incidents`: locked, changed, written. What changes is decided elsewhere.

use super::{saying::Told, state::State};
use crate::alerts::Severity;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlConnection;
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
    let mut open = rows
        .into_iter()
        .map(Incident::try_from)
        .collect::<sqlx::Result<Vec<_>>>()?;
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
    row.map(Incident::try_from).transpose()
}

/// When an alert last ended an incident of the group, and which.
pub(super) async fn last_ended(
    db: &mut MySqlConnection,
    group_key: &str,
) -> sqlx::Result<Option<(Uuid, DateTime<Utc>)>> {
    let row = sqlx::query!(
        r#"select id as "id: Uuid", last_at as "last_at: DateTime<Utc>" from incidents
           where group_key = ? and ended_by is not null order by last_at desc limit 1"#,
        group_key
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.id, row.last_at)))
}

/// Counts what came too late for its incident.
pub(super) async fn count_late(
    db: &mut MySqlConnection,
    id: Uuid,
    alerts: u32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update incidents set alerts = alerts + ? where id = ?",
        alerts,
        id
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

impl TryFrom<Row> for Incident {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let told =
            serde_json::from_str(&row.told).map_err(|cause| sqlx::Error::Decode(cause.into()))?;
        Ok(Self {
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
        })
    }
}
