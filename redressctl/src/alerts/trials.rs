//! Makes the trials of a receiver one after the other, through the channel that would send alerts: whether it takes what it must, and
//! whether its answers are understood. No faster than Redress itself would send.

use super::{
    check::test_notice,
    report::{Line, Suite},
    trial::{Expected, Trial},
    verify::{Kind, Reach, Receiver, in_our_words},
};
use anyhow::{Context as _, anyhow, bail};
use compensation::alerts::{Alert, Channel, Channels, Delivered, Notice, Rate, Severity, Status};
use reqwest::Url;
use serde_json::json;
use service_kit::settings::{Environment, Secret, Settings};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use uuid::Uuid;

/// Messages that are sent at the same time.
const AT_ONCE: usize = 3;
/// Longer than any receiver takes: the channel cuts it.
const LONG: usize = 400_000;
/// Letters without a blank.
const LINE: usize = 5000;
const NOT_TAKEN: &str = "not made: the first message was not taken";
const NO_SECRET: &str = "not made: no --secret was given";

/// What came of one of them.
struct Came {
    said: String,
    took: Option<Duration>,
    /// Nothing where it was not made.
    holds: Option<bool>,
    /// Where it is another than the trial's.
    advice: Option<&'static str>,
}

/// A receiver being tried.
struct Desk<'a> {
    receiver: &'a Receiver,
    channel: Arc<dyn Channel>,
    first: Notice,
    /// What all messages about one incident share.
    group: String,
    pace: Pace,
}

/// Makes every trial of its kind. Where the first message is not taken the others are not made: nothing would come of them.
///
/// # Errors
/// When no channel can be made of what was said.
pub(super) async fn run(receiver: &Receiver) -> anyhow::Result<Suite> {
    let kind = receiver.kind;
    if kind == Kind::Pagerduty && receiver.secret.expose().is_empty() {
        bail!("say the routing key of the service's integration as --secret");
    }
    let channel = channel(receiver)?;
    let group = format!("redressctl/{}", Uuid::now_v7());
    let mut desk = Desk {
        first: notice(kind, &group, "This is a test: nothing happened"),
        pace: Pace::new(channel.rate()),
        receiver,
        channel,
        group,
    };
    let mut lines: Vec<Line> = Vec::new();
    for trial in kind.trials() {
        let came = if lines
            .first()
            .is_some_and(|first| first.holds == Some(false))
        {
            Came::not_made(NOT_TAKEN)
        } else {
            desk.make(*trial).await?
        };
        lines.push(came.line(*trial, kind));
    }
    Ok(Suite {
        kind: kind.name(),
        title: kind.title(),
        place: receiver.place(),
        lines,
    })
}

/// Settings with this one channel, as a file would say it.
fn channel(receiver: &Receiver) -> anyhow::Result<Arc<dyn Channel>> {
    let channel = json!({
        "name": "verify",
        "kind": receiver.kind.name(),
        "url": receiver.url,
        "secret": receiver.secret.expose(),
        "from": receiver.from,
        "to": receiver.to,
    });
    let mut settings = Settings {
        environment: Environment::Production,
        ..Settings::default()
    };
    settings.alerts.allow_private = receiver.reach == Reach::Anywhere;
    settings.alerts.channels = vec![serde_json::from_value(channel)?];
    let channels = Channels::from_settings(&settings)
        .map_err(|why| anyhow!(in_our_words(&why.to_string())))?;
    let (_, channel) = channels.each().next().context("no channel was made")?;
    Ok(Arc::clone(channel))
}

/// One that says of itself that it is none. Where a receiver closes what it opened it is of an incident that will end.
fn notice(kind: Kind, group: &str, title: &str) -> Notice {
    if !kind.closes() {
        let mut notice = test_notice();
        title.clone_into(&mut notice.alert.title);
        return notice;
    }
    let alert = Alert::new("test", Severity::Info, "redressctl", title)
        .text(
            "redressctl alerts verify sent this to see whether it arrives. There is nothing to do.",
        )
        .group(group);
    Notice {
        status: Status::Firing,
        ..Notice::of(alert)
    }
}

