//! What people read: a template for each kind of receiver and language, built in, each replaceable by a file.
//!
//! Templates get texts that are escaped already, and as much of them as the receiver has room for. A bad file stops the start; should one
//! fail later all the same, the built-in one takes its place: no alert is lost to a template. Where programs read (webhooks) there is none.

mod check;
mod chinese;
mod context;
mod escape;
pub(super) mod example;
mod portion;
mod words;

pub(super) use check::BadTemplate;
pub(super) use escape::{Style, one_line};
pub(super) use portion::Portion;

use super::{Notice, Status, shorten::fitted};
use context::Shown;
use service_kit::settings::Language;
use std::{
    borrow::Cow,
    path::Path,
    sync::{Arc, LazyLock},
};
use tera::{Context, Tera};
use tracing::warn;

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("templates/", $name)))),*]
    };
}

/// All there are, as files in `alerts.templates` are called.
static SOURCES: &[(&str, &str)] = &sources![
    "title.en.txt",
    "title.zh.txt",
    "dingtalk.en.md",
    "dingtalk.zh.md",
    "wecom.en.md",
    "wecom.zh.md",
    "feishu.en.md",
    "feishu.zh.md",
    "slack.en.txt",
    "slack.zh.txt",
    "email.en.txt",
    "email.zh.txt",
    "email.en.html",
    "email.zh.html",
];

static BUILT_IN: LazyLock<Arc<Tera>> = LazyLock::new(|| {
    let mut tera = Tera::new();
    // What comes in is escaped already, each receiver's way.
    tera.autoescape_on(Vec::<&str>::new());
    tera.add_raw_templates(SOURCES.iter().copied())
        .unwrap_or_else(|cause| unreachable!("the tests have parsed every template: {cause}"));
    Arc::new(tera)
});

/// What one kind of receiver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    DingTalk,
    WeCom,
    Feishu,
    Slack,
    MailPlain,
    MailHtml,
}

impl Family {
    const ALL: [Self; 6] = [
        Self::DingTalk,
        Self::WeCom,
        Self::Feishu,
        Self::Slack,
        Self::MailPlain,
        Self::MailHtml,
    ];

    const fn template(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::DingTalk, Language::En) => "dingtalk.en.md",
            (Self::DingTalk, Language::Zh) => "dingtalk.zh.md",
            (Self::WeCom, Language::En) => "wecom.en.md",
            (Self::WeCom, Language::Zh) => "wecom.zh.md",
            (Self::Feishu, Language::En) => "feishu.en.md",
            (Self::Feishu, Language::Zh) => "feishu.zh.md",
            (Self::Slack, Language::En) => "slack.en.txt",
            (Self::Slack, Language::Zh) => "slack.zh.txt",
            (Self::MailPlain, Language::En) => "email.en.txt",
            (Self::MailPlain, Language::Zh) => "email.zh.txt",
            (Self::MailHtml, Language::En) => "email.en.html",
            (Self::MailHtml, Language::Zh) => "email.zh.html",
        }
    }

    pub(super) const fn style(self) -> Style {
        match self {
            Self::DingTalk | Self::WeCom | Self::Feishu => Style::Markdown,
            Self::Slack => Style::Mrkdwn,
            Self::MailPlain => Style::Plain,
            Self::MailHtml => Style::Html,
        }
    }

    /// What the receiver takes, as [`Self::size`] counts it. Where the whole body is bounded, its wrapping is left room for.
    pub(super) const fn limit(self) -> usize {
        match self {
            Self::DingTalk | Self::Feishu => 20_000,
            Self::WeCom => 4096,
            Self::Slack => 3000,
            // Nobody says; more than this is not read.
            Self::MailPlain | Self::MailHtml => 65_536,
        }
    }

    /// Slack counts letters, and is not known to count those beyond 16 bits once.
    pub(super) fn size(self, text: &str) -> usize {
        match self {
            Self::Slack => text.encode_utf16().count(),
            _ => text.len(),
        }
    }

    /// What separates two lines of a text.
    const fn between(self) -> &'static str {
        match self {
            // A single line break is none to it.
            Self::DingTalk => "\n\n",
            Self::WeCom | Self::Feishu | Self::Slack | Self::MailPlain => "\n",
            Self::MailHtml => "<br>\n",
        }
    }
}

