//! Notices go out: claimed with a lease under the lock of their channel's row, and sent without any transaction.
//!
//! One transaction looks at all that waits on the channel, has the [`plan`] say what is to be done, marks what others stand for, makes
//! the digest where one is due, and takes the tokens. What was claimed and not written down comes back by itself, under the same id.

use super::{
    channels::{self, Locked},
    micros, read, write,
};
use crate::alerts::{
    Alert, Line, Notice, Rate, digest,
    plan::{self, Plan, Receiver, Room, Waiting},
};
use coordinator::statement::{push_list, runs};
use sqlx::{FromRow, MySqlConnection, MySqlPool, QueryBuilder};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tracing::error;
use uuid::Uuid;

/// More than these are not looked at, and one digest tells of no more.
const LOOKED_AT_AT_MOST: u32 = 5000;
const SUPERSEDED: &str = "a later notice of the incident says all of it";
const OVER: &str = "it was over before anybody could be told here";

/// A notice that one courier may send until its lease ends.
#[derive(Debug)]
pub(in crate::alerts) struct Claimed {
    pub(in crate::alerts) notice: Notice,
    /// Tries before this one.
    pub(in crate::alerts) attempts: u32,
    pub(in crate::alerts) claim: Uuid,
    /// The channel's failures before this try.
    pub(in crate::alerts) failures: u32,
    /// Who asked for this try by hand.
    pub(in crate::alerts) asked_by: Option<String>,
}

/// What a courier may send of a channel, and how.
#[derive(Debug, Clone, Copy)]
pub(in crate::alerts) struct Terms {
    pub(in crate::alerts) rate: Rate,
    pub(in crate::alerts) at_once: u32,
    pub(in crate::alerts) lease: Duration,
    /// Whether a digest may stand for many.
    pub(in crate::alerts) digests: bool,
    /// Notices that one message may hold.
    pub(in crate::alerts) together: usize,
}

/// What came of a look at a channel.
#[derive(Debug, Default)]
pub(in crate::alerts) struct Looked {
    /// Each list in one message.
    pub(in crate::alerts) messages: Vec<Vec<Claimed>>,
    /// Why the channel is off.
    pub(in crate::alerts) off: Option<String>,
}

/// Claims what is due on the channel by the database's clock and may be sent; nothing where nothing is due, and then nobody has looked
/// at how the channel is. Many couriers may call it at once.
pub(in crate::alerts) async fn claim_due(
    db: &MySqlPool,
    channel: &str,
    terms: Terms,
) -> sqlx::Result<Option<Looked>> {
    let due = sqlx::query_scalar!(
        r#"select exists(select 1 from alert_outbox where state = 'pending' and channel = ? and due_at <= utc_timestamp(3)) as "due: bool""#,
        channel
    );
    if !due.fetch_one(db).await? {
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    let standing = channels::lock(&mut tx, channel, terms.rate).await?;
    let mut looked = Looked {
        messages: Vec::new(),
        off: standing.off.clone(),
    };
    let receiver = match standing {
        Locked { off: Some(_), .. } => Receiver::Off,
        Locked { failures: 1.., .. } => Receiver::Failing,
        Locked { returned: true, .. } => Receiver::Returned,
        _ => Receiver::Well,
    };
    // Of a channel that is off nothing is looked at, however much waits there, unless somebody asked.
    let nothing_to_do = match receiver {
        Receiver::Off => !is_asked_for(&mut tx, channel).await?,
        _ => standing.rests,
    };
    if nothing_to_do || standing.bucket.whole() == 0 {
        tx.rollback().await?;
        return Ok(Some(looked));
    }
    let waiting = waiting(&mut tx, channel).await?;
    let unseen = unseen(&mut tx, channel, &waiting).await?;
    let room = Room {
        tokens: standing.bucket.whole(),
        at_once: terms.at_once,
        digests: terms.digests,
        together: terms.together,
        receiver,
    };
    let told_soon = told_soon(&mut tx, channel, &waiting).await?;
    let plan = plan::plan(&waiting, room, &unseen, &told_soon);
    supersede(&mut tx, channel, &waiting, &plan).await?;
    let mut messages: Vec<Vec<Uuid>> = plan.alone.iter().map(|at| vec![waiting[*at].id]).collect();
    if !plan.digest.is_empty() {
        messages.push(vec![
            digested(&mut tx, channel, &waiting, &plan.digest).await?,
        ]);
    }
    let several = plan.together.iter();
    messages.extend(several.map(|all| all.iter().map(|at| waiting[*at].id).collect()));
    let taken = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    looked.messages = hold(&mut tx, channel, messages, terms.lease, standing.failures).await?;
    // What waited while the receiver was away has been looked at, unless only one could be tried.
    let returned = standing.returned && receiver != Receiver::Returned;
    let left = standing.bucket.without(taken);
    channels::take(&mut tx, channel, left, terms.rate, returned).await?;
    tx.commit().await?;
    Ok(Some(looked))
}

async fn is_asked_for(db: &mut MySqlConnection, channel: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from alert_outbox force index (alert_outbox_by_asked)
                         where asked_by is not null and channel = ? and state = 'pending' and due_at <= utc_timestamp(3)) as "asked!: bool""#,
        channel
    )
    .fetch_one(db)
    .await
}

