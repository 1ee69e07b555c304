//! One decision: a batch, one database transaction. `transactions` rows first, then the last resource's rows, COMMIT last.

use crate::{
    core::Tried,
    epochs::Epochs,
    ids::{Gid, Token},
    log::{self, Stored},
    participant::{Ballot, LastResource},
    sessions::{ANSWER_WITHIN, Sessions},
    state::{Event, TxState},
    transaction::{Decided, Outcome, Rest, Ruling, Verdict, Work},
};
use futures::FutureExt as _;
use sqlx::{Executor, MySqlConnection};
use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
};
use tokio::time::timeout;

/// A lock was waited for too long: the statement was undone, the transaction was not.
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// The transaction was chosen to break a deadlock, and undone.
const DEADLOCK: u16 = 1213;

/// Tries to decide the batch once: writes into the log, waits for its turn at what is contended for, has the last resource rule, and
/// tells when nothing is left but COMMIT.
pub(crate) async fn try_once<W: Work>(
    sessions: &Sessions,
    last_resource: &dyn LastResource<W>,
    epochs: &Epochs,
    (token, ballots): (Token, Vec<Ballot<W>>),
    turn: impl Future<Output = ()>,
    committing: impl FnOnce(),
) -> Tried {
    let mut session = match sessions.take().await {
        Ok(session) => session,
        Err(cause) => return Tried::Unavailable(cause.to_string()),
    };
    // Nothing was sent that commits: whatever breaks in here, dropping the session undoes it.
    let claiming = claim(&mut session, epochs, token, ballots);
    let claimed = match in_time(claiming).await {
        Ok(claimed) => claimed,
        Err(broke) => return not_committed(sessions, session, broke).await,
    };
    if !claimed.ours.is_empty() {
        turn.await;
    }
    let ruling = rule(&mut session, last_resource, epochs, claimed);
    match in_time(ruling).await {
        Ok(decided) => {
            committing();
            commit(sessions, session, decided).await
        }
        Err(broke) => not_committed(sessions, session, broke).await,
    }
}

/// Why a step before COMMIT came to nothing.
enum Broke {
    Panicked,
    TimedOut,
    Failed(sqlx::Error),
}

async fn in_time<X>(step: impl Future<Output = sqlx::Result<X>>) -> Result<X, Broke> {
    match timeout(ANSWER_WITHIN, AssertUnwindSafe(step).catch_unwind()).await {
        Ok(Ok(done)) => done.map_err(Broke::Failed),
        Ok(Err(_)) => Err(Broke::Panicked),
        Err(_) => Err(Broke::TimedOut),
    }
}

async fn commit(sessions: &Sessions, mut session: MySqlConnection, decided: Vec<Decided>) -> Tried {
    let why = match timeout(ANSWER_WITHIN, session.execute("commit")).await {
        Ok(Ok(_)) => {
            sessions.give_back(session);
            return Tried::Done(decided);
        }
        Ok(Err(cause)) => cause.to_string(),
        Err(_) => format!("no answer to COMMIT within {} s", ANSWER_WITHIN.as_secs()),
    };
    sessions.one_broke();
    Tried::ReplyLost(why)
}

/// What the log holds for these transactions now. Waits for whoever may still be committing them.
pub(crate) async fn read_back(
    sessions: &Sessions,
    token: Token,
    gids: &[Gid],
) -> Result<Vec<Decided>, String> {
    let reading = async {
        let mut session = sessions.open().await?;
        session.execute("start transaction").await?;
        let rows = log::read_locked(&mut session, gids).await?;
        session.execute("rollback").await?;
        sessions.give_back(session);
        Ok::<_, sqlx::Error>(rows)
    };
    let rows = timeout(ANSWER_WITHIN, reading)
        .await
        .map_err(|_| "the database does not answer".to_owned())?;
    Ok(rows
        .map_err(|cause| cause.to_string())?
        .iter()
        .filter_map(|row| stored(row, token))
        .collect())
}

/// A batch whose rows in the log are locked.
struct Claimed<W> {
    ours: Vec<Ballot<W>>,
    known: Vec<Stored>,
    decided: Vec<Decided>,
}