fn over(notice: &Notice) -> Notice {
    let mut over = notice.clone();
    over.alert.id = Uuid::now_v7();
    over.status = Status::Resolved;
    over.resolution = Some("the test is over".to_owned());
    over.resolved_at = Some(chrono::Utc::now());
    over
}

impl Desk<'_> {
    async fn make(&mut self, trial: Trial) -> anyhow::Result<Came> {
        Ok(match trial {
            Trial::Message | Trial::SameAgain => {
                let first = self.first.clone();
                self.deliver(&first).await.taken()
            }
            Trial::Marks => {
                let title = "This is a test: 退款 \u{201c}失败\u{201d} \"quoted\" 'single' *stars* _lines_ `ticks` <b>&amp;</b> [link](x) 💥";
                let mut marked = self.notice(title);
                marked.alert.text = format!(
                    "{title}\n# {title}\n> {title}\n<at id=all></at> <!channel> @all \\n \\"
                );
                self.deliver(&marked).await.taken()
            }
            Trial::Longest => {
                let mut long = self.notice("This is a test: as long as can be");
                long.alert.text = "long 长 ".repeat(LONG / 8);
                self.deliver(&long).await.taken()
            }
            Trial::LongLine => {
                let mut long = self.notice("This is a test: one long line");
                long.alert.text = "x".repeat(LINE);
                self.deliver(&long).await.taken()
            }
            Trial::AtOnce => self.at_once().await,
            Trial::EachAddress => self.each_address().await?,
            Trial::Acknowledged | Trial::Over => {
                let mut later = over(&self.first);
                if trial == Trial::Acknowledged {
                    later.status = Status::Acknowledged;
                }
                self.deliver(&later).await.taken()
            }
            Trial::Many | Trial::ManyOver => self.many(trial).await,
            Trial::Encrypted => encrypted(&self.receiver.url),
            Trial::WrongSecret => match wrong(self.receiver)? {
                Some(stranger) => {
                    let stranger = channel(&stranger)?;
                    let notice = self.notice("This is a test: with a wrong secret");
                    self.pace.take(1).await;
                    Tried::by(&*stranger, &notice).await.refused()
                }
                None => Came::not_made(NO_SECRET),
            },
        })
    }

    fn notice(&self, title: &str) -> Notice {
        notice(self.receiver.kind, &self.group, title)
    }

    async fn deliver(&mut self, notice: &Notice) -> Tried {
        self.pace.take(1).await;
        Tried::by(&*self.channel, notice).await
    }

    async fn at_once(&mut self) -> Came {
        self.pace.take(AT_ONCE).await;
        let [first, second, third] = [1, 2, 3]
            .map(|number| self.notice(&format!("This is a test: {number} of {AT_ONCE} at once")));
        let channel = &*self.channel;
        let (first, second, third) = tokio::join!(
            Tried::by(channel, &first),
            Tried::by(channel, &second),
            Tried::by(channel, &third)
        );
        let all = [first, second, third];
        let took = all.iter().map(|it| it.took).max();
        let taken = all.iter().filter(|it| it.what.has_arrived()).count();
        let others = all.iter().filter(|it| !it.what.has_arrived());
        let mut words: Vec<String> = vec![format!("{taken} of {AT_ONCE} taken")];
        words.extend(others.clone().filter_map(|it| it.what.error()));
        let holds = others
            .clone()
            .all(|it| matches!(it.what, Delivered::SlowDown(..)));
        Came {
            said: words.join("; "),
            took,
            holds: Some(holds),
            advice: None,
        }
    }

    async fn each_address(&mut self) -> anyhow::Result<Came> {
        let mut refused = Vec::new();
        let began = Instant::now();
        for (before, to) in self.receiver.to.iter().enumerate() {
            let alone = Receiver {
                to: vec![to.clone()],
                ..self.receiver.clone()
            };
            let alone = channel(&alone)?;
            let number = before + 1;
            let notice = self.notice(&format!("This is a test: to address {number}"));
            self.pace.take(1).await;
            if let Some(why) = alone.deliver(&notice).await.error() {
                refused.push(format!("number {number}: {why}"));
            }
        }
        Ok(Came {
            said: if refused.is_empty() {
                format!("all {} taken", self.receiver.to.len())
            } else {
                refused.join("; ")
            },
            took: Some(began.elapsed()),
            holds: Some(refused.is_empty()),
            advice: None,
        })
    }

    async fn many(&mut self, trial: Trial) -> Came {
        let all: Vec<Notice> = (1..=self.channel.together())
            .map(|number| {
                let group = format!("{}/{number}", self.group);
                let title = format!("This is a test: many in one request, number {number}");
                let begun = notice(self.receiver.kind, &group, &title);
                if trial == Trial::ManyOver {
                    over(&begun)
                } else {
                    begun
                }
            })
            .collect();
        self.pace.take(1).await;
        let began = Instant::now();
        let what = self.channel.deliver_together(&all).await;
        let took = began.elapsed();
        Tried { what, took }.taken()
    }
}