const WAITING: &str = "select id, incident_id, thread, sequence, severity, status, attempts, due_at <= utc_timestamp(3) as due, \
     claim is not null and due_at > utc_timestamp(3) as in_hand, asked_by is not null as asked, \
     timestampdiff(microsecond, created_at, utc_timestamp(3)) as age from alert_outbox where state = 'pending' and channel = ";

/// All that is pending on the channel, in the order in which it became due; of very much the first, with everything that decides their
/// order: what is in hand, and what else waits of their incidents.
async fn waiting(db: &mut MySqlConnection, channel: &str) -> sqlx::Result<Vec<Waiting>> {
    let mut first = QueryBuilder::new(WAITING);
    first.push_bind(channel).push(" order by due_at limit ");
    first
        .push_bind(LOOKED_AT_AT_MOST)
        .push(" for update skip locked");
    let mut all = rows(&mut *db, first).await?;
    if all.len() < LOOKED_AT_AT_MOST as usize {
        return Ok(all);
    }
    let mut in_hand = QueryBuilder::new(WAITING);
    in_hand.push_bind(channel);
    in_hand.push(" and due_at > utc_timestamp(3) and claim is not null order by due_at limit ");
    in_hand
        .push_bind(LOOKED_AT_AT_MOST)
        .push(" for update skip locked");
    let mut more = rows(&mut *db, in_hand).await?;
    let incidents: HashSet<Uuid> = all.iter().filter_map(|it| it.incident).collect();
    let incidents: Vec<Uuid> = incidents.into_iter().collect();
    for run in runs(&incidents) {
        let mut of_them = QueryBuilder::new(WAITING);
        of_them.push_bind(channel).push(" and incident_id in ");
        push_list(&mut of_them, run.iter().copied());
        of_them.push(" for update skip locked");
        more.extend(rows(&mut *db, of_them).await?);
    }
    let mut known: HashSet<Uuid> = all.iter().map(|it| it.id).collect();
    more.retain(|it| known.insert(it.id));
    all.extend(more);
    Ok(all)
}

async fn rows(
    db: &mut MySqlConnection,
    mut select: QueryBuilder<sqlx::MySql>,
) -> sqlx::Result<Vec<Waiting>> {
    #[derive(FromRow)]
    struct Row {
        id: Uuid,
        incident_id: Option<Uuid>,
        thread: Option<Uuid>,
        sequence: u32,
        severity: String,
        status: String,
        attempts: i32,
        due: i32,
        in_hand: i32,
        asked: i32,
        age: i64,
    }

    let rows: Vec<Row> = select.build_query_as().fetch_all(db).await?;
    let all = rows.into_iter().map(|row| {
        Ok(Waiting {
            id: row.id,
            incident: row.incident_id,
            thread: row.thread,
            sequence: row.sequence,
            severity: read::severity(&row.severity)?,
            status: read::status(&row.status)?,
            attempts: row.attempts.try_into().unwrap_or_default(),
            due: row.due != 0,
            in_hand: row.in_hand != 0,
            asked: row.asked != 0,
            age: Duration::from_micros(u64::try_from(row.age).unwrap_or_default()),
        })
    });
    all.collect()
}