/// Nobody contends for what is locked here but who submits the same transactions.
async fn claim<W: Work>(
    db: &mut MySqlConnection,
    epochs: &Epochs,
    token: Token,
    mut ballots: Vec<Ballot<W>>,
) -> sqlx::Result<Claimed<W>> {
    db.execute("start transaction").await?;
    ballots.sort_unstable_by_key(|ballot| ballot.transaction.gid);
    let transactions: Vec<_> = ballots.iter().map(|it| &it.transaction).collect();
    log::claim(db, token, &transactions, epochs).await?;
    let gids: Vec<Gid> = transactions.iter().map(|it| it.gid).collect();
    let known = log::read(db, &gids).await?;
    let (ours, decided) = share_out(ballots, &known, token);
    Ok(Claimed {
        ours,
        known,
        decided,
    })
}

async fn rule<W: Work>(
    db: &mut MySqlConnection,
    last_resource: &dyn LastResource<W>,
    epochs: &Epochs,
    claimed: Claimed<W>,
) -> sqlx::Result<Vec<Decided>> {
    let Claimed {
        ours,
        known,
        mut decided,
    } = claimed;
    if ours.is_empty() {
        return Ok(decided);
    }
    let rulings = last_resource.rule(db, &ours).await?;
    // A row nobody ruled on would stay as it was claimed: committing.
    if rulings.len() != ours.len() {
        return Err(sqlx::Error::Protocol(format!(
            "the last resource ruled on {} of {} transactions",
            rulings.len(),
            ours.len()
        )));
    }
    for (ballot, ruling) in ours.iter().zip(&rulings) {
        epochs.saw(ballot.transaction.label, ruling.epoch);
    }
    decided.extend(record(db, &ours, rulings, &known).await?);
    Ok(decided)
}

/// Shares a batch out once its rows are locked and read: what this attempt is to rule on, and what was decided before. The token
/// is the guard: a row that carries another one was decided by somebody else, and is theirs to complete.
///
/// What was begun with foreign participants and is not prepared is in neither, unless it is to be refused: it is committed with all
/// their promises only, whatever whoever submits it knows of them.
pub(crate) fn share_out<W>(
    ballots: Vec<Ballot<W>>,
    known: &[Stored],
    token: Token,
) -> (Vec<Ballot<W>>, Vec<Decided>) {
    let known: HashMap<Gid, &Stored> = known.iter().map(|row| (row.gid, row)).collect();
    let (mut ours, others): (Vec<_>, Vec<_>) = ballots.into_iter().partition(|ballot| {
        known
            .get(&ballot.transaction.gid)
            .is_some_and(|row| row.token == token)
    });
    ours.retain(|ballot| {
        ballot.refused.is_some() || !known[&ballot.transaction.gid].waits_for_promises()
    });
    let decided = others
        .iter()
        .filter_map(|ballot| stored(known.get(&ballot.transaction.gid)?, token))
        .collect();
    (ours, decided)
}

/// A row as its callers are told: only what was decided under `token` is for them to complete.
pub(crate) fn stored(row: &Stored, token: Token) -> Option<Decided> {
    let unfinished = matches!(row.state, TxState::Committing | TxState::RollingBack);
    let rest = Rest {
        epoch: row.epoch,
        branches: row.branches,
    };
    Some(Decided {
        gid: row.gid,
        outcome: row.outcome()?,
        to_complete: (row.token == token && unfinished).then_some(rest),
    })
}

