//! Where alerts go: what is taken, and what stops the start without repeating a url or a secret.

use service_kit::settings::{ChannelKind, Settings};
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
