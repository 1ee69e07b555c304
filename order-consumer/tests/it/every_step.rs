//! Every step that order-consumer takes at Kafka fails once: no order is lost or doubled, and what fails alone and what is no order
//! reaches those who work on it.
//!
//! A step is what the process asks of Kafka: joining its group, messages and offsets it gets, messages and offsets it writes, leaving.
//! Its way to Kafka leads through a tap that writes them down, so that the list is made by undisturbed runs. Each is then tried on
//! topics and a sale of its own, with a real process: the step is not sent; it is carried out and its reply is lost; the process is
//! killed before it is sent, or once it was answered. The same process goes on, or another one without faults comes after it; that
//! must lead to a legal end, see [`end`]. Its steps at MySQL and Redis fail in `ordering`'s test of this name.
//!
//! `REDRESS_STEP` chooses cases: those whose name, as a failure tells it, contains it.
//!
//! Seen to fail, each with one rule taken out:
//! - offsets finished before the decision: already `several orders / undisturbed`, the process ends before it has handed anything on;
//!   `one order / Kafka: OffsetCommit / dead once done`, units are held for an order nobody decides;
//! - what is handed on not waited for: `several orders / Kafka: Produce to compensation / dead before it is sent`, no copy of it;
//! - a dead letter not waited for: `several orders / Kafka: Produce to dead letters / dead before it is sent`, the same;
//! - commits sent before the last one was answered: `several orders / Kafka: OffsetCommit / not sent` and `… / reply lost`, offsets
//!   stay behind for good. This one was found here; `commits.rs` shows it every time.
//!
//! It leaves out several members at once, which `rebalances.rs` has, a member under an `instance_id`, and a second fault.

mod end;
mod scenario;

use scenario::Orders;
use testkit::every_step::each_fails_once;

/// Cases beside each other: most wait for Kafka to miss a member.
const STAGES: usize = 14;

/// See the module's documentation.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_at_kafka_fails_the_end_is_legal() {
    each_fails_once(&Orders::ALL, STAGES).await;
}
