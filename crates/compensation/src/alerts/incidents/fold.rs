//! Alerts become incidents: rows of `alerts` that are counted in none are taken by the batch, and counted in one transaction with the
//! notices that come of it. So none is counted twice and none is lost, whoever dies, and however many fold at once.
//!
//! Nobody who raises an alert waits for it: rows are taken by their locks, those of others are skipped, and the incidents' rows are
//! known to nobody who raises. Groups are locked in the order of their keys.

use super::{
    ledger::{self, Incident, Over},
    saying::Told,
    state::{Event, IllegalMove},
    telling::{self, Spooled},
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

/// By what it is decided whether something only just ended.
#[derive(Debug, Clone, Copy)]
struct When {
    now: DateTime<Utc>,
    group_interval: TimeDelta,
}

impl When {
    fn a_moment_ago(self) -> DateTime<Utc> {
        self.now - self.group_interval
    }
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
    let when = When {
        now,
        group_interval: routes.group_interval,
    };
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let spooled = telling::spooled(&mut tx, &ids).await?;
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
            let spooled = spooled.get(&alert.id).map_or(&[][..], Vec::as_slice);
            group.take(&mut tx, alert, when, spooled).await?;
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
        when: When,
        spooled: &[Spooled],
    ) -> anyhow::Result<()> {
        let at = self.place(db, alert, when, !spooled.is_empty()).await?;
        let incident = &mut self.incidents[at];
        telling::adopt(db, incident, alert.id, spooled, when.now).await?;
        let counted = self.counted.entry(incident.id).or_default();
        counted.push(alert.id);
        Ok(())
    }

    /// The incident it is counted in, as a place in the list.
    async fn place(
        &mut self,
        db: &mut MySqlConnection,
        alert: &Raised,
        when: When,
        was_sent: bool,
    ) -> anyhow::Result<usize> {
        if alert.resolves
            && let Some(ended) = self.end(alert, when.now)?
        {
            return Ok(ended);
        }
        if let Some(open) = self.more(alert, when.now)? {
            return Ok(open);
        }
        let over = ledger::over_of(&mut *db, &alert.group_key).await?;
        let known = if alert.resolves {
            self.ended_twice(db, &over, when).await?
        } else if let Some(back) = self.back(db, alert, &over, when).await? {
            Some(back)
        } else {
            self.late(db, alert, &over, when, was_sent).await?
        };
        if let Some(known) = known {
            return Ok(known);
        }
        self.incidents.push(Incident::opened_by(alert));
        Ok(self.incidents.len() - 1)
    }

    /// Several may tell of one end, each of what it saw itself: the first one was told.
    async fn ended_twice(
        &mut self,
        db: &mut MySqlConnection,
        over: &[Over],
        when: When,
    ) -> sqlx::Result<Option<usize>> {
        let ended = over.iter().find(|it| it.ended_by.is_some());
        match ended.filter(|it| it.resolved_at > when.a_moment_ago()) {
            Some(ended) => self.locked(db, ended.id).await,
            None => Ok(None),
        }
    }

    /// Where one ended by itself a moment ago, it had not ended: what heals and fails in turns is one incident.
    async fn back(
        &mut self,
        db: &mut MySqlConnection,
        alert: &Raised,
        over: &[Over],
        when: When,
    ) -> anyhow::Result<Option<usize>> {
        let by_itself = over.iter().find(|it| {
            it.severity == alert.severity
                && it.severity != Severity::Info
                && it.ended_by.is_none()
                && !it.by_hand
                && it.resolved_at > when.a_moment_ago()
        });
        let Some(by_itself) = by_itself else {
            return Ok(None);
        };
        if let Some(at) = self.locked(db, by_itself.id).await?
            && self.incidents[at].over
        {
            let incident = &mut self.incidents[at];
            incident.state(when.now).on(Event::CameBack)?;
            incident.reopen();
        }
        Ok(self.more(alert, when.now)?)
    }

    /// It waited somewhere while the news that it is over did not.
    async fn late(
        &mut self,
        db: &mut MySqlConnection,
        alert: &Raised,
        over: &[Over],
        when: When,
        was_sent: bool,
    ) -> sqlx::Result<Option<usize>> {
        let late = |it: &&Over| it.ended_by.is_some() && alert.created_at < it.last_at;
        let alike = |it: &&Over| it.severity == alert.severity;
        let of_it = over.iter().filter(late).find(alike);
        let Some(ended) = of_it.or_else(|| over.iter().find(late)) else {
            return Ok(None);
        };
        if !alike(&ended) && was_sent {
            // The end was news of its own, and whoever was told that this began knows nothing of it.
            let mut own = Incident::opened_by(alert);
            own.resolve(&ended.title, when.now);
            own.ended_by = ended.ended_by;
            self.incidents.push(own);
            return Ok(Some(self.incidents.len() - 1));
        }
        let Some(at) = self.locked(db, ended.id).await? else {
            return Ok(None);
        };
        let incident = &mut self.incidents[at];
        incident.alerts = incident.alerts.saturating_add(1);
        Ok(Some(at))
    }

    /// Locks the incident, unless this batch has it already.
    async fn locked(&mut self, db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<Option<usize>> {
        if let Some(at) = self.incidents.iter().position(|it| it.id == id) {
            return Ok(Some(at));
        }
        let Some(incident) = ledger::locked(db, id).await? else {
            return Ok(None);
        };
        self.incidents.push(incident);
        Ok(Some(self.incidents.len() - 1))
    }

    /// Ends what is open; nothing was where there is no incident to count the news in.
    fn end(&mut self, alert: &Raised, now: DateTime<Utc>) -> Result<Option<usize>, IllegalMove> {
        let mut ended = None;
        for (at, incident) in self.incidents.iter_mut().enumerate() {
            if incident.over || incident.severity == Severity::Info {
                continue;
            }
            incident.state(now).on(Event::Over)?;
            incident.resolve(&alert.title, now);
            incident.ended_by = Some(alert.id);
            incident.last_at = incident.last_at.max(alert.created_at);
            ended.get_or_insert(at);
        }
        Ok(ended)
    }

    /// Counts it where one is open.
    fn more(&mut self, alert: &Raised, now: DateTime<Utc>) -> Result<Option<usize>, IllegalMove> {
        let alike = |it: &Incident| !it.over && it.severity == alert.severity;
        let Some(at) = self.incidents.iter().position(alike) else {
            return Ok(None);
        };
        let incident = &mut self.incidents[at];
        incident.state(now).on(Event::MoreCame)?;
        incident.alerts = incident.alerts.saturating_add(1);
        incident.first_at = incident.first_at.min(alert.created_at);
        if alert.created_at >= incident.last_at {
            incident.last_at = alert.created_at;
            incident.latest_id = alert.id;
            incident.title.clone_from(&alert.title);
            incident.subject.clone_from(&alert.subject);
        }
        Ok(Some(at))
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