/// A message and what came of it.
struct Tried {
    what: Delivered,
    took: Duration,
}

impl Tried {
    async fn by(channel: &dyn Channel, notice: &Notice) -> Self {
        let began = Instant::now();
        let what = channel.deliver(notice).await;
        Self {
            what,
            took: began.elapsed(),
        }
    }

    fn came(self, holds: bool) -> Came {
        let said = self.what.error().unwrap_or_else(|| "taken".to_owned());
        let advice = match self.what {
            Delivered::SlowDown(..) => Some(
                "it wants fewer messages: run this again when it has calmed down; Redress would wait as well",
            ),
            Delivered::Gone(_) => Some(
                "it says that it is gone for good: Redress would switch it off until an operator switches it on again. Give it its new url",
            ),
            _ => None,
        };
        Came {
            said: format!("{said} in {} ms", self.took.as_millis()),
            took: Some(self.took),
            holds: Some(holds),
            advice,
        }
    }

    /// By anybody: of several addresses each is asked apart.
    fn taken(self) -> Came {
        let holds = self.what.has_arrived();
        self.came(holds)
    }

    /// By an answer: that nobody answers refuses nothing.
    fn refused(self) -> Came {
        let holds = match &self.what {
            Delivered::Broken(_) | Delivered::Gone(_) => true,
            // As PagerDuty refuses a key.
            Delivered::Unknown(why) => why.starts_with("HTTP 4"),
            Delivered::Sent | Delivered::Partly(_) | Delivered::SlowDown(..) => false,
        };
        self.came(holds)
    }
}

impl Came {
    fn not_made(why: &str) -> Self {
        Self {
            said: why.to_owned(),
            took: None,
            holds: None,
            advice: None,
        }
    }

    fn line(self, trial: Trial, kind: Kind) -> Line {
        let failed = self.holds == Some(false);
        Line {
            check: json!(trial),
            name: trial.name(kind),
            expected: trial.expected().as_str(),
            came: self.said,
            status: None,
            took: self.took,
            holds: self.holds,
            advice: failed.then(|| match trial.expected() {
                Expected::Refused => trial.advice(kind),
                _ => self.advice.unwrap_or(trial.advice(kind)),
            }),
        }
    }
}

/// What the url says of it: that a server without encryption gets nothing, and that its certificate is good, the first message showed.
fn encrypted(url: &str) -> Came {
    let way = match url.split_once("://") {
        Some(("smtps", _)) => Some("from the beginning"),
        Some((_, rest)) if !rest.contains("tls=none") => Some("by STARTTLS"),
        _ => None,
    };
    Came {
        said: way.map_or_else(
            || "not at all: the url says tls=none".to_owned(),
            |way| format!("{way}, with a certificate that is trusted"),
        ),
        took: None,
        holds: Some(way.is_some()),
        advice: None,
    }
}

