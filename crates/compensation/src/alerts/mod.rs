//! Who is told of what was given up: alerts are written down before they are sent, and sent until they arrived or are shown as
//! undelivered.
//!
//! An alert is a row in `alerts`, written in the transaction of what it tells of; while MySQL takes nothing it is a file in the
//! [`Spool`]. The [`Folder`] makes [`incidents`] of alike ones, and what is said of an incident is a notice: a row per channel in
//! `alert_outbox`. The [`Courier`] sends what is due, each channel by itself, in the order of its incident and as fast as the receiver
//! takes it; what there is no room for is told of by a digest, or waits where each end has to arrive. Receivers may get a notice twice (the sender died before it wrote down
//! that it had arrived), always under the same id. What neither MySQL nor the spool takes is counted, and people are told how many.

mod address;
mod alert;
mod alertmanager;
mod backlog;
mod bucket;
mod channel;
mod channels;
mod courier;
mod digest;
mod dingtalk;
mod email;
mod endpoint;
mod feishu;
pub mod incidents;
mod lane;
mod lost;
pub mod metrics;
mod notice;
pub mod outbox;
mod pagerduty;
mod plan;
mod policy;
mod probe;
mod raise;
mod resolver;
mod rotation;
mod routes;
mod secrets;
mod shorten;
mod slack;
mod spool;
mod standard_webhooks;
mod tally;
mod texts;
mod verdict;
mod watch;
mod wecom;

pub use address::Targets;
pub use alert::{Alert, Severity};
pub use channel::{Channel, Delivered, Rate};
pub use channels::{BadChannel, Channels};
pub use courier::Courier;
pub use incidents::Folder;
pub use notice::{Line, Notice, Status};
pub use policy::Policy;
pub use probe::{Attempt, BadProbe, Probe};
pub use raise::{raise, record, record_spooled};
pub use routes::Routes;
pub use spool::{Spool, SpoolError};