/// The templates of a process. Cloning shares them.
#[derive(Clone)]
pub(super) struct Texts(Arc<Tera>);

impl Texts {
    /// Those that are built in.
    pub(super) fn built_in() -> Self {
        Self(Arc::clone(&BUILT_IN))
    }

    /// The same with the folder's files in place of those of the same name; an empty path has none.
    ///
    /// # Errors
    /// When a file cannot be read, has another name than a template, or makes no text of every kind of notice.
    pub(super) fn load(folder: &Path) -> Result<Self, BadTemplate> {
        if folder.as_os_str().is_empty() {
            return Ok(Self::built_in());
        }
        let tera = check::with_files(Tera::clone(&BUILT_IN), folder)?;
        Ok(Self(Arc::new(tera)))
    }

    /// With this in place of one, whatever it makes.
    #[cfg(test)]
    pub(super) fn replaced_by(name: &str, text: &str) -> Self {
        let mut tera = Tera::clone(&BUILT_IN);
        tera.add_raw_template(name, text).unwrap();
        Self(Arc::new(tera))
    }

    /// One channel's. Languages differ in fixed words, and in what Redress itself says.
    pub(super) fn of(&self, family: Family, language: Language) -> Text {
        Text {
            texts: self.clone(),
            family,
            language,
        }
    }
}

/// The texts of one channel.
#[derive(Clone)]
pub(super) struct Text {
    texts: Texts,
    family: Family,
    language: Language,
}

impl Text {
    /// Who reads it.
    pub(super) const fn family(&self) -> Family {
        self.family
    }

    /// One line that tells what happened, in the markup of the place where it stands.
    pub(super) fn heading(&self, style: Style, notice: &Notice) -> String {
        let notice = self.told(notice);
        let shown = Shown::of(&notice, 0, style, " ", self.language);
        let name = title(self.language);
        self.render(name, &shown).replace('\n', " ")
    }

    /// The longest text of the notice that `fits`, of which the parts that can be cut are at most `limit` bytes.
    pub(super) fn body<B>(
        &self,
        notice: &Notice,
        limit: usize,
        encode: impl Fn(String) -> B,
        fits: impl Fn(&B) -> bool,
    ) -> B {
        let heading = self.heading(self.family.style(), notice);
        let notice = self.told(notice);
        let most = Portion::most(&notice, limit);
        fitted(
            most,
            |room| encode(self.with_room(&notice, &heading, room)),
            fits,
        )
    }

    /// In its language, as far as Redress itself speaks.
    fn told<'a>(&self, notice: &'a Notice) -> Cow<'a, Notice> {
        match self.language {
            Language::En => Cow::Borrowed(notice),
            Language::Zh => Cow::Owned(chinese::told(notice)),
        }
    }

    fn with_room(&self, notice: &Notice, heading: &str, room: usize) -> String {
        let style = self.family.style();
        let mut shown = Shown::of(notice, room, style, self.family.between(), self.language);
        heading.clone_into(&mut shown.heading);
        self.render(self.family.template(self.language), &shown)
    }

    fn render(&self, name: &str, shown: &Shown) -> String {
        render(&self.texts.0, name, shown).unwrap_or_else(|cause| {
            warn!("Template {name} made no text, the built-in one takes its place: {cause}");
            render(&BUILT_IN, name, shown).unwrap_or_else(|cause| {
                unreachable!("the tests have rendered every template: {cause}")
            })
        })
    }
}

const fn title(language: Language) -> &'static str {
    match language {
        Language::En => "title.en.txt",
        Language::Zh => "title.zh.txt",
    }
}

fn render(tera: &Tera, name: &str, shown: &Shown) -> tera::TeraResult<String> {
    let context = Context::from_serialize(shown)?;
    tera.render(name, &context).map(|text| tidy(&text))
}

/// Branches that were not taken leave empty lines: of several one stays.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut between = "";
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            between = if tidy.is_empty() { "" } else { "\n\n" };
        } else {
            tidy.push_str(between);
            tidy.push_str(line);
            between = "\n";
        }
    }
    tidy
}

/// Whether nothing of what it tells stands any more.
pub(super) fn is_over(notice: &Notice) -> bool {
    let lines = &notice.lines;
    match notice.status {
        Status::Resolved => true,
        Status::Digest => {
            !lines.is_empty() && lines.iter().all(|line| line.status == Status::Resolved)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
