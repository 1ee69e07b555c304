//! The engine's own database sessions: few, kept warm, and short-lived when abandoned.
//!
//! A process that is paused inside a decision would hold the hot row for as long as it sleeps. So the server ends a session
//! that is silent for 5 s (`wait_timeout`), no lock is waited for longer than 2 s, and idle sessions are pinged every 2 s: others wait
//! for 7 s at most, where the sleeper had waited for a lock itself before.
//!
//! Where one session breaks, the others that rest are let go as well: the server they lead to may have been restarted, and whoever
//! is handed one of them would learn it the hard way.

use crate::statement::TEXTS_KEPT;
use sqlx::{Connection, Executor, MySqlConnection, mysql::MySqlConnectOptions};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// An idle session older than this is not handed out: the server may have ended it.
const FRESH: Duration = Duration::from_secs(4);
/// How long a session rests before it is pinged.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Idle sessions kept: more than an engine ever uses at once.
const IDLE_AT_MOST: usize = 16;
/// How long connecting, and each step of a decision, may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Hands out sessions at READ COMMITTED. Cloning shares them.
#[derive(Clone)]
pub struct Sessions {
    options: Arc<MySqlConnectOptions>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

struct Idle {
    session: MySqlConnection,
    since: Instant,
}

impl Sessions {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(options: MySqlConnectOptions) -> Self {
        Self {
            options: Arc::new(options.statement_cache_capacity(TEXTS_KEPT)),
            idle: Arc::default(),
        }
    }

    /// An idle session, or a new one.
    ///
    /// # Errors
    /// When no session could be opened within 5 s.
    pub async fn take(&self) -> sqlx::Result<MySqlConnection> {
        while let Some(idle) = self.pop() {
            if idle.since.elapsed() < FRESH {
                return Ok(idle.session);
            }
        }
        self.open().await
    }

    /// A session broke: those that rest are not handed out any more.
    pub(crate) fn one_broke(&self) {
        self.resting().clear();
    }

    /// A session nobody has used.
    ///
    /// # Errors
    /// When it could not be opened within 5 s.
    pub async fn open(&self) -> sqlx::Result<MySqlConnection> {
        let opening = async {
            let mut session = MySqlConnection::connect_with(&self.options).await?;
            session
                .execute(
                    "set session transaction isolation level read committed; \
                     set session wait_timeout = 5, innodb_lock_wait_timeout = 2",
                )
                .await
                .map(|_| session)
        };
        timeout(ANSWER_WITHIN, opening)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// Lends a session for work that ends in no transaction, or in an error: then the session is let go, and whatever it had not
    /// committed is undone.
    ///
    /// # Errors
    /// What the work says, that no session could be had, or that the work took longer than 5 s.
    pub(crate) async fn lend<X>(
        &self,
        work: impl AsyncFnOnce(&mut MySqlConnection) -> sqlx::Result<X>,
    ) -> sqlx::Result<X> {
        let mut session = self.take().await?;
        let done = timeout(ANSWER_WITHIN, work(&mut session))
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut));
        match &done {
            Ok(_) => self.give_back(session),
            Err(sqlx::Error::Database(_) | sqlx::Error::Decode(_)) => {}
            Err(_) => self.one_broke(),
        }
        done
    }

    /// Gives a session back that is in no transaction. Beyond `IDLE_AT_MOST` it is closed.
    pub fn give_back(&self, session: MySqlConnection) {
        let mut idle = self.resting();
        if idle.len() < IDLE_AT_MOST {
            idle.push(Idle {
                session,
                since: Instant::now(),
            });
        }
    }

    /// Pings idle sessions, one at a time, until it is dropped; those that do not answer are let go.
    pub(crate) async fn keep_warm(self) {
        loop {
            tokio::time::sleep(PING_EVERY / 2).await;
            while let Some(mut idle) = self.pop_resting() {
                match timeout(PING_EVERY / 2, idle.session.ping()).await {
                    Ok(Ok(())) => self.give_back(idle.session),
                    _ => self.one_broke(),
                }
            }
        }
    }

    /// A session nobody has used for [`PING_EVERY`].
    fn pop_resting(&self) -> Option<Idle> {
        let mut idle = self.resting();
        let at = idle
            .iter()
            .position(|idle| idle.since.elapsed() >= PING_EVERY)?;
        Some(idle.swap_remove(at))
    }

    fn pop(&self) -> Option<Idle> {
        self.resting().pop()
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
