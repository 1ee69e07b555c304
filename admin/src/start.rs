//! The start: waiting for MySQL, making the admin who makes the others, and the retry policy where no process has made it yet.

use crate::App;
use anyhow::Context as _;
use compensation::policy::{Policy, stored};
use identity::{
    OperatorRole,
    operators::{self, NewOperator, NewPassword, OperatorError},
};
use service_kit::{mysql, settings::FirstAdmin};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits until MySQL keeps what it commits and there is an operator, with pauses that double up to 5 s and one line a try.
///
/// # Errors
/// When the first admin's name or password are not fit.
pub(crate) async fn prepare(app: &App, first: &FirstAdmin, policy: &Policy) -> anyhow::Result<()> {
    let (admin, password) = first_admin(first).await.context("admin.first_admin")?;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt(&app.db, &admin, policy).await {
            Ok(Made::Now) => {
                info!("Made the admin {:?}", first.username);
                if let Some(password) = password {
                    tell(&first.username, &password);
                }
                return Ok(());
            }
            Ok(Made::Before) => return Ok(()),
            Err(cause) => warn!("Waiting for MySQL and its schema: {cause:#}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Made {
    Now,
    Before,
}

/// The account as it would be made, and its password when it was generated.
async fn first_admin(first: &FirstAdmin) -> Result<(NewOperator, Option<String>), OperatorError> {
    let chosen = first.password.expose();
    let (password, text) = if chosen.is_empty() {
        let (password, text) = NewPassword::generated().await?;
        (password, Some(text))
    } else {
        (NewPassword::chosen(chosen).await?, None)
    };
    let admin = NewOperator::new(&first.username, password, OperatorRole::Admin)?;
    Ok((admin, text))
}

async fn attempt(db: &MySqlPool, admin: &NewOperator, policy: &Policy) -> anyhow::Result<Made> {
    mysql::check_durability(db).await?;
    if stored::current_number(db).await?.is_none() {
        stored::seed(db, policy)
            .await
            .context("writing down the first retry policy")?;
    }
    if operators::any(db).await.context("looking for operators")? {
        return Ok(Made::Before);
    }
    let mut db = db.acquire().await.context("connecting")?;
    match operators::create(&mut db, admin).await {
        Ok(_) => Ok(Made::Now),
        // Another instance was faster.
        Err(OperatorError::Taken) => Ok(Made::Before),
        Err(cause) => Err(anyhow::Error::new(cause).context("making the first admin")),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "said once, to whoever started it, and never in a log"
)]
fn tell(username: &str, password: &str) {
    println!("First log-in of the admin: {username} with the password {password}");
}
