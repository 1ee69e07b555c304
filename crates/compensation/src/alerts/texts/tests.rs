use super::{
    example::{example, longest},
    *,
};
use crate::alerts::{Line, Severity};
use std::fs;
use tempfile::TempDir;

const LANGUAGES: [Language; 2] = [Language::En, Language::Zh];

fn text(family: Family, language: Language) -> Text {
    Texts::built_in().of(family, language)
}

fn body(text: &Text, notice: &Notice) -> String {
    let (family, limit) = (text.family(), text.family().limit());
    text.body(
        notice,
        4 * limit,
        |text| text,
        |text| family.size(text) <= limit,
    )
}

#[test]
fn texts_look_as_they_did() {
    for family in Family::ALL {
        for language in LANGUAGES {
            let text = text(family, language);
            let told = Status::ALL.map(|status| {
                let notice = example(status);
                let heading = text.heading(family.style(), &notice);
                format!(
                    "{}\n\n{heading}\n\n{}\n",
                    status.as_str(),
                    body(&text, &notice)
                )
            });
            let name = family.template(language).replace('.', "_");
            insta::assert_snapshot!(name, told.join("\n==========\n\n"));
        }
    }
}

#[test]
fn every_status_has_words_of_its_own_in_each_language() {
    for language in LANGUAGES {
        let headings: Vec<_> = Status::ALL
            .iter()
            .map(|status| {
                text(Family::MailPlain, language).heading(Style::Plain, &example(*status))
            })
            .collect();
        for (at, heading) in headings.iter().enumerate() {
            assert!(
                heading.contains("Redress") && !headings[..at].contains(heading),
                "{heading}"
            );
            assert_eq!(heading.lines().count(), 1);
        }
    }
}

/// Breaks when a value goes into a template as it came.
#[test]
fn hostile_texts_make_no_link_mention_heading_or_picture_anywhere() {
    let hostile = "# [x](http://evil.example) ![](http://evil.example) <!channel> <@U1> <at id=all></at> @all <a href=//evil> <h1> ``` </td>";
    for status in Status::ALL {
        let mut notice = example(status);
        notice.alert.kind = hostile.to_owned();
        notice.alert.subject = hostile.to_owned();
        notice.alert.title = hostile.to_owned();
        notice.alert.text = format!("a\n{hostile}\n{hostile}\n===");
        notice.alert.facts = vec![(hostile.to_owned(), hostile.to_owned())];
        notice.resolution = Some(hostile.to_owned());
        notice.acknowledged_by = Some(hostile.to_owned());
        notice.lines = vec![Line {
            status: Status::Firing,
            severity: Severity::Info,
            title: hostile.to_owned(),
            count: 2,
            link: Some("https://admin.example/a)b|c>d".to_owned()),
        }];
        for family in Family::ALL {
            for language in LANGUAGES {
                let body = body(&text(family, language), &notice);
                let said = format!("{family:?} {status:?}: {body}");
                assert!(!body.contains("://evil"), "{said}");
                match family.style() {
                    Style::Markdown => {
                        let own = body.matches("](").count();
                        assert_eq!(
                            own,
                            body.matches("](https://admin.example/").count(),
                            "{said}"
                        );
                        assert!(!body.contains(['<', '`', '@']), "{said}");
                        let headings = body.lines().filter(|line| line.starts_with('#')).count();
                        assert!(headings <= 1, "{said}");
                        assert!(!body.lines().any(|line| line == "==="), "{said}");
                    }
                    Style::Mrkdwn => {
                        let own = body.matches('<').count();
                        assert_eq!(
                            own,
                            body.matches("<https://admin.example/").count(),
                            "{said}"
                        );
                        assert!(!body.contains(['`', '@']), "{said}");
                    }
                    Style::Html => {
                        for tag in ["<a href=//", "<h1>", "<at", "<!c", "<@"] {
                            assert!(!body.contains(tag), "{said}");
                        }
                        assert_eq!(body.matches("</td>").count(), 2, "{said}");
                    }
                    Style::Plain => {}
                }
            }
        }
    }
}

