//! Every step that the compensator takes at Kafka fails once: what others handed on is taken in once, and a dead letter is published.
//!
//! A step is what the process asks of Kafka: joining its group, the messages it gets and the offsets it commits, the dead letters it
//! publishes, leaving. Its way to Kafka leads through a tap that writes them down, so that the list is made by undisturbed runs. Each
//! is then tried on topics and orders of its own, with a real process: the step is not sent; it is carried out and its reply is lost;
//! the process is killed before it is sent, or once it was answered. The same process goes on, or another one without faults comes
//! after it; that must lead to a legal end, see [`end`].
//!
//! `REDRESS_STEP` chooses cases: those whose name, as a failure tells it, contains it.
//!
//! Seen to fail, each with one rule taken out:
//! - offsets committed before MySQL has what lies below them: `handed on / Kafka: OffsetCommit / dead once done`, an order that nobody
//!   tries again;
//! - a dead letter noted as published before it is: `a dead letter / Kafka: Produce to dead letters / dead before it is sent`, no dead
//!   letter;
//! - a copy of what is no order not recognised: already `handed on / undisturbed`, it is archived twice.
//!
//! It leaves out several compensators at once, which `kills.rs` has, and a second fault.

mod end;
mod scenario;

use scenario::Failed;
use testkit::every_step::each_fails_once;

/// Cases beside each other: most wait for Kafka to miss a member. A compensator has many connections to MySQL.
const STAGES: usize = 6;

/// See the module's documentation.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_at_kafka_fails_the_end_is_legal() {
    each_fails_once(&Failed::ALL, STAGES).await;
}
