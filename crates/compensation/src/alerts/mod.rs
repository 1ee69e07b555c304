//! Who is told of what was given up: alerts are written down before they are sent, and sent until they arrived or are shown as
//! undelivered.
//!
//! An alert is a row per channel in `alert_outbox`, written in the transaction of what it tells of; while MySQL takes nothing it
//! is a file in the [`Spool`]. The [`Courier`] sends what is due, each channel by itself. Receivers may get an alert twice (the
//! sender died before it wrote down that it had arrived), always under the same id. Grouping, digests and escalation are not here.

mod address;
mod alert;
mod alertmanager;
mod backlog;
mod channel;
mod channels;
mod courier;
mod dingtalk;
mod email;
mod endpoint;
mod feishu;
mod lane;
pub mod metrics;
mod notice;
pub mod outbox;
mod pagerduty;
mod policy;
mod probe;
mod raise;
mod secrets;
mod shorten;
mod slack;
mod spool;
mod standard_webhooks;
mod texts;
mod verdict;
mod watch;
mod wecom;

pub use address::Targets;
pub use alert::{Alert, Severity};
pub use channel::{Channel, Delivered, Rate};
pub use channels::{BadChannel, Channels};
pub use courier::Courier;
pub use notice::{Line, Notice, Status};
pub use policy::Policy;
pub use probe::{Attempt, BadProbe, Probe};
pub use raise::raise;
pub use spool::{Spool, SpoolError};