/// What a row became, and whether it had been begun: rows that are alike are written together.
type Became = (&'static str, Option<String>, i64, bool);

/// Stores the rulings beside the rows they speak of: one statement for all that became alike, none for those that were claimed as
/// what they became.
async fn record<W: Work>(
    db: &mut MySqlConnection,
    ballots: &[Ballot<W>],
    rulings: Vec<Ruling>,
    known: &[Stored],
) -> sqlx::Result<Vec<Decided>> {
    let known: HashMap<Gid, &Stored> = known.iter().map(|row| (row.gid, row)).collect();
    let mut alike: BTreeMap<Became, (TxState, Vec<Gid>)> = BTreeMap::new();
    let mut decided = Vec::with_capacity(rulings.len());
    for (ballot, Ruling { verdict, epoch }) in ballots.iter().zip(rulings) {
        let gid = ballot.transaction.gid;
        let row = known.get(&gid);
        let branches = row.map_or(0, |row| row.branches);
        let (state, outcome, to_complete) = became(verdict, epoch, branches)
            .map_err(|illegal| sqlx::Error::Protocol(illegal.to_string()))?;
        let reason = match &outcome {
            Outcome::Committed => None,
            Outcome::RolledBack { reason } => Some(reason.clone()),
        };
        let epoch = to_complete.map_or(epoch, |rest| rest.epoch);
        if !row.is_some_and(|row| row.says(state, reason.as_deref(), epoch)) {
            let was_begun = row.is_some_and(|row| row.state.direction().is_none());
            alike
                .entry((state.as_str(), reason, epoch, was_begun))
                .or_insert_with(|| (state, Vec::new()))
                .1
                .push(gid);
        }
        decided.push(Decided {
            gid,
            outcome,
            to_complete,
        });
    }
    for ((_, reason, epoch, was_begun), (state, gids)) in &alike {
        log::record(db, gids, *state, reason.as_deref(), *epoch, *was_begun).await?;
    }
    Ok(decided)
}

/// Lower than any epoch: what is completed under it was counted before, whoever is told.
const BEFORE_ALL: i64 = -1;

/// What a ruling makes of its transaction: the state of its row, what its callers are told, and what is left to do.
///
/// What the last resource had settled before is over for participants that were told then; foreign ones that were asked once more
/// are told once more.
pub(crate) fn became(
    verdict: Verdict,
    epoch: i64,
    branches: u8,
) -> Result<(TxState, Outcome, Option<Rest>), crate::state::IllegalMove> {
    let owed = |epoch| Some(Rest { epoch, branches });
    Ok(match verdict {
        Verdict::Granted => (
            TxState::Prepared.on(Event::DecidedToCommit)?,
            Outcome::Committed,
            owed(epoch),
        ),
        Verdict::Refused(reason) => (
            TxState::Prepared.on(Event::Refused)?,
            Outcome::RolledBack { reason },
            owed(epoch),
        ),
        Verdict::AlreadySettled(outcome) if branches > 0 => {
            (outcome.direction().decided(), outcome, owed(BEFORE_ALL))
        }
        Verdict::AlreadySettled(outcome) => (outcome.direction().finished(), outcome, None),
    })
}

async fn not_committed(sessions: &Sessions, mut session: MySqlConnection, broke: Broke) -> Tried {
    let tried = match broke {
        // The session is let go in the middle of whatever it was at.
        Broke::Panicked => return Tried::BadData("the last resource panicked".to_owned()),
        Broke::TimedOut => Tried::Unavailable(format!(
            "no answer from the database within {} s",
            ANSWER_WITHIN.as_secs()
        )),
        Broke::Failed(cause) => classify(&cause),
    };
    if matches!(tried, Tried::Unavailable(_)) {
        sessions.one_broke();
    } else if matches!(
        timeout(ANSWER_WITHIN, session.execute("rollback")).await,
        Ok(Ok(_))
    ) {
        sessions.give_back(session);
    }
    tried
}

/// An error before COMMIT was sent: surely nothing was decided.
pub(crate) fn classify(cause: &sqlx::Error) -> Tried {
    let why = cause.to_string();
    match cause {
        sqlx::Error::Database(error) => {
            match error
                .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
                .map(sqlx::mysql::MySqlDatabaseError::number)
            {
                Some(DEADLOCK | LOCK_WAIT_TIMEOUT) => Tried::Contended(why),
                Some(number) if is_systemic(number) => Tried::Unavailable(why),
                _ => Tried::BadData(why),
            }
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. } => Tried::BadData(why),
        _ => Tried::Unavailable(why),
    }
}

/// Errors that every batch would meet: read-only or stopping server, no space, no rights, no such table, interrupted session.
const fn is_systemic(number: u16) -> bool {
    matches!(
        number,
        1021 | 1037
            | 1038
            | 1040
            | 1041
            | 1044
            | 1045
            | 1049
            | 1053
            | 1054
            | 1114
            | 1142
            | 1146
            | 1158
            ..=1161
                | 1181
                | 1206
                | 1223
                | 1290
                | 1317
                | 1836
                | 1927
                | 1969
                | 2006
                | 2013
                | 3024
                | 4031
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_blames_nobody_in_the_batch() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(classify(&broken), Tried::Unavailable(_)));
    }

    #[test]
    fn a_settled_gid_is_stored_final_and_completed_by_nobody_but_those_outside() {
        let settled = Verdict::AlreadySettled(Outcome::RolledBack {
            reason: log::SUPERSEDED.to_owned(),
        });
        let (state, _, to_complete) = became(settled.clone(), 3, 0).unwrap();
        assert_eq!((state, to_complete), (TxState::RolledBack, None));
        let (state, _, to_complete) = became(settled, 3, 1).unwrap();
        let rest = Rest {
            epoch: BEFORE_ALL,
            branches: 1,
        };
        assert_eq!((state, to_complete), (TxState::RollingBack, Some(rest)));
    }
}
