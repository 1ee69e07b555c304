//! The fixed words, in each language. Titles and texts of alerts come as they are; what Redress itself says of them (a digest, a test, how
//! an incident ended) is known by its sentences, which [`super::chinese`] says anew.

use crate::alerts::{Severity, Status};
use service_kit::settings::Language;

pub(super) const fn of_status(language: Language, status: Status) -> &'static str {
    match (language, status) {
        (Language::En, Status::Firing) => "new",
        (Language::En, Status::Changed) => "more of it",
        (Language::En, Status::Repeated) => "still open",
        (Language::En, Status::Escalated) => "nobody acknowledged it",
        (Language::En, Status::Resolved) => "resolved",
        (Language::En, Status::Acknowledged) => "somebody looks after it",
        (Language::En, Status::Digest) => "digest",
        (Language::En, Status::Test) => "test",
        (Language::Zh, Status::Firing) => "新告警",
        (Language::Zh, Status::Changed) => "仍在增加",
        (Language::Zh, Status::Repeated) => "仍未解决",
        (Language::Zh, Status::Escalated) => "无人确认",
        (Language::Zh, Status::Resolved) => "已恢复",
        (Language::Zh, Status::Acknowledged) => "已有人处理",
        (Language::Zh, Status::Digest) => "汇总",
        (Language::Zh, Status::Test) => "测试",
    }
}

pub(super) const fn of_severity(language: Language, severity: Severity) -> &'static str {
    match (language, severity) {
        (Language::En, _) => severity.as_str(),
        (Language::Zh, Severity::Urgent) => "紧急",
        (Language::Zh, Severity::Warning) => "警告",
        (Language::Zh, Severity::Info) => "提示",
    }
}
