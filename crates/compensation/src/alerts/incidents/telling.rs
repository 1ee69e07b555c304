//! An incident's notices: what is to be said is written into the outbox, in the transaction that changes the incident.

use super::{
    ledger::{self, Incident},
    over,
    saying::{self, Facts, Tell},
};
use crate::alerts::{Alert, Notice, Routes, Severity, Status, outbox, routes::NOBODY};
use chrono::{DateTime, NaiveDateTime, Utc};
use coordinator::statement;
use sha2::{Digest as _, Sha256};
use sqlx::{MySqlConnection, QueryBuilder};
use std::collections::HashMap;
use uuid::Uuid;

/// Why what was in the spool is not sent.
const SAID_BY_OTHERS: &str = "the incident's own notices say all of it";
/// How what is only good to know ends.
const KNOWN: &str = "nothing is left to do";

/// Says what is to be said of the incident now, and writes it as it is then.
pub(super) async fn settle(
    db: &mut MySqlConnection,
    routes: &Routes,
    it: &mut Incident,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let said = saying::say(&facts(it), routes, now);
    if !said.tells.is_empty() {
        let alert = told_of(db, it).await?;
        for tell in &said.tells {
            it.notices += 1;
            let mut notice = notice(it, &alert, tell, now);
            notice.alert.link = routes.page_of(it.id).or(notice.alert.link);
            outbox::insert_notice(db, receivers(&tell.channels), &notice).await?;
        }
    }
    it.told = said.told;
    it.escalate_at = said.escalate_at;
    it.notify_at = said.next;
    if it.severity == Severity::Info && !it.over && said.everybody_knows && it.told.anybody() {
        it.resolve(KNOWN, now);
        it.told.that_was_all();
        it.notify_at = None;
    }
    if !it.over && over::is_looked_for(it) {
        let look = now + over::EVERY;
        it.notify_at = Some(it.notify_at.map_or(look, |at| at.min(look)));
    }
    ledger::write(db, it).await
}

/// What became of an alert on a channel while MySQL took nothing: it was sent from the spool under its own id, of no incident yet.
pub(super) struct Spooled {
    channel: String,
    /// It is to be sent still.
    waits: bool,
    delivered_at: Option<DateTime<Utc>>,
}

/// What was sent from the spool of these alerts.
pub(super) async fn spooled(
    db: &mut MySqlConnection,
    alerts: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Vec<Spooled>>> {
    let mut found: HashMap<Uuid, Vec<Spooled>> = HashMap::new();
    for run in statement::runs(alerts) {
        let mut select = QueryBuilder::new(
            "select id, channel, state, delivered_at from alert_outbox force index (primary)
             where incident_id is null and channel <> '' and id in ",
        );
        statement::push_list(&mut select, run.iter().copied());
        let rows: Vec<(Uuid, String, String, Option<NaiveDateTime>)> =
            select.build_query_as().fetch_all(&mut *db).await?;
        for (id, channel, state, delivered_at) in rows {
            found.entry(id).or_default().push(Spooled {
                channel,
                waits: state == "pending",
                delivered_at: delivered_at.map(|at| at.and_utc()),
            });
        }
    }
    Ok(found)
}

/// Makes notices of the incident of what was sent from the spool of one of its alerts. Of a new incident it was the first one. Of one that
/// stands, whoever got it knows of the incident, and what waits still is left to the incident's own notices. Of one that is over by now,
/// whoever got it is told that.
pub(super) async fn adopt(
    db: &mut MySqlConnection,
    it: &mut Incident,
    alert: Uuid,
    spooled: &[Spooled],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if spooled.is_empty() {
        return Ok(());
    }
    it.notices += 1;
    let is_first = it.is_new && it.opened_by == alert;
    for of in spooled {
        if it.over {
            it.told.reopened_for(&of.channel, of.delivered_at, now);
        } else if is_first || !of.waits {
            it.told.knows(&of.channel, now);
        }
    }
    let left_to_others = !is_first && !it.over;
    sqlx::query!(
        "update alert_outbox
         set incident_id = ?, sequence = ?,
             last_error = if(? and state = 'pending' and (claim is null or due_at <= utc_timestamp(3)), ?, last_error),
             state = if(? and state = 'pending' and (claim is null or due_at <= utc_timestamp(3)), 'superseded', state)
         where id = ? and incident_id is null",
        it.id,
        it.notices,
        left_to_others,
        SAID_BY_OTHERS,
        left_to_others,
        alert
    )
    .execute(db)
    .await
    .map(drop)
}

fn facts(it: &Incident) -> Facts<'_> {
    Facts {
        severity: it.severity,
        kind: &it.kind,
        alerts: it.alerts.into(),
        over: it.over,
        acknowledged: it.acknowledged_by.is_some(),
        silenced_until: it.silenced_until,
        told: &it.told,
    }
}

/// The alert a notice shows: the latest, or the one that says that it is over.
async fn told_of(db: &mut MySqlConnection, it: &Incident) -> sqlx::Result<Alert> {
    let id = it.ended_by.unwrap_or(it.latest_id);
    let body = sqlx::query_scalar!("select body from alerts where id = ?", id)
        .fetch_optional(db)
        .await?;
    let alert = body.and_then(|body| serde_json::from_str::<Alert>(&body).ok());
    // One that cannot be read keeps nobody from being told that there is something.
    Ok(alert.unwrap_or_else(|| {
        Alert::new(&it.kind, it.severity, &it.subject, &it.title).group(&it.group_key)
    }))
}

fn notice(it: &Incident, alert: &Alert, tell: &Tell, now: DateTime<Utc>) -> Notice {
    let mut alert = Alert {
        id: notice_id(it),
        // What all notices of an incident are known by at the receiver; the alert that says that it is over may be of another kind.
        kind: it.kind.clone(),
        severity: it.severity,
        ..alert.clone()
    };
    if tell.more > 0 && matches!(tell.status, Status::Changed | Status::Repeated) {
        alert = alert.fact("more since the last notice", tell.more);
    }
    Notice {
        status: tell.status,
        alert,
        incident: Some(it.id),
        sequence: it.notices,
        count: it.alerts.into(),
        first_at: it.first_at,
        last_at: it.last_at,
        resolution: it.resolution.clone(),
        resolved_at: it.resolved_at,
        made_at: Some(now),
        acknowledged_by: it.acknowledged_by.clone(),
        lines: Vec::new(),
    }
}

/// The same whenever this notice is made: the first one's is its alert's, so that one sent from the spool is not sent again.
fn notice_id(it: &Incident) -> Uuid {
    if it.notices == 1 {
        return it.opened_by;
    }
    let mut hash = Sha256::new();
    hash.update(b"notice");
    hash.update(it.id);
    hash.update(it.notices.to_be_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// Nobody at all is written as such, and shown as undelivered.
fn receivers(channels: &[String]) -> &[String] {
    match channels {
        [nobody] if nobody == NOBODY => &[],
        some => some,
    }
}
