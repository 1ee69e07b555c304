//! What is known of participants' parts: the table `transaction_branches`. Of every foreign participant a row is there before it is
//! asked; of any other one once it failed.

use super::evidence;
use crate::{
    core::{Begun, reason_of},
    foreign::{Called, Reply},
    ids::Gid,
    state::{Direction, Event},
    statement::{ROWS_AT_MOST, filled_up, push_list, runs},
};
use sqlx::{MySql, MySqlConnection, QueryBuilder, Row as _};
use std::{collections::HashMap, fmt, str::FromStr};

/// Calls kept of a branch.
const CALLS_KEPT: i32 = 20;
/// Instead of a value of `waits`: it stays as it is.
const UNCHANGED: i8 = -1;
/// Characters kept of an answer.
const ANSWER_AT_MOST: usize = 200;

/// Where a participant's part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchState {
    /// To be asked, or being asked.
    Asking,
    /// It promised.
    Promised,
    /// It refused: nothing is left to do for it.
    Refused,
    /// It was asked, and it is not known what it did.
    Unknown,
    /// It owes its part of what was decided.
    Owed,
    /// It did what was decided.
    Done,
}

/// Not the name of any state of a branch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the state of a branch")]
pub struct UnknownBranchState(String);

impl BranchState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Asking,
        Self::Promised,
        Self::Refused,
        Self::Unknown,
        Self::Owed,
        Self::Done,
    ];

    /// How it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Promised => "promised",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Owed => "owed",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for BranchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BranchState {
    type Err = UnknownBranchState;

    fn from_str(text: &str) -> Result<Self, UnknownBranchState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownBranchState(text.to_owned()))
    }
}

/// Whether a transaction waits for a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    No,
    /// Until the participant may be called.
    ForTurn,
    /// For its next try, or until the participant was away and came back.
    ForNextTry,
}

impl Waits {
    const fn stored(self) -> i8 {
        match self {
            Self::No => 0,
            Self::ForTurn => 1,
            Self::ForNextTry => 2,
        }
    }
}

/// One call that is written down, and what it makes of its branch.
pub(crate) struct Line<'a> {
    pub gid: Gid,
    pub participant: &'a str,
    pub is_foreign: bool,
    pub state: BranchState,
    pub op: &'static str,
    pub called: &'a Called,
    /// Unchanged where there is none.
    pub waits: Option<Waits>,
}

/// Makes the branches of transactions that were just begun.
pub(super) async fn insert(
    db: &mut MySqlConnection,
    begun: &[(Gid, &Vec<String>)],
) -> sqlx::Result<()> {
    let rows = begun
        .iter()
        .flat_map(|(gid, names)| names.iter().map(move |name| (*gid, name)));
    let rows: Vec<(Gid, &String)> = rows.collect();
    for rows in runs(&rows) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into transaction_branches (gid, participant, is_foreign, state, attempts, history, created_at, changed_at) ",
        );
        query.push_values(rows, |mut row, (gid, name)| {
            row.push_bind(gid)
                .push_bind(*name)
                .push("1")
                .push_bind(BranchState::Asking.as_str())
                .push("0, ''")
                .push("utc_timestamp(3)")
                .push("utc_timestamp(3)");
        });
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Whom undecided transactions have to ask yet, by their rows.
pub(super) async fn to_ask(
    db: &mut MySqlConnection,
    undecided: &[Gid],
) -> sqlx::Result<HashMap<Gid, Begun>> {
    let mut open: HashMap<Gid, (Vec<String>, Option<String>)> = undecided
        .iter()
        .map(|gid| (*gid, (Vec::new(), None)))
        .collect();
    for gids in undecided.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new(
            "select gid, participant, state, last_error from transaction_branches where is_foreign and gid in ",
        );
        push_list(&mut query, gids.iter().copied());
        for row in query.build().fetch_all(&mut *db).await? {
            let Some((to_ask, refused)) = open.get_mut(&row.try_get("gid")?) else {
                continue;
            };
            match state_of(row.try_get("state")?)? {
                BranchState::Refused => {
                    let reason: Option<&str> = row.try_get("last_error")?;
                    let participant: &str = row.try_get("participant")?;
                    *refused = Some(reason_of(participant, reason.unwrap_or_default()));
                }
                BranchState::Asking | BranchState::Unknown => {
                    to_ask.push(row.try_get("participant")?);
                }
                BranchState::Promised | BranchState::Owed | BranchState::Done => {}
            }
        }
    }
    Ok(open
        .into_iter()
        .map(|(gid, (to_ask, refused))| (gid, Begun::Undecided { to_ask, refused }))
        .collect())
}

