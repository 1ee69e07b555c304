//! Where alerts go: what is taken, and what stops the start without repeating a url or a secret.

use service_kit::settings::{ChannelKind, Language, Settings};
use std::collections::HashMap;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn read(yaml: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::parse(yaml, variables).map_err(|cause| cause.to_string())
}

fn channel(name: &str, kind: &str, url: &str, secret: &str) -> String {
    format!("{{ name: \"{name}\", kind: {kind}, url: \"{url}\", secret: \"{secret}\" }}")
}

#[test]
fn channels_and_the_dead_letters_webhook_are_read() {
    let two = format!("{SECRET} {SECRET}");
    let yaml = format!(
        "alerts: {{ spool: /tmp/spool, channels: [{}, {}, {{ name: bare, kind: webhook, url: \"http://10.0.0.1:9/\" }}] }}\n\
         dlq: {{ alert_webhook: \"http://localhost/\" }}",
        channel(
            "group-1",
            "dingtalk",
            "https://oapi.dingtalk.com/robot/send?access_token=T",
            "SEC00"
        ),
        channel("ops.eu_2", "webhook", "http://[::1]:8080/hook", &two),
    );
    let settings = read(&yaml, &[("REDRESS__DLQ__ALERT_WEBHOOK_SECRET", SECRET)]).unwrap();
    let channels = &settings.alerts.channels;
    assert_eq!(channels.len(), 3);
    assert_eq!(channels[0].kind, ChannelKind::Dingtalk);
    assert_eq!(channels[1].secret.expose(), two);
    assert_eq!(channels[2].secret.expose(), "");
    assert_eq!(settings.dlq.alert_webhook_secret.expose(), SECRET);
    assert!(
        !format!("{:?}", settings.alerts).contains("access_token"),
        "urls hold credentials"
    );
}

#[test]
fn every_kind_is_read_with_its_language() {
    let of = |kind: &str, url: &str, secret: &str, more: &str| {
        format!("{{ name: {kind}, kind: {kind}, url: \"{url}\", secret: \"{secret}\"{more} }}")
    };
    let url = "https://hooks.example/x";
    let channels = [
        of("dingtalk", url, "SEC00", ", language: zh"),
        of("wecom", url, "", ", language: zh"),
        of(
            "email",
            "smtp://mail.example:25?tls=none",
            "me@x.example:pass:word",
            ", language: en, from: a@x.example, to: [\"B <b@x.example>\", c@x.example]",
        ),
        of("webhook", url, SECRET, ""),
        of("feishu", url, "hush", ""),
        of("slack", url, "", ""),
        of("alertmanager", url, "", ""),
        of("pagerduty", url, "R0UT1NG-KEY", ""),
    ];
    let yaml = format!(
        "alerts: {{ templates: /etc/redress/texts, channels: [{}] }}",
        channels.join(", ")
    );
    let alerts = read(&yaml, &[]).unwrap().alerts;
    let kinds: Vec<_> = alerts.channels.iter().map(|channel| channel.kind).collect();
    assert_eq!(kinds, ChannelKind::ALL);
    assert_eq!(alerts.channels[1].language, Language::Zh);
    assert_eq!(alerts.channels[3].language, Language::En);
    assert_eq!(alerts.channels[2].to, ["B <b@x.example>", "c@x.example"]);
    assert_eq!(alerts.templates.to_str(), Some("/etc/redress/texts"));
}

