//! Files in the place of templates: read, parsed and rendered once at the start, so that a bad one stops it and not an alert.

use super::{Family, SOURCES, Text, Texts, context::Shown, example, title};
use crate::alerts::{Notice, Status};
use service_kit::settings::Language;
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tera::{Context, ErrorKind, Tera};

/// Longer ones are no texts for people, in bytes.
const FILE_AT_MOST: u64 = 65_536;
const LANGUAGES: [Language; 2] = [Language::En, Language::Zh];

/// Why templates are not used. One line.
#[derive(Debug, thiserror::Error)]
pub(in crate::alerts) enum BadTemplate {
    /// The folder, or a file in it.
    #[error("{} cannot be read: {}", path.display(), cause.kind())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file that would take nothing's place.
    #[error("{name} is no template's name; there are {}", names())]
    Name {
        /// As it is called.
        name: String,
    },
    /// A file that is no text for people.
    #[error("{name} must be text (UTF-8) of at most {FILE_AT_MOST} bytes")]
    Text {
        /// As it is called.
        name: String,
    },
    /// It cannot be parsed, or not be rendered.
    #[error("{name}, line {line}: {why}")]
    Line {
        /// As it is called.
        name: String,
        /// From 1.
        line: usize,
        /// In tera's words.
        why: String,
    },
    /// What it makes is of no use.
    #[error("{name}: {why}")]
    Made {
        /// As it is called.
        name: String,
        /// Of what notice, and what is wrong with it.
        why: String,
    },
}

fn names() -> String {
    let names: Vec<_> = SOURCES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The templates with the folder's files in place of those of the same name.
pub(super) fn with_files(mut tera: Tera, folder: &Path) -> Result<Tera, BadTemplate> {
    let mut names = HashSet::new();
    for (name, text) in files(folder)? {
        tera.add_raw_template(&name, &text)
            .map_err(|cause| explained(&name, &cause))?;
        nothing_unknown(&tera, &name, &text)?;
        names.insert(name);
    }
    let texts = Texts(Arc::new(tera));
    for (language, status) in LANGUAGES
        .iter()
        .flat_map(|language| Status::ALL.map(|status| (*language, status)))
    {
        for notice in [example::example(status), example::longest(status)] {
            let families = Family::ALL.map(|family| texts.of(family, language));
            try_out(&families, &names, &notice)?;
        }
    }
    Ok(Arc::unwrap_or_clone(texts.0))
}

fn files(folder: &Path) -> Result<Vec<(String, String)>, BadTemplate> {
    let unreadable = |path: &Path, cause| BadTemplate::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let entries = fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| unreadable(folder, cause))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // What an editor or a mounted volume leaves there.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if !SOURCES.iter().any(|(known, _)| *known == name) {
            return Err(BadTemplate::Name { name });
        }
        let size = fs::metadata(&path)
            .map_err(|cause| unreadable(&path, cause))?
            .len();
        if size > FILE_AT_MOST {
            return Err(BadTemplate::Text { name });
        }
        let bytes = fs::read(&path).map_err(|cause| unreadable(&path, cause))?;
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(BadTemplate::Text { name });
        };
        files.push((name, text));
    }
    Ok(files)
}

/// tera looks for names only where it renders: a branch that no example takes may ask for what there is not.
fn nothing_unknown(tera: &Tera, name: &str, text: &str) -> Result<(), BadTemplate> {
    let shown = Shown::of(
        &example::example(Status::Firing),
        0,
        super::Style::Plain,
        "",
        Language::En,
    );
    let context = Context::from_serialize(&shown).map_err(|cause| explained(name, &cause))?;
    let asked = tera
        .get_template_variables(name)
        .map_err(|cause| explained(name, &cause))?;
    match asked.into_iter().find(|asked| !context.contains_key(asked)) {
        None => Ok(()),
        Some(asked) => Err(BadTemplate::Line {
            name: name.to_owned(),
            line: text
                .lines()
                .position(|line| line.contains(asked))
                .unwrap_or_default()
                + 1,
            why: format!("there is no {asked}"),
        }),
    }
}

fn try_out(families: &[Text], names: &HashSet<String>, notice: &Notice) -> Result<(), BadTemplate> {
    for text in families {
        let heading = text.tried(title(text.language), notice, "")?;
        if heading.is_empty() {
            return Err(made(title(text.language), notice, "no text"));
        }
        let name = text.family.template(text.language);
        let body = text.tried(name, notice, &heading)?;
        let size = text.family.size(&body);
        let limit = match text.family {
            // Their limit is the body's, and JSON makes texts longer.
            Family::DingTalk | Family::Feishu => text.family.limit() / 2,
            _ => text.family.limit(),
        };
        if body.is_empty() {
            return Err(made(name, notice, "no text"));
        }
        // The heading is a part of it, whoever's that is.
        if size > limit && (names.contains(name) || names.contains(title(text.language))) {
            let why = format!("{size} of at most {limit}: it needs fewer words of its own");
            return Err(made(name, notice, &why));
        }
    }
    Ok(())
}

fn made(name: &str, notice: &Notice, why: &str) -> BadTemplate {
    BadTemplate::Made {
        name: name.to_owned(),
        why: format!(
            "of a notice that is {} it makes {why}",
            notice.status.as_str()
        ),
    }
}

impl Text {
    /// What the template makes of the notice with no room for what can be cut.
    fn tried(&self, name: &str, notice: &Notice, heading: &str) -> Result<String, BadTemplate> {
        let family = self.family;
        let mut shown = Shown::of(notice, 0, family.style(), family.between(), self.language);
        heading.clone_into(&mut shown.heading);
        let tried = super::render(&self.texts.0, name, &shown);
        // The parts that can be cut are looked at, too.
        let most = super::Portion::most(notice, family.limit());
        let mut whole = Shown::of(
            notice,
            most,
            family.style(),
            family.between(),
            self.language,
        );
        heading.clone_into(&mut whole.heading);
        super::render(&self.texts.0, name, &whole)
            .and(tried)
            .map_err(|cause| explained(name, &cause))
    }
}

/// One line of tera's picture of the trouble.
fn explained(name: &str, cause: &tera::Error) -> BadTemplate {
    match cause.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => BadTemplate::Line {
            name: name.to_owned(),
            line: report.span().start_line,
            why: report.message().replace('\n', " "),
        },
        other => BadTemplate::Made {
            name: name.to_owned(),
            why: other.to_string().replace('\n', " "),
        },
    }
}