/// Incidents that a digest tells of which did not arrive yet. One that fails again and again is not waited for.
async fn told_soon(
    db: &mut MySqlConnection,
    channel: &str,
    waiting: &[Waiting],
) -> sqlx::Result<HashSet<Uuid>> {
    let mut told = HashSet::new();
    for digest in waiting.iter().filter(|it| it.is_waited_for()) {
        let of_it = sqlx::query_scalar!(
            r#"select distinct incident_id as "incident!: Uuid" from alert_outbox
               where digest_id = ? and channel = ? and incident_id is not null"#,
            digest.id,
            channel
        );
        told.extend(of_it.fetch_all(&mut *db).await?);
    }
    Ok(told)
}

/// Of the incidents that ended while they waited, those of which nothing was told, or even tried, on this channel.
async fn unseen(
    db: &mut MySqlConnection,
    channel: &str,
    waiting: &[Waiting],
) -> sqlx::Result<HashSet<Uuid>> {
    let mut unseen: HashSet<Uuid> = HashSet::new();
    for run in runs(&plan::ended_unseen(waiting)) {
        let mut told =
            QueryBuilder::new("select distinct incident_id from alert_outbox where channel = ");
        told.push_bind(channel)
            .push(" and (state in ('delivered', 'digested') or attempts > 0) and incident_id in ");
        push_list(&mut told, run.iter().copied());
        let told: Vec<Uuid> = told.build_query_scalar().fetch_all(&mut *db).await?;
        unseen.extend(run.iter().filter(|incident| !told.contains(incident)));
    }
    Ok(unseen)
}

async fn supersede(
    db: &mut MySqlConnection,
    channel: &str,
    waiting: &[Waiting],
    plan: &Plan,
) -> sqlx::Result<()> {
    for (places, why) in [(&plan.superseded, SUPERSEDED), (&plan.over, OVER)] {
        let ids: Vec<Uuid> = places.iter().map(|at| waiting[*at].id).collect();
        for run in runs(&ids) {
            let mut mark = QueryBuilder::new(
                "update alert_outbox force index (primary) set state = 'superseded', claim = null, last_error = ",
            );
            mark.push_bind(why)
                .push(" where channel = ")
                .push_bind(channel);
            mark.push(" and state = 'pending' and id in ");
            push_list(&mut mark, run.iter().copied());
            mark.build().execute(&mut *db).await?;
        }
    }
    Ok(())
}

/// Writes the digest and marks what it tells of; its id.
async fn digested(
    db: &mut MySqlConnection,
    channel: &str,
    waiting: &[Waiting],
    told: &[usize],
) -> sqlx::Result<Uuid> {
    let shown: Vec<&Waiting> = digest::shown(waiting, told)
        .into_iter()
        .map(|at| &waiting[at])
        .collect();
    let lines = lines(&mut *db, channel, &shown).await?;
    let notice = digest::notice(channel, waiting, told, lines);
    write::insert_notice(&mut *db, &[channel.to_owned()], &notice).await?;
    let ids: Vec<Uuid> = told.iter().map(|at| waiting[*at].id).collect();
    for run in runs(&ids) {
        let mut mark = QueryBuilder::new(
            "update alert_outbox force index (primary) set state = 'digested', claim = null, digest_id = ",
        );
        mark.push_bind(notice.id())
            .push(" where channel = ")
            .push_bind(channel);
        mark.push(" and state = 'pending' and id in ");
        push_list(&mut mark, run.iter().copied());
        mark.build().execute(&mut *db).await?;
    }
    Ok(notice.id())
}

/// The lines of these, in their order. What cannot be read has its columns' words.
async fn lines(
    db: &mut MySqlConnection,
    channel: &str,
    shown: &[&Waiting],
) -> sqlx::Result<Vec<Line>> {
    let mut select = QueryBuilder::new(
        "select id, title, body from alert_outbox force index (primary) where channel = ",
    );
    select.push_bind(channel).push(" and id in ");
    push_list(&mut select, shown.iter().map(|it| it.id));
    let rows: Vec<(Uuid, String, String)> = select.build_query_as().fetch_all(db).await?;
    let mut by_id: HashMap<Uuid, (String, String)> = rows
        .into_iter()
        .map(|(id, title, body)| (id, (title, body)))
        .collect();
    let line = |it: &&Waiting| {
        let (title, body) = by_id.remove(&it.id)?;
        Some(notice_of(&body).map_or_else(
            |_| Line {
                status: it.status,
                severity: it.severity,
                title,
                count: 1,
                link: None,
            },
            |notice| digest::line(&notice),
        ))
    };
    Ok(shown.iter().filter_map(line).collect())
}

