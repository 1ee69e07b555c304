//! `/alerts/channels`: how each channel is, and what can be done about it.

use crate::{
    App,
    access::{Caller, Look, May, SwitchChannelOn, TestChannel},
    archives::Chip,
    failure::Failure,
    frame,
    hiding::Hide as _,
    view::{self, Layout, Moment, Notice, Page, grouped},
};
use axum::{extract::State, response::Html};
use compensation::alerts::outbox::{self, Standing};
use serde::Serialize;

#[derive(Debug, Serialize)]
struct ChannelsPage {
    layout: Layout,
    rows: Vec<Row>,
    /// Why a test cannot be sent, or a channel not be switched on.
    no_test: Option<String>,
    no_switch_on: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    state: Chip,
    /// Why it is off, or what it said last.
    why: Option<String>,
    /// Off since then, or resting until then.
    at: Option<Moment>,
    /// Whether somebody has to switch it on, or may end its rest.
    is_off: bool,
    rests: bool,
    /// Whether the settings have it.
    is_configured: bool,
    bucket: Option<String>,
    pending: String,
    undelivered: String,
    delivered_at: Option<Moment>,
}

impl Page for ChannelsPage {
    const TEMPLATE: &'static str = "alert_channels.html";
}

/// The channels.
pub(crate) async fn show(
    State(app): State<App>,
    caller: May<Look>,
) -> Result<Html<String>, Failure> {
    with_notice(&app, &caller, None).await
}

/// The page, with why the last act was not done.
pub(super) async fn with_notice(
    app: &App,
    caller: &Caller,
    notice: Option<Notice>,
) -> Result<Html<String>, Failure> {
    let standings = outbox::standings(&app.db).await?.hidden(caller.sight());
    let is_new = |name: &&String| !standings.iter().any(|it| it.name == **name);
    let unused: Vec<Row> = app
        .channels
        .iter()
        .filter(is_new)
        .map(|name| Row::unused(name))
        .collect();
    let mut rows: Vec<Row> = standings
        .into_iter()
        .map(|standing| Row::of(app, standing))
        .collect();
    rows.extend(unused);
    let layout = frame::layout(app, caller, "alerts", "Alert channels").await?;
    let page = ChannelsPage {
        layout: layout.notice(notice),
        rows,
        no_test: caller.why_not::<TestChannel>(),
        no_switch_on: caller.why_not::<SwitchChannelOn>(),
    };
    Ok(view::render(&page)?)
}

impl Row {
    fn of(app: &App, it: Standing) -> Self {
        let is_configured = app.channels.contains(&it.name);
        let (is_off, rests) = (it.off_at.is_some(), it.rests_until.is_some());
        let state = match () {
            () if is_off => Chip::new("off", "bad"),
            () if rests => Chip::new("rests", "busy"),
            () if it.failures > 0 => Chip::new("fails", "busy"),
            () if !is_configured => Chip::new("not in the settings", "plain"),
            () => Chip::new("on", "good"),
        };
        Self {
            name: it.name,
            state,
            why: it.off_why.or(it.last_error),
            at: it.off_at.or(it.rests_until).map(Moment::of),
            is_off,
            rests,
            is_configured,
            bucket: Some(format!(
                "{:.0} of {:.0}, {:.0} a minute",
                it.tokens.floor(),
                it.burst,
                it.per_minute
            )),
            pending: grouped(it.pending),
            undelivered: grouped(it.undelivered),
            delivered_at: it.delivered_at.map(Moment::of),
        }
    }

    /// Nothing was ever due on it.
    fn unused(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: Chip::new("not used yet", "plain"),
            why: None,
            at: None,
            is_off: false,
            rests: false,
            is_configured: true,
            bucket: None,
            pending: grouped(0),
            undelivered: grouped(0),
            delivered_at: None,
        }
    }
}
