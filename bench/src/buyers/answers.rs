//! What a buyer makes of an answer: done, refused, or come again. Pure.

use crate::http::{NoAnswer, Reply};
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// The first wait after a lost connection; doubled each time up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait where the server did not say how long.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// One answer, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// HTTP status; 0: no answer came.
    pub status: u16,
    /// The problem's code, or what became of the connection.
    pub code: Option<String>,
    /// The order it names.
    pub order: Option<Uuid>,
    retry_after: Option<Duration>,
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The order is queued.
    Accepted,
    /// There will be no order.
    Refused,
    /// The same request again, after this long.
    Again(Duration),
}

#[derive(Deserialize, Default)]
struct Body {
    order_id: Option<Uuid>,
    code: Option<String>,
}

impl Told {
    /// Reads what came back, if anything.
    #[must_use]
    pub fn of(answer: Result<Reply, NoAnswer>) -> Self {
        match answer {
            Ok(reply) => {
                let body: Body = serde_json::from_slice(&reply.body).unwrap_or_default();
                Self {
                    status: reply.status,
                    code: body.code,
                    order: body.order_id,
                    retry_after: reply.retry_after,
                }
            }
            Err(none) => Self {
                status: 0,
                code: Some(none.to_string()),
                order: None,
                retry_after: None,
            },
        }
    }

    /// The code, or the status where there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        self.code.clone().unwrap_or_else(|| self.status.to_string())
    }

    /// What a patient buyer does after the `tries`-th answer (1 is the first).
    #[must_use]
    pub fn next(&self, tries: u32) -> Next {
        match (self.status, self.code.as_deref()) {
            (202, _) => Next::Accepted,
            (0 | 429 | 500..=599, _) | (409, Some("in_progress")) => {
                Next::Again(self.retry_after.unwrap_or_else(|| wait(tries)))
            }
            _ => Next::Refused,
        }
    }
}

fn wait(tries: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(1 << tries.saturating_sub(1).min(10))
        .min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Bytes;

    fn told(status: u16, body: &'static str, retry_after_s: Option<u64>) -> Told {
        Told::of(Ok(Reply {
            status,
            retry_after: retry_after_s.map(Duration::from_secs),
            cookie: None,
            body: Bytes::from_static(body.as_bytes()),
        }))
    }

    #[test]
    fn a_202_names_the_order() {
        let told = told(
            202,
            r#"{"order_id":"00000000-0000-0000-0000-000000000007","status":"processing"}"#,
            None,
        );
        assert_eq!(
            (told.next(1), told.order),
            (Next::Accepted, Some(Uuid::from_u128(7)))
        );
    }

    #[test]
    fn sold_out_is_final_and_in_progress_is_not() {
        assert_eq!(
            told(409, r#"{"code":"sold_out"}"#, None).next(1),
            Next::Refused
        );
        assert_eq!(
            told(409, r#"{"code":"in_progress"}"#, Some(1)).next(1),
            Next::Again(Duration::from_secs(1))
        );
    }

    #[test]
    fn a_lost_connection_is_tried_again_ever_more_slowly_up_to_a_bound() {
        let lost = Told::of(Err(NoAnswer::Lost));
        let waits: Vec<Next> = [1, 2, 3, 100].map(|tries| lost.next(tries)).into();
        assert_eq!(
            waits,
            [100, 200, 400, 2_000].map(|ms| Next::Again(Duration::from_millis(ms)))
        );
    }

    #[test]
    fn an_unknown_outcome_is_asked_again_when_the_server_says() {
        assert_eq!(
            told(503, r#"{"code":"outcome_unknown"}"#, Some(3)).next(1),
            Next::Again(Duration::from_secs(3))
        );
    }
}
