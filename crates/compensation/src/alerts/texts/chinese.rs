//! The sentences that Redress itself makes, in Chinese: a digest, a test, how an incident ended. They are stored in English, as everything
//! is that channels of either language are sent; a sentence of another shape comes as it is.

use crate::alerts::{Alert, Notice, Severity, Status};

/// The ends of archived rows and of work.
const ENDS: [(&str, &str); 8] = [
    ("replayed", "已重放"),
    ("refused when replayed", "重放时被拒绝"),
    ("discarded by hand", "已人工丢弃"),
    ("failed again for another cause", "因其他原因再次失败"),
    ("settled by a later try", "后续重试成功"),
    ("given up", "已放弃"),
    ("handled", "已处理"),
    ("rolled back", "已回滚"),
];

/// The same notice with these sentences in Chinese.
pub(super) fn told(notice: &Notice) -> Notice {
    let alert = &notice.alert;
    let is_ours = matches!(notice.status, Status::Digest | Status::Test);
    let said = |english: &str| {
        let chinese = is_ours.then(|| sentence(english)).flatten();
        chinese.unwrap_or_else(|| english.to_owned())
    };
    let lines: Vec<_> = alert.text.lines().map(said).collect();
    let facts = alert.facts.iter().map(|(name, value)| {
        let name = match name.as_str() {
            "more since the last notice" => "上次通知以来新增",
            other => other,
        };
        (name.to_owned(), value.clone())
    });
    let resolution = notice
        .resolution
        .as_deref()
        .map(|english| resolution(english).unwrap_or_else(|| english.to_owned()));
    Notice {
        resolution,
        alert: Alert {
            title: said(&alert.title),
            text: lines.join("\n"),
            facts: facts.collect(),
            ..alert.clone()
        },
        ..notice.clone()
    }
}

/// Of a digest or a test.
fn sentence(english: &str) -> Option<String> {
    match english {
        "More was due than this channel takes at once, or it was away." => {
            return Some("待发通知多于该渠道一次可接收的数量，或该渠道曾不可用。".to_owned());
        }
        "Nothing happened: somebody wanted to know whether alerts arrive here." => {
            return Some("没有发生任何问题：有人想确认告警能否送达这里。".to_owned());
        }
        _ => {}
    }
    if let Some(channel) = english.strip_prefix("This is a test of ") {
        return Some(format!("这是对 {channel} 的测试"));
    }
    if let Some(rest) = english.strip_prefix("What stands comes first, the severest on top; and ") {
        let more = number(rest.strip_suffix(" more, on the page of alerts.")?)?;
        return Some(format!(
            "未恢复的在前，最严重的居首；另有 {more} 条，见告警页面。"
        ));
    }
    let (count, severities) = english.split_once(" notices in one: ")?;
    let severities: Option<Vec<_>> = severities.split(", ").map(of_severity).collect();
    Some(format!(
        "{} 条通知合并为一条：{}",
        number(count)?,
        severities?.join("，")
    ))
}

/// `3 urgent`
fn of_severity(english: &str) -> Option<String> {
    let (count, severity) = english.split_once(' ')?;
    let all = [Severity::Urgent, Severity::Warning, Severity::Info];
    let severity = all.into_iter().find(|it| it.as_str() == severity)?;
    let word = super::words::of_severity(service_kit::settings::Language::Zh, severity);
    Some(format!("{word} {} 条", number(count)?))
}

/// How an incident ended.
fn resolution(english: &str) -> Option<String> {
    match english {
        "nothing of it is left" => return Some("已无遗留".to_owned()),
        "nothing is left to do" => return Some("无需再处理".to_owned()),
        _ => {}
    }
    if let Some(closed) = english.strip_prefix("closed by ") {
        let (who, why) = closed.split_once(": ")?;
        return Some(format!("由 {who} 关闭：{why}"));
    }
    let parts: Option<Vec<_>> = english.split(", ").map(end).collect();
    Some(parts?.join("，"))
}

/// `412 of 412 replayed by lin`, `5 discarded by hand`.
fn end(english: &str) -> Option<String> {
    let (count, rest) = english.split_once(' ')?;
    let count = number(count)?;
    let (of, rest) = match rest.strip_prefix("of ") {
        Some(rest) => {
            let (of, rest) = rest.split_once(' ')?;
            (Some(number(of)?), rest)
        }
        None => (None, rest),
    };
    let (chinese, by) = ENDS.iter().find_map(|(known, chinese)| {
        let rest = rest.strip_prefix(known)?;
        let by = rest.strip_prefix(" by ");
        (rest.is_empty() || by.is_some()).then_some((chinese, by))
    })?;
    let who = match by {
        None => String::new(),
        Some(by) => match by.strip_suffix(" people").and_then(number) {
            Some(people) => format!("（{people} 人）"),
            None => format!("（{by}）"),
        },
    };
    Some(match of {
        Some(of) => format!("{of} 个中的 {count} 个{chinese}{who}"),
        None => format!("{count} 个{chinese}{who}"),
    })
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::texts::example::example;

    #[test]
    fn how_it_ended_is_said_in_chinese() {
        for (english, chinese) in [
            ("412 of 412 replayed", "412 个中的 412 个已重放"),
            (
                "412 of 412 replayed by lin",
                "412 个中的 412 个已重放（lin）",
            ),
            (
                "7 replayed by 3 people, 5 discarded by hand",
                "7 个已重放（3 人），5 个已人工丢弃",
            ),
            (
                "2 discarded by hand by lin, 1 failed again for another cause",
                "2 个已人工丢弃（lin），1 个因其他原因再次失败",
            ),
            ("1 of 1 settled by a later try", "1 个中的 1 个后续重试成功"),
            ("nothing of it is left", "已无遗留"),
            ("nothing is left to do", "无需再处理"),
            (
                "closed by lin: mended: by hand",
                "由 lin 关闭：mended: by hand",
            ),
        ] {
            assert_eq!(resolution(english).as_deref(), Some(chinese));
        }
        for other in [
            "The archive is back",
            "3 replayed twice",
            "x of 3 replayed",
            "",
        ] {
            assert_eq!(resolution(other), None, "{other}");
        }
    }

    /// Meant to break when a digest or a test is told as it is stored.
    #[test]
    fn what_redress_itself_says_is_chinese_and_titles_of_alerts_stay() {
        let digest = told(&example(Status::Digest));
        assert_eq!(
            digest.alert.title,
            "3 条通知合并为一条：紧急 1 条，警告 1 条，提示 1 条"
        );
        assert!(
            digest.alert.text.starts_with("待发通知多于"),
            "{}",
            digest.alert.text
        );
        assert_eq!(digest.lines, example(Status::Digest).lines);
        let mut test = example(Status::Test);
        test.alert.title = "This is a test of ops".to_owned();
        assert_eq!(told(&test).alert.title, "这是对 ops 的测试");
        let mut strange = example(Status::Firing);
        strange.alert.title = "This is a test of ops".to_owned();
        strange.alert = strange.alert.fact("more since the last notice", 3);
        let said = told(&strange).alert;
        assert_eq!(said.title, strange.alert.title, "somebody's alert");
        assert_eq!(said.facts.last().unwrap().0, "上次通知以来新增");
        assert_eq!(
            sentence(
                "What stands comes first, the severest on top; and 12 more, on the page of alerts."
            )
            .as_deref(),
            Some("未恢复的在前，最严重的居首；另有 12 条，见告警页面。")
        );
    }
}