/// Writes calls down, many at a time. What is done stays done, what was refused refused; a promise is not unknown again.
pub(crate) async fn write(db: &mut MySqlConnection, lines: &[Line<'_>]) -> sqlx::Result<()> {
    for lines in runs(lines) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into transaction_branches \
             (gid, participant, is_foreign, state, attempts, history, last_error, waits, created_at, changed_at) ",
        );
        query.push_values(lines, |mut row, line| {
            row.push_bind(line.gid)
                .push_bind(line.participant)
                .push_bind(line.is_foreign)
                .push_bind(line.state.as_str())
                .push("1")
                .push_bind(told(line))
                .push_bind(why(&line.called.reply).map(evidence))
                .push_bind(line.waits.map_or(UNCHANGED, Waits::stored))
                .push("utc_timestamp(3)")
                .push("utc_timestamp(3)");
        });
        query.push(format!(
            " on duplicate key update \
             last_error = if(state in ('done', 'refused'), coalesce(values(last_error), last_error), values(last_error)), \
             state = if(state in ('done', 'refused') or (state = 'promised' and values(state) = 'unknown'), state, values(state)), \
             attempts = attempts + 1, \
             history = substring_index(concat_ws('\\n', nullif(history, ''), values(history)), '\\n', -{CALLS_KEPT}), \
             waits = if(values(waits) = {UNCHANGED}, waits, values(waits)), changed_at = values(changed_at)"
        ));
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// These wait until their participant may be called: nothing was sent, so nothing else is known.
pub(crate) async fn wait_for_turn(
    db: &mut MySqlConnection,
    waiting: &[(Gid, &str)],
) -> sqlx::Result<()> {
    for rows in waiting.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new(
            "update transaction_branches set waits = 1 where state not in ('done', 'refused') and (gid, participant) in ",
        );
        query.push_tuples(filled_up(rows), |mut row, (gid, participant)| {
            row.push_bind(gid).push_bind(*participant);
        });
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// A call as it is kept.
fn told(line: &Line<'_>) -> String {
    let Called { at, took, reply } = line.called;
    let answer = match (reply, why(reply)) {
        (Reply::Done, _) | (_, None) => "done".to_owned(),
        (Reply::No(_), Some(why)) => format!("refused: {why}"),
        (Reply::Running(_), Some(why)) => why.to_owned(),
        (Reply::Unknown(_), Some(why)) => format!("unknown: {why}"),
        (Reply::Away(..), Some(why)) => format!("away: {why}"),
    };
    serde_json::json!({
        "at": at,
        "op": line.op,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answer": answer.chars().take(ANSWER_AT_MOST).collect::<String>(),
    })
    .to_string()
}

fn why(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Done => None,
        Reply::Running(_) => Some("still at it"),
        Reply::No(why) | Reply::Unknown(why) | Reply::Away(why, _) => Some(why),
    }
}

/// A foreign participant that has to be told of a decision.
#[derive(Debug)]
pub(crate) struct ToTell {
    pub gid: Gid,
    pub participant: String,
    /// What it was sent before, byte for byte.
    pub payload: String,
}

/// The foreign participants that have to be told of these, which were all decided the same way: not those that did it, nor those that
/// refused.
pub(crate) async fn to_tell(
    db: &mut MySqlConnection,
    direction: Direction,
    gids: &[Gid],
) -> sqlx::Result<Vec<ToTell>> {
    let mut found = Vec::new();
    for gids in gids.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new(
            "select b.gid, b.participant, t.payload from transaction_branches b join transactions t on t.gid = b.gid \
             where b.is_foreign and b.state not in ('done', 'refused') and t.state = ",
        );
        query
            .push_bind(direction.decided().as_str())
            .push(" and b.gid in ");
        push_list(&mut query, gids.iter().copied());
        for row in query.build().fetch_all(&mut *db).await? {
            found.push(ToTell {
                gid: row.try_get("gid")?,
                participant: row.try_get("participant")?,
                payload: row.try_get("payload")?,
            });
        }
    }
    Ok(found)
}

/// Lets up to `limit` transactions that wait for a turn at this participant go on at once, the oldest first. How many.
pub(crate) async fn wake(
    db: &mut MySqlConnection,
    participant: &str,
    limit: u32,
) -> sqlx::Result<usize> {
    let gids = sqlx::query_scalar!(
        r#"select gid as "gid: Gid" from transaction_branches where participant = ? and waits = 1 order by gid limit ?"#,
        participant,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    if gids.is_empty() {
        return Ok(0);
    }
    let mut query = QueryBuilder::<MySql>::new(
        "update transactions set due_at = utc_timestamp(3) where state in ('committing', 'rolling_back') and gid in ",
    );
    push_list(&mut query, gids.iter().copied());
    query.build().execute(&mut *db).await?;
    let mut query = QueryBuilder::<MySql>::new(
        "update transaction_branches set waits = 0 where participant = ",
    );
    query
        .push_bind(participant)
        .push(" and waits = 1 and gid in ");
    push_list(&mut query, gids.iter().copied());
    query.build().execute(&mut *db).await?;
    Ok(gids.len())
}

/// A participant was away and came back: what waits for its next try need wait no longer than for a turn, and what got stuck
/// meanwhile goes on, unless an operator stopped it. Up to a thousand; whether there may be more.
pub(crate) async fn come_back(db: &mut MySqlConnection, participant: &str) -> sqlx::Result<bool> {
    let gids = sqlx::query_scalar!(
        r#"select gid as "gid: Gid" from transaction_branches where participant = ? and waits = 2 order by gid limit 1000"#,
        participant
    )
    .fetch_all(&mut *db)
    .await?;
    if gids.is_empty() {
        return Ok(false);
    }
    for direction in [Direction::Commit, Direction::RollBack] {
        let decided = direction.decided();
        let stuck = decided
            .on(Event::AttemptsExhausted)
            .map_err(|illegal| sqlx::Error::Protocol(illegal.to_string()))?;
        let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
        query
            .push_bind(decided.as_str())
            .push(", attempts = 0, due_at = utc_timestamp(3) where stopped = 0 and state = ")
            .push_bind(stuck.as_str())
            .push(" and gid in ");
        push_list(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    let mut query = QueryBuilder::<MySql>::new(
        "update transaction_branches set waits = 1 where participant = ",
    );
    query
        .push_bind(participant)
        .push(" and waits = 2 and gid in ");
    push_list(&mut query, gids.iter().copied());
    query.build().execute(&mut *db).await?;
    Ok(gids.len() == 1_000)
}

pub(crate) fn state_of(text: &str) -> sqlx::Result<BranchState> {
    text.parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}