/// The same receiver, as somebody knows it who does not know its secret; nothing where it has none.
fn wrong(receiver: &Receiver) -> anyhow::Result<Option<Receiver>> {
    let mut wrong = receiver.clone();
    if receiver.kind.is_known_by_its_address() {
        wrong.url = wrong_url(&receiver.url)?;
        return Ok(Some(wrong));
    }
    let secret = receiver.secret.expose();
    if secret.is_empty() {
        return Ok(None);
    }
    wrong.secret = Secret::new(match receiver.kind {
        Kind::Email => {
            let account = secret
                .split_once(':')
                .map_or(secret, |(account, _)| account);
            format!("{account}:not-the-password-of-redressctl")
        }
        // As long as theirs are.
        Kind::Pagerduty => "0".repeat(32),
        _ => format!("SEC{}", "0".repeat(64)),
    });
    Ok(Some(wrong))
}

/// With another key, or another last piece of its path where there is none.
fn wrong_url(url: &str) -> anyhow::Result<String> {
    const WRONG: &str = "redressctl-wrong-key";
    let mut url: Url = url
        .trim()
        .parse()
        .map_err(|_| anyhow!("the url is malformed"))?;
    if url.query_pairs().any(|(name, _)| name == "key") {
        url.query_pairs_mut().clear().append_pair("key", WRONG);
    } else if let Ok(mut pieces) = url.path_segments_mut() {
        pieces.pop_if_empty().pop().push(WRONG);
    }
    Ok(url.into())
}

/// The channel's own bucket of tokens.
struct Pace {
    rate: Rate,
    tokens: f64,
    since: Instant,
}

impl Pace {
    fn new(rate: Rate) -> Self {
        Self {
            tokens: rate.burst,
            since: Instant::now(),
            rate,
        }
    }

    /// Waits until so many may be sent at once.
    async fn take(&mut self, messages: usize) {
        let wanted = f64::from(u32::try_from(messages).unwrap_or(u32::MAX)).min(self.rate.burst);
        let a_second = self.rate.per_minute / 60.0;
        let passed = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.tokens = a_second.mul_add(passed, self.tokens).min(self.rate.burst);
        if self.tokens < wanted {
            let missing = (wanted - self.tokens) / a_second;
            sleep(Duration::from_secs_f64(missing)).await;
            self.since = Instant::now();
            self.tokens = wanted;
        }
        self.tokens -= wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_leads_to_the_same_host_with_another_key() {
        for (url, wrong) in [
            (
                "https://a.example/cgi-bin/webhook/send?key=hush",
                "https://a.example/cgi-bin/webhook/send?key=redressctl-wrong-key",
            ),
            (
                "https://a.example/services/T0/B0/hush",
                "https://a.example/services/T0/B0/redressctl-wrong-key",
            ),
        ] {
            assert_eq!(wrong_url(url).unwrap(), wrong);
        }
        assert!(!format!("{:#}", wrong_url("hush").unwrap_err()).contains("hush"));
    }

    #[test]
    fn refused_is_what_was_answered() {
        let holds = |what| {
            let took = Duration::ZERO;
            Tried { what, took }.refused().holds == Some(true)
        };
        assert!(holds(Delivered::Broken("errcode 310000".to_owned())));
        assert!(holds(Delivered::Unknown(
            "HTTP 400: Invalid routing key".to_owned()
        )));
        for what in [
            "no answer within 15 s",
            "HTTP 500",
            "HTTP 302: redirects are not followed",
        ] {
            assert!(!holds(Delivered::Unknown(what.to_owned())), "{what}");
        }
        assert!(!holds(Delivered::Sent) && !holds(Delivered::SlowDown(None, String::new())));
    }
}