/// Gives them to this courier until the lease ends, each list as it is without those that nobody can read.
async fn hold(
    db: &mut MySqlConnection,
    channel: &str,
    messages: Vec<Vec<Uuid>>,
    lease: Duration,
    failures: u32,
) -> sqlx::Result<Vec<Vec<Claimed>>> {
    let ids = messages.concat();
    let mut claimed: HashMap<Uuid, Claimed> = HashMap::with_capacity(ids.len());
    for run in runs(&ids) {
        for it in hold_run(&mut *db, channel, run, lease, failures).await? {
            claimed.insert(it.notice.id(), it);
        }
    }
    let mut held = Vec::with_capacity(messages.len());
    for ids in messages {
        let message: Vec<Claimed> = ids.iter().filter_map(|id| claimed.remove(id)).collect();
        if !message.is_empty() {
            held.push(message);
        }
    }
    Ok(held)
}

async fn hold_run(
    db: &mut MySqlConnection,
    channel: &str,
    ids: &[Uuid],
    lease: Duration,
    failures: u32,
) -> sqlx::Result<Vec<Claimed>> {
    #[derive(FromRow)]
    struct Row {
        id: Uuid,
        body: String,
        attempts: i32,
        incident_id: Option<Uuid>,
        sequence: u32,
        asked_by: Option<String>,
    }

    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let claim = Uuid::new_v4();
    let mut hold = QueryBuilder::new("update alert_outbox force index (primary) set claim = ");
    hold.push_bind(claim)
        .push(", due_at = utc_timestamp(3) + interval ")
        .push_bind(micros(lease))
        .push(" microsecond where channel = ")
        .push_bind(channel)
        .push(" and state = 'pending' and id in ");
    push_list(&mut hold, ids.iter().copied());
    hold.build().execute(&mut *db).await?;
    let mut select = QueryBuilder::new(
        "select id, body, attempts, incident_id, sequence, asked_by from alert_outbox force index (primary) where channel = ",
    );
    select
        .push_bind(channel)
        .push(" and claim = ")
        .push_bind(claim)
        .push(" and id in ");
    push_list(&mut select, ids.iter().copied());
    let mut rows: HashMap<Uuid, Row> = select
        .build_query_as()
        .fetch_all(&mut *db)
        .await?
        .into_iter()
        .map(|row: Row| (row.id, row))
        .collect();
    let mut claimed = Vec::with_capacity(ids.len());
    for row in ids.iter().filter_map(|id| rows.remove(id)) {
        let Ok(mut notice) = notice_of(&row.body) else {
            give_up_unreadable(&mut *db, row.id, channel).await?;
            continue;
        };
        // One that came from the spool learns later of what it is the first notice.
        if row.incident_id.is_some() {
            (notice.incident, notice.sequence) = (row.incident_id, row.sequence);
        }
        claimed.push(Claimed {
            notice,
            attempts: row.attempts.try_into().unwrap_or_default(),
            claim,
            failures,
            asked_by: row.asked_by,
        });
    }
    Ok(claimed)
}

/// Rows of older builds hold an alert alone.
pub(super) fn notice_of(body: &str) -> serde_json::Result<Notice> {
    serde_json::from_str::<Notice>(body)
        .or_else(|_| serde_json::from_str::<Alert>(body).map(Notice::of))
}

/// A row nobody can read keeps no other waiting.
async fn give_up_unreadable(db: &mut MySqlConnection, id: Uuid, channel: &str) -> sqlx::Result<()> {
    error!(alert.id = %id, "The body of alert {id} cannot be read: it is shown as undelivered");
    sqlx::query!(
        "update alert_outbox set state = 'undelivered', claim = null, last_error = 'its body cannot be read'
         where id = ? and channel = ?",
        id,
        channel
    )
    .execute(db)
    .await?;
    Ok(())
}
