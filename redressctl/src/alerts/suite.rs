//! Makes the checks of a webhook one after the other.

use super::{
    check::{Check, test_notice},
    report::{Came, Row, Suite},
    verify::{Reach, Receiver, in_our_words},
};
use anyhow::anyhow;
use chrono::Utc;
use compensation::alerts::{Probe, Targets};
use std::time::Instant;

/// Why a check was not made.
const NO_SECRET: &str = "not made: no --secret was given";
const NO_ANSWER: &str = "not made: the good request had no answer";

/// Sends every request. Where the first has no answer at all the others are not made: each would take as long.
///
/// # Errors
/// When the address or the secret is none.
pub(super) async fn run(receiver: &Receiver) -> anyhow::Result<Suite> {
    let targets = match receiver.reach {
        Reach::Anywhere => Targets::Any,
        Reach::Public => Targets::PublicOnly,
    };
    let probe = Probe::new(&receiver.url, &receiver.secret, targets)
        .map_err(|why| anyhow!(in_our_words(&why.to_string())))?;
    let signs = !receiver.secret.expose().is_empty();
    let first = test_notice();
    let mut rows = Vec::new();
    let mut silent = false;
    for check in Check::ALL {
        let came = if silent {
            Came::NotMade(NO_ANSWER)
        } else if check.needs_a_secret() && !signs {
            Came::NotMade(NO_SECRET)
        } else {
            let began = Instant::now();
            let attempt = check.attempt(&probe, &first, Utc::now());
            match probe.send(attempt).await {
                Ok(status) => Came::Status(status, began.elapsed()),
                Err(why) => {
                    silent = check == Check::Good;
                    Came::Nothing(why)
                }
            }
        };
        rows.push(Row { check, came });
    }
    Ok(Suite {
        place: receiver.place(),
        rows,
    })
}