#[test]
fn what_a_kind_has_not_or_lacks_stops_the_start() {
    let url = "https://hush.example/hush";
    let mail = |url: &str, secret: &str, more: &str| {
        format!("{{ name: ops, kind: email, url: \"{url}\", secret: \"{secret}\", {more} }}")
    };
    let to = "from: a@x.example, to: [b@x.example]";
    for (channels, named) in [
        (channel("ops", "wecom", url, "hush"), "left out"),
        (channel("ops", "slack", url, "hush"), "left out"),
        (channel("ops", "alertmanager", url, "hush"), "left out"),
        (channel("ops", "pagerduty", url, ""), "routing key"),
        (channel("ops", "pagerduty", url, "hush hush"), "routing key"),
        (
            format!("{{ name: ops, kind: slack, url: \"{url}\", to: [x@hush.example] }}"),
            "email alone",
        ),
        (
            format!("{{ name: ops, kind: slack, url: \"{url}\", language: de }}"),
            "de",
        ),
        (mail(url, "", to), "smtps://"),
        (mail("hush.example:25", "", to), "smtps://"),
        (mail("smtp://hush.example/hush", "", to), "smtps://"),
        (
            mail("smtp://hush:hush@hush.example", "", to),
            "account:password",
        ),
        (mail("smtp://hush.example?tls=hush", "", to), "tls=none"),
        (mail("smtps://hush.example?tls=none", "", to), "tls=none"),
        (mail("smtps://hush.example", "hush", to), "account:password"),
        (
            mail("smtps://hush.example", ":hush", to),
            "account:password",
        ),
        (
            mail("smtps://hush.example", "", "from: a@x.example"),
            "addresses",
        ),
        (
            mail("smtps://hush.example", "", "from: hush, to: [b@x.example]"),
            "addresses",
        ),
        (
            mail("smtps://hush.example", "", "from: a@x.example, to: [hush]"),
            "addresses",
        ),
    ] {
        let line = read(&format!("alerts: {{ channels: [{channels}] }}"), &[]).unwrap_err();
        assert!(
            line.contains(named) && !line.contains("hush"),
            "{channels}: {line}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn a_channel_that_cannot_be_used_stops_the_start_and_keeps_its_secrets() {
    let url = "https://hush.example/hush";
    for (channels, named) in [
        (channel("", "webhook", url, ""), "1 to 64"),
        (channel("Ops", "webhook", url, ""), "Ops"),
        (channel(&"o".repeat(65), "webhook", url, ""), "1 to 64"),
        (channel("dlq.alert_webhook", "webhook", url, ""), "twice"),
        (
            format!("{0}, {0}", channel("ops", "webhook", url, "")),
            "twice",
        ),
        (channel("ops", "webhook", "ftp://hush.example", ""), "url"),
        (channel("ops", "webhook", "hush.example", ""), "url"),
        (channel("ops", "webhook", "https:///hush", ""), "url"),
        (channel("ops", "webhook", "", ""), "url"),
        (channel("ops", "webhook", url, "hush"), "whsec_"),
        (channel("ops", "webhook", url, "whsec_aHVzaA=="), "24 to 64"),
        (
            channel("ops", "webhook", url, &format!("{SECRET} hush")),
            "whsec_",
        ),
        (channel("ops", "pigeon", url, ""), "pigeon"),
    ] {
        let line = read(&format!("alerts: {{ channels: [{channels}] }}"), &[]).unwrap_err();
        assert!(
            line.contains(named) && !line.contains("hush"),
            "{channels}: {line}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let line = read("dlq: { alert_webhook: \"hush\" }", &[]).unwrap_err();
    assert!(
        line.contains("dlq.alert_webhook") && !line.contains("hush"),
        "{line}"
    );
    let line = read("alerts: { spool: \"\" }", &[]).unwrap_err();
    assert!(line.contains("alerts.spool"), "{line}");
}

#[test]
fn production_encrypts_unless_it_is_told_otherwise() {
    let yaml = format!(
        "alerts: {{ channels: [{}] }}",
        channel("ops", "webhook", "http://hush.example/", "")
    );
    let production = [
        ("REDRESS__ENVIRONMENT", "production"),
        (
            "REDRESS__AUTH__TOKEN_SECRET",
            "a secret of one's own, 32 bytes long",
        ),
    ];
    let mail = "alerts: { channels: [{ name: ops, kind: email, url: \"smtp://hush.example?tls=none\", from: a@x.example, to: [b@x.example] }] }";
    let line = read(mail, &production).unwrap_err();
    assert!(
        line.contains("tls=none") && line.contains("allow_private") && !line.contains("hush"),
        "{line}"
    );
    let line = read(&yaml, &production).unwrap_err();
    assert!(
        line.contains("https://") && line.contains("allow_private") && !line.contains("hush"),
        "{line}"
    );
    let allowed = [
        production[0],
        production[1],
        ("REDRESS__ALERTS__ALLOW_PRIVATE", "true"),
    ];
    assert!(read(&yaml, &allowed).is_ok());
}

#[test]
fn pages_are_what_a_browser_opens() {
    for page in ["", "https://admin.example.com", "http://127.0.0.1:8081/"] {
        let settings = read(&format!("alerts: {{ pages: \"{page}\" }}"), &[]).unwrap();
        assert_eq!(settings.alerts.pages, page);
    }
    for page in [
        "admin.example.com",
        "ftp://admin",
        "https://",
        "https://a/?b",
    ] {
        let complaint = read(&format!("alerts: {{ pages: \"{page}\" }}"), &[]).unwrap_err();
        assert!(complaint.contains("alerts.pages"), "{page}: {complaint}");
    }
}
