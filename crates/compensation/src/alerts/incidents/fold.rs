//! Alerts become incidents: rows of `alerts` that are counted in none are taken by the batch, and counted in one transaction with the
//! notices that come of it. So none is counted twice and none is lost, whoever dies, and however many fold at once.
//!
//! Nobody who raises an alert waits for it: rows are taken by their locks, those of others are skipped, and the incidents' rows are
//! known to nobody who raises. Groups are locked in the order of their keys.

use super::{
    ledger::{self, Incident},
    saying::Told,
    state::{Event, IllegalMove},
    telling,
};
use crate::alerts::{Routes, Severity};
use chrono::{DateTime, TimeDelta, Utc};
use coordinator::statement;
use sqlx::{MySqlConnection, MySqlPool, QueryBuilder};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Rows a transaction takes.
pub(super) const AT_ONCE: usize = 500;

/// An alert that is counted in no incident yet.
struct Raised {
    id: Uuid,
    group_key: String,
    kind: String,
    severity: Severity,
    subject: String,
    title: String,
    resolves: bool,
    created_at: DateTime<Utc>,
}

/// What a batch makes of one group.
struct Group {
    incidents: Vec<Incident>,
    /// Alerts, by the incident they are counted in.
    counted: HashMap<Uuid, Vec<Uuid>>,
}

/// Counts up to 500 alerts, the oldest first; how many.
pub(super) async fn fold(
    db: &MySqlPool,
    routes: &Routes,
    ahead: TimeDelta,
) -> anyhow::Result<usize> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query_as!(
        Raised,
        r#"select id as "id: Uuid", group_key, kind, severity as "severity: Severity", subject, title, resolves as "resolves: bool",
                  created_at as "created_at: DateTime<Utc>"
           from alerts force index (alerts_by_incident)
           where incident_id is null order by created_at, id limit ? for update skip locked"#,
        u32::try_from(AT_ONCE)?
    )
    .fetch_all(&mut *tx)
    .await?;
    if rows.is_empty() {
        tx.rollback().await?;
        return Ok(0);
    }
    let now = ledger::now(&mut tx, ahead).await?;
    let mut groups: BTreeMap<&str, Vec<&Raised>> = BTreeMap::new();
    for row in &rows {
        groups.entry(&row.group_key).or_default().push(row);
    }
    for (group_key, alerts) in groups {
        let mut group = Group {
            incidents: ledger::open_of(&mut tx, group_key).await?,
            counted: HashMap::new(),
        };
        for alert in alerts {
            group.take(&mut tx, alert, now).await?;
        }
        for incident in &mut group.incidents {
            if incident.is_new || group.counted.contains_key(&incident.id) || incident.over {
                telling::settle(&mut tx, routes, incident, now).await?;
            }
        }
        for (incident, alerts) in &group.counted {
            note(&mut tx, *incident, alerts).await?;
        }
    }
    tx.commit().await?;
    Ok(rows.len())
}

impl Group {
    async fn take(
        &mut self,
        db: &mut MySqlConnection,
        alert: &Raised,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        if alert.resolves
            && let Some(ended) = self.end(alert, now)?
        {
            self.count_in(ended, alert);
            return Ok(());
        }
        if let Some(id) = self.more(alert, now)? {
            self.count_in(id, alert);
            return Ok(());
        }
        let ended = ledger::last_ended(db, &alert.group_key).await?;
        if let Some((late_for, ended_at)) = ended
            && !alert.resolves
            && alert.created_at < ended_at
        {
            // It waited somewhere while the news that it is over did not.
            ledger::count_late(db, late_for, 1).await?;
            self.count_in(late_for, alert);
            return Ok(());
        }
        let mut new = Incident::opened_by(alert);
        telling::adopt(db, &mut new, now).await?;
        self.count_in(new.id, alert);
        self.incidents.push(new);
        Ok(())
    }

    /// Ends what is open; nothing was where there is no incident to count the news in.
    fn end(&mut self, alert: &Raised, now: DateTime<Utc>) -> Result<Option<Uuid>, IllegalMove> {
        let mut ended = None;
        let open = self.incidents.iter_mut().filter(|it| !it.over);
        for incident in open.filter(|it| it.severity != Severity::Info) {
            incident.state(now).on(Event::Over)?;
            incident.resolve(&alert.title, now);
            incident.ended_by = Some(alert.id);
            incident.last_at = incident.last_at.max(alert.created_at);
            ended.get_or_insert(incident.id);
        }
        Ok(ended)
    }

    /// Counts it where one is open.
    fn more(&mut self, alert: &Raised, now: DateTime<Utc>) -> Result<Option<Uuid>, IllegalMove> {
        let known = self
            .incidents
            .iter_mut()
            .find(|it| !it.over && it.severity == alert.severity);
        let Some(incident) = known else {
            return Ok(None);
        };
        incident.state(now).on(Event::MoreCame)?;
        incident.alerts = incident.alerts.saturating_add(1);
        incident.first_at = incident.first_at.min(alert.created_at);
        if alert.created_at >= incident.last_at {
            incident.last_at = alert.created_at;
            incident.latest_id = alert.id;
            incident.title.clone_from(&alert.title);
            incident.subject.clone_from(&alert.subject);
        }
        Ok(Some(incident.id))
    }

    fn count_in(&mut self, incident: Uuid, alert: &Raised) {
        self.counted.entry(incident).or_default().push(alert.id);
    }
}

impl Incident {
    fn opened_by(alert: &Raised) -> Self {
        Self {
            id: Uuid::now_v7(),
            group_key: alert.group_key.clone(),
            kind: alert.kind.clone(),
            severity: alert.severity,
            title: alert.title.clone(),
            subject: alert.subject.clone(),
            opened_by: alert.id,
            latest_id: alert.id,
            alerts: 1,
            first_at: alert.created_at,
            last_at: alert.created_at,
            over: false,
            resolution: None,
            resolved_at: None,
            ended_by: alert.resolves.then_some(alert.id),
            acknowledged_by: None,
            silenced_until: None,
            notices: 0,
            told: Told::default(),
            notify_at: None,
            escalate_at: None,
            is_new: true,
        }
    }
}

/// The alerts know which incident they are counted in.
async fn note(db: &mut MySqlConnection, incident: Uuid, alerts: &[Uuid]) -> sqlx::Result<()> {
    for run in alerts.chunks(AT_ONCE) {
        let mut note = QueryBuilder::new("update alerts force index (primary) set incident_id = ");
        note.push_bind(incident).push(" where id in ");
        statement::push_list(&mut note, run);
        note.build().execute(&mut *db).await?;
    }
    Ok(())
}
