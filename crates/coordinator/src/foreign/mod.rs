//! Participants outside this system, spoken to over HTTP: what is asked of them, and the calling side.
//!
//! # For whoever writes one
//! A participant takes one of two styles. **TCC** reserves first: `try`, then `confirm` or `cancel`. **Saga** acts at once and takes it
//! back: `action`, then nothing or `compensate`. Try and action *ask* for a promise: once it is given, the rest has to be possible
//! whenever it is asked for. Each is a request
//!
//! ```text
//! POST {url}/{try|confirm|cancel|action|compensate}
//! content-type: application/json
//! redress-gid: 0190b3c2-…          the transaction, a UUID
//! redress-branch: coupon           the participant's name: with the gid it names the branch
//! redress-op: try                  as in the path
//! traceparent: 00-…                where there is a trace (W3C Trace Context)
//! ```
//!
//! whose body is the same, byte for byte, in every request of a branch. Who is asking is for the participant to check: by
//! credentials in its url, or by its network. It answers, with at most 64 KiB, as soon as it can:
//!
//! | answer | means |
//! |---|---|
//! | 200 | done, now or before; whatever the body. No other 2xx: 202 is not done |
//! | 409 | surely not done, and it never will be. `code` (or `reason`) of a JSON object, such as `application/problem+json`, says why: it is stored, and at most 64 characters long. Of try and action alone: see below |
//! | 425 | still at it: ask again, after `Retry-After` where it says so |
//! | 429, and 503 with `Retry-After` | leave *all* of me alone for so long (seconds or a date; 0.1 to 60 s, as above; 429 alone: 1 s) |
//! | anything else, or none in time | nobody knows. It is asked again |
//!
//! Redirects are not followed. A promise is **kept**: 409 to confirm, cancel or compensate is never legal. It counts as a failure, is
//! asked again, and in the end a person sees it.
//!
//! ## The barrier
//! Answers get lost, so every request may come again: much later, at the same time as its twin, and after others that were sent
//! later. Hence
//!
//! 1. **A repeat does nothing** and gets the answer of the first. The way to it is a row (gid, branch, op) with a unique key, inserted
//!    in the same local transaction as the change itself.
//! 2. **Cancel or compensate of what never came** is done, changes nothing, and is remembered (*empty rollback*).
//! 3. **Try or action that comes after its cancel or compensate** is refused with 409 and changes nothing (*suspension*), or what it
//!    reserves would be reserved for good.
//! 4. A refused try or action stays refused; its cancel or compensate is done and changes nothing.
//! 5. Confirm is done where it was done before. Without a promise it is never sent, nor after cancel; nor is cancel after confirm.
//!
//! It has to remember this for as long as transactions are kept ([`Retention`](crate::Retention), `transaction.keep_finished_h`).
//! In SQL, where `barrier` has the primary key (gid, branch, op) and every op is one transaction:
//!
//! ```sql
//! -- try or action: its opposite's row in place means that it comes too late. The key makes twins wait for one another.
//! start transaction;
//! insert ignore into barrier (gid, branch, op, answer) values (:gid, :branch, 'try', 200);
//! -- no row inserted: select answer from barrier where … op = 'try'; that is the answer. Else:
//! update coupons set reserved = reserved + 1 where id = :coupon and reserved + used < capacity;
//! -- no row changed: update barrier set answer = 409 where …
//! commit;
//!
//! -- cancel or compensate: takes the ask's place where it never came, so that it never will.
//! start transaction;
//! insert ignore into barrier (gid, branch, op, answer) values (:gid, :branch, 'try', 409);   -- inserted: nothing to give back
//! insert ignore into barrier (gid, branch, op, answer) values (:gid, :branch, 'cancel', 200); -- not inserted: done before
//! -- only if the first was there with answer 200, and the second was not:
//! update coupons set reserved = reserved - 1 where id = :coupon;
//! commit;
//!
//! -- confirm
//! start transaction;
//! insert ignore into barrier (gid, branch, op, answer) values (:gid, :branch, 'confirm', 200);
//! -- only if inserted:
//! update coupons set reserved = reserved - 1, used = used + 1 where id = :coupon;
//! commit;
//! ```
//!
//! # What is done to it
//! [`HttpParticipant`] sends one request a call and takes nothing for granted. To each participant so many calls are under way at
//! once and no more; those beyond wait in order, as long as their time allows. Several answers in a row that say nothing, and it is
//! left alone for half a second, then ever longer, to 10 s; one call tries, and what was held back follows it step by step.
//!
//! # What is left out
//! What is written down before a call and after it is the log's, and whether a call is repeated is recovery's.

mod answer;
mod destination;
mod http;
pub mod metrics;
mod participants;
mod reply;
mod turns;

pub use http::{BadParticipant, HttpParticipant, HttpSettings};
pub use participants::{ForeignParticipants, SameName};
pub use reply::{Called, Op, Phase, Reply, Style};
