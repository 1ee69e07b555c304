use super::*;
use crate::alerts::{Status, texts::example::example};
use service_kit::settings::ChannelKind;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

const HANGS: &str = "hangs";
const MAIL_TAKEN: &[(&str, &str)] = &[];

/// A server on a real socket that keeps what it is told and answers as it should, but for the commands named.
struct Server {
    port: u16,
    heard: Arc<Mutex<String>>,
}

impl Server {
    async fn start(answers: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = talk(stream, answers, &told).await;
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

async fn talk(
    stream: TcpStream,
    answers: &[(&str, &str)],
    heard: &Mutex<String>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.example\r\n").await?;
    let (mut line, mut in_data) = (String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        heard.lock().unwrap().push_str(&line);
        let said = if in_data {
            ""
        } else {
            line.split_whitespace().next().unwrap_or_default()
        };
        let answer = match said {
            _ if in_data && line != ".\r\n" => continue,
            _ if in_data => "MAIL-DATA",
            other => other,
        };
        in_data = said == "DATA";
        let told = answers.iter().find(|(known, _)| *known == answer);
        let told = told.map_or_else(
            || match answer {
                "EHLO" => "250-mail.example\r\n250 AUTH PLAIN LOGIN",
                "AUTH" => "235 welcome",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 ok",
            },
            |(_, told)| told,
        );
        if told == HANGS {
            std::future::pending::<()>().await;
        }
        if told.starts_with(['4', '5']) {
            in_data = false;
        }
        stream.write_all(format!("{told}\r\n").as_bytes()).await?;
    }
}

fn settings(url: &str, secret: &str) -> ChannelSettings {
    ChannelSettings {
        name: "mail".to_owned(),
        kind: ChannelKind::Email,
        url: Secret::new(url),
        secret: Secret::new(secret),
        from: "Redress <redress@shop.example>".to_owned(),
        to: vec![
            "ops@shop.example".to_owned(),
            "Lin 林 <lin@shop.example>".to_owned(),
        ],
        ..ChannelSettings::default()
    }
}

fn mail(url: &str, secret: &str, targets: Targets) -> Result<Mail, BadMail> {
    Mail::new(&settings(url, secret), targets, &Texts::built_in())
}

fn plain(server: &Server, secret: &str) -> Mail {
    mail(
        &format!("smtp://127.0.0.1:{}?tls=none", server.port),
        secret,
        Targets::Any,
    )
    .unwrap()
}

#[tokio::test]
async fn a_mail_arrives_in_both_forms_with_an_id_that_stays() {
    let server = Server::start(MAIL_TAKEN).await;
    let mail = plain(&server, "account:pass:word");
    let notice = example(Status::Resolved);
    for _ in 0..2 {
        assert_eq!(mail.deliver(&notice).await, Delivered::Sent);
    }
    let heard = server.heard();
    let login = STANDARD.encode("\0account\0pass:word");
    for line in [
        &format!("AUTH PLAIN {login}\r\n"),
        "MAIL FROM:<redress@shop.example>",
        "RCPT TO:<ops@shop.example>\r\n",
        "RCPT TO:<lin@shop.example>\r\n",
        "From: Redress <redress@shop.example>\r\n",
        "Subject: Redress, resolved: Order 7 was given up and archived (412 times)\r\n",
        "Message-ID: <01890000-0000-7000-8000-000000000004@shop.example>\r\n",
        "References: <01890000-0000-7000-8000-000000000002@shop.example>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Content-Type: text/html; charset=utf-8\r\n",
        "412 of 412 replayed by lin",
    ] {
        assert!(heard.matches(line).count() >= 2, "{line}: {heard}");
    }
}

/// Breaks when the account, or the password in base64, is kept as the server repeated it.
#[tokio::test]
async fn what_a_server_answers_is_classed_and_tells_no_password() {
    type Case = (&'static [(&'static str, &'static str)], &'static str);
    const CASES: [Case; 9] = [
        (&[("EHLO", "421 too busy")], "slow down: "),
        (&[("RCPT", "450 greylisted")], "slow down: "),
        (&[("MAIL", "451 try later")], "slow down: "),
        (&[("MAIL-DATA", "452 no space")], "slow down: "),
        (&[("MAIL-DATA", "454 odd")], "failed: "),
        (
            &[("AUTH", "535 no: account password AGFjY291bnQAcGFzc3dvcmQ=")],
            "channel broken: ",
        ),
        (&[("RCPT", "550 nobody of that name")], "channel broken: "),
        (&[("MAIL-DATA", "554 spam")], "channel broken: "),
        (&[("MAIL", "hello")], "failed: "),
    ];
    for (answers, named) in CASES {
        let server = Server::start(answers).await;
        let what = plain(&server, "account:password")
            .deliver(&example(Status::Firing))
            .await;
        let error = what.error().unwrap_or_default();
        assert!(error.starts_with(named), "{answers:?}: {what:?}");
        for secret in ["account", "password", "AGFjY2"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

/// Breaks when the farewell is waited for like an answer: the mail would be sent again, and again.
#[tokio::test]
async fn a_server_that_has_the_mail_and_hangs_afterwards_gets_it_once() {
    let server = Server::start(&[("QUIT", HANGS)]).await;
    let what = plain(&server, "").deliver(&example(Status::Firing)).await;
    assert_eq!(what, Delivered::Sent);
    assert!(server.heard().contains("QUIT"));
}

/// Breaks when STARTTLS is used only where it is offered: whoever is on the way could take the offer out.
#[tokio::test]
async fn a_server_without_starttls_gets_neither_password_nor_mail() {
    let server = Server::start(MAIL_TAKEN).await;
    let mail = mail(
        &format!("smtp://127.0.0.1:{}", server.port),
        "account:password",
        Targets::Any,
    )
    .unwrap();
    let what = mail.deliver(&example(Status::Firing)).await;
    assert!(matches!(what, Delivered::Broken(_)), "{what:?}");
    let heard = server.heard();
    assert!(
        !heard.contains("AUTH") && !heard.contains("MAIL"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_speaks_no_tls_is_a_failure() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let clear = Server::start(MAIL_TAKEN).await;
    for url in [
        format!("smtp://127.0.0.1:{gone}?tls=none"),
        format!("smtps://127.0.0.1:{}", clear.port),
    ] {
        let what = mail(&url, "", Targets::Any)
            .unwrap()
            .deliver(&example(Status::Firing))
            .await;
        assert!(
            matches!(&what, Delivered::Unknown(why) if !why.contains("127.0.0.1") && !why.contains("error")),
            "{url}: {what:?}"
        );
    }
}

#[test]
fn what_the_settings_say_is_checked() {
    let refused = |url: &str, secret: &str, targets| {
        let line = mail(url, secret, targets).err().expect(url).to_string();
        assert!(!line.contains("hush"), "{line}");
        line
    };
    for url in [
        "smtps://10.0.0.7",
        "smtp://0x7f.1:25",
        "smtps://[::1]",
        "smtps://localhost",
        "smtps://mail",
    ] {
        assert!(
            refused(url, "", Targets::PublicOnly).contains("allow_private"),
            "{url}"
        );
        assert!(mail(url, "", Targets::Any).is_ok(), "{url}");
    }
    assert!(refused("smtp://mail.example?tls=none", "", Targets::PublicOnly).contains("tls=none"));
    assert!(refused("https://mail.example", "", Targets::Any).contains("smtp://"));
    assert!(refused("smtps://mail.example", "hush", Targets::Any).contains("account:password"));
    let mut odd = settings("smtps://mail.example", "");
    odd.to = vec!["hush".to_owned()];
    let line = Mail::new(&odd, Targets::Any, &Texts::built_in())
        .err()
        .unwrap()
        .to_string();
    assert!(
        line.contains("from must") && !line.contains("hush"),
        "{line}"
    );
}

/// Breaks when the name is looked at only as it is written.
#[tokio::test]
async fn a_public_name_that_leads_to_a_private_address_gets_no_connection() {
    let server = Server::start(MAIL_TAKEN).await;
    let mut mail = plain(&server, "");
    mail.host = "localhost".to_owned();
    mail.targets = Targets::PublicOnly;
    let what = mail.deliver(&example(Status::Firing)).await;
    assert!(matches!(what, Delivered::Broken(_)), "{what:?}");
    assert_eq!(server.heard(), "");
}