/// Breaks when one of the parts is not counted as what can be cut.
#[test]
fn whatever_there_is_to_tell_no_limit_is_exceeded_and_the_link_is_whole() {
    for status in [Status::Resolved, Status::Digest] {
        for piece in ["\u{1}", "😀", "&"] {
            let mut notice = longest(status);
            notice.alert.text = piece.repeat(1_048_576 / piece.len());
            let link = notice.alert.link.clone().unwrap();
            for family in Family::ALL {
                let body = body(&text(family, Language::Zh), &notice);
                assert!(
                    family.size(&body) <= family.limit(),
                    "{family:?} {status:?} {piece:?}"
                );
                assert!(
                    body.contains(&link),
                    "{family:?} {status:?} {piece:?}: {body}"
                );
                if status == Status::Digest {
                    assert!(body.contains("另有"), "{family:?} {piece:?}: {body}");
                }
            }
        }
    }
}

#[test]
fn a_file_takes_the_place_of_its_template_and_no_other() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("title.en.txt"), "Ours: {{ title }}").unwrap();
    fs::write(folder.path().join(".hidden"), "{{").unwrap();
    let texts = Texts::load(folder.path()).unwrap();
    let notice = example(Status::Firing);
    let heading = |language| {
        texts
            .of(Family::Slack, language)
            .heading(Style::Plain, &notice)
    };
    assert_eq!(
        heading(Language::En),
        "Ours: Order 7 was given up and archived"
    );
    assert!(heading(Language::Zh).starts_with("Redress 紧急"));
}

#[test]
fn every_built_in_template_is_taken_as_a_file_too() {
    let folder = TempDir::new().unwrap();
    for (name, text) in SOURCES {
        fs::write(folder.path().join(name), text).unwrap();
    }
    assert!(Texts::load(folder.path()).is_ok());
}

#[test]
fn a_bad_file_is_refused_with_its_name_and_line() {
    let refused = |name: &str, text: &str| {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let line = Texts::load(folder.path()).err().expect(name).to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    };
    for (name, text, named) in [
        ("wecom.en.md", "a\n{% if title %}\nb", "wecom.en.md, line 3"),
        (
            "wecom.en.md",
            "a\nb {{ titel }}",
            "wecom.en.md, line 2: there is no titel",
        ),
        (
            "wecom.en.md",
            "a\n{% if kind == \"no example's\" %}{{ titel }}{% endif %}",
            "wecom.en.md, line 2: there is no titel",
        ),
        (
            "wecom.en.md",
            "{{ title }}\n{{ title.nothing.more }}",
            "wecom.en.md, line 2",
        ),
        (
            "wecom.en.md",
            "{% if status == \"digest\" %}\n{{ lines[0].titel.x }}{% endif %}a",
            "wecom.en.md, line 2",
        ),
        (
            "wecom.en.md",
            "{% if status == \"digest\" %}a{% endif %}",
            "no text",
        ),
        ("title.zh.txt", " \n", "no text"),
        ("slack.zh.txt", &"x".repeat(3001), "3000"),
        ("wecom.fr.md", "a", "wecom.en.md"),
        ("dingtalk.en.md", &"x".repeat(70_000), "65536"),
    ] {
        let line = refused(name, text);
        assert!(line.contains(name) && line.contains(named), "{line}");
    }
    let line = Texts::load(Path::new("/nowhere/at/all"))
        .err()
        .unwrap()
        .to_string();
    assert!(line.contains("/nowhere/at/all"), "{line}");
}

/// Meant to break when a body is measured only where its own file was replaced.
#[test]
fn a_title_that_leaves_no_room_is_refused_too() {
    let folder = TempDir::new().unwrap();
    let title = format!("{} {{{{ title }}}}", "退".repeat(1200));
    fs::write(folder.path().join("title.zh.txt"), title).unwrap();
    let line = Texts::load(folder.path()).err().unwrap().to_string();
    assert!(line.contains("at most") && line.contains(".zh."), "{line}");
}

/// Breaks when a template that fails after the start loses the alert.
#[test]
fn a_template_that_fails_later_is_replaced_by_the_built_in_one() {
    let mut tera = Tera::clone(&BUILT_IN);
    tera.add_raw_template("slack.en.txt", "{{ title.nothing.more }}")
        .unwrap();
    let notice = example(Status::Firing);
    let broken = Texts(Arc::new(tera)).of(Family::Slack, Language::En);
    assert_eq!(
        body(&broken, &notice),
        body(&text(Family::Slack, Language::En), &notice)
    );
}

#[test]
fn empty_lines_that_branches_leave_are_one() {
    assert_eq!(tidy("\n\na \n\n\n\nb\nc\n\n"), "a\n\nb\nc");
}
