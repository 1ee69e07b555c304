//! Mail by SMTP, encrypted from the beginning (smtps) or by STARTTLS (smtp): plain text and HTML, one connection a mail.
//!
//! A server that offers no STARTTLS gets neither password nor mail; `?tls=none` turns encryption off where `alerts.allow_private` or a
//! developer's machine allows it. A mail has the same Message-ID on every try, and names its incident, so that readers show one thread.
//!
//! One mail goes to all addresses. One that the server refuses keeps nobody else from it, and is told of beside the delivery; one that it
//! asks patience for (greylisting, a full mailbox) has all of them wait, but not for long. Nobody gets it twice for that.

use super::{
    Channel, Delivered, Notice, Rate,
    address::{self, BadUrl, Targets},
    endpoint::ANSWER_WITHIN,
    secrets::Secrets,
    texts::{Family, Style, Text, Texts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use futures::future::BoxFuture;
use lettre::{
    Message,
    address::Envelope,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Tls, TlsParameters},
        commands::{self, Data, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use reqwest::Url;
use service_kit::settings::{ChannelSettings, Secret};
use std::{error::Error as _, io, net::IpAddr, time::Duration};
use tokio::{net::lookup_host, time::timeout};

const TLS_PORT: u16 = 465;
const STARTTLS_PORT: u16 = 587;
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
/// For so long after it was to be said a mail waits for an address that the server asks patience for; then the others get it.
const PATIENCE: TimeDelta = TimeDelta::minutes(5);
/// The server ends the connection with it: nothing more can be said.
const CLOSING: u16 = 421;
/// Servers that are busy, or let strangers wait (greylisting). Other answers of 400 and more are failures of one try.
const SLOW_DOWN: [u16; 4] = [CLOSING, 450, 451, 452];

/// Why there is no mail. It repeats neither url nor secret nor address.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadMail {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error("the url must begin with smtp:// or smtps://")]
    Scheme,
    #[error("the url says tls=none, which alerts.allow_private must allow")]
    NotEncrypted,
    #[error("the secret must be account:password")]
    Secret,
    #[error("from must be one address, such as redress@example.com, and to one or more")]
    Addresses,
    #[error("no encrypted connection can be made, are the system's certificates installed?")]
    Tls(#[source] smtp::Error),
}

/// An address that the server does not take a mail for: which of them, from 1, and why.
struct Refused(usize, smtp::Error);

/// A server that takes mail, and whom it is for.
pub(super) struct Mail {
    host: String,
    port: u16,
    tls: Tls,
    account: Option<Credentials>,
    from: Mailbox,
    to: Vec<Mailbox>,
    targets: Targets,
    secrets: Secrets,
    plain: Text,
    html: Text,
}

impl Mail {
    /// # Errors
    /// When the url must not be used, or something in the settings is not what it should be.
    pub(super) fn new(
        settings: &ChannelSettings,
        targets: Targets,
        texts: &Texts,
    ) -> Result<Self, BadMail> {
        let url = Url::parse(settings.url.expose().trim()).map_err(|_| BadUrl::Malformed)?;
        let (port, encryption) = server(&url, targets)?;
        // As the sender reads it: 0x7f.1 is a private address to it.
        let host = url.host_str().ok_or(BadUrl::Malformed)?;
        let checked = address::allowed(&format!("https://{host}/"), targets)?;
        let host = checked
            .url
            .host_str()
            .ok_or(BadUrl::Malformed)?
            .trim_matches(['[', ']'])
            .to_owned();
        let (account, secrets) = account(&url, &settings.secret)?;
        let mailbox = |address: &String| address.trim().parse().map_err(|_| BadMail::Addresses);
        let to: Vec<Mailbox> = settings.to.iter().map(mailbox).collect::<Result<_, _>>()?;
        if to.is_empty() {
            return Err(BadMail::Addresses);
        }
        Ok(Self {
            port,
            tls: tls(encryption, &host)?,
            host,
            account,
            from: mailbox(&settings.from)?,
            to,
            targets,
            secrets,
            plain: texts.of(Family::MailPlain, settings.language),
            html: texts.of(Family::MailHtml, settings.language),
        })
    }

    async fn send(&self, notice: &Notice) -> Delivered {
        let address = match self.address().await {
            Ok(address) => address,
            Err(what) => return what,
        };
        let message = match self.message(notice) {
            Ok(message) => message,
            Err(cause) => return Delivered::Broken(self.secrets.without(&cause.to_string())),
        };
        let is_patient = Utc::now() - notice.made_at() < PATIENCE;
        let server = (address, self.port);
        match self.hand_over(server, &message, is_patient).await {
            Ok((mut connection, refused)) => {
                // It has the mail, whatever it says to a farewell.
                let _ = timeout(FAREWELL_WITHIN, connection.quit()).await;
                arrived(&refused, self.to.len(), &self.secrets)
            }
            Err(cause) => judge(&cause, &self.secrets),
        }
    }

    async fn hand_over(
        &self,
        server: (IpAddr, u16),
        message: &Message,
        is_patient: bool,
    ) -> Result<(AsyncSmtpConnection, Vec<Refused>), smtp::Error> {
        let (within, me) = (Some(ANSWER_WITHIN), ClientId::default());
        let at_once = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, within, &me, at_once, None).await?;
        if let Tls::Required(parameters) = &self.tls {
            connection.starttls(parameters.clone(), &me).await?;
        }
        if let Some(account) = &self.account {
            connection.auth(DEFAULT_MECHANISMS, account).await?;
        }
        let mail = message.formatted();
        let refused = address_to(&mut connection, message.envelope(), &mail, is_patient).await?;
        connection.command(Data).await?;
        connection.message(&mail).await?;
        Ok((connection, refused))
    }

    /// Looked up anew for every mail, and what is found is what is connected to: a name cannot lead to another place in between.
    async fn address(&self) -> Result<IpAddr, Delivered> {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let unknown = || Delivered::Unknown("the host's name is not known".to_owned());
        let mut found: Vec<_> = found.map_err(|_| unknown())?.map(|at| at.ip()).collect();
        found.sort_by_key(IpAddr::is_ipv6);
        let first = *found.first().ok_or_else(unknown)?;
        let written = match first {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        address::allowed(&format!("https://{written}/"), self.targets)
            .map(|_| first)
            .map_err(|why| Delivered::Broken(why.to_string()))
    }

    fn message(&self, notice: &Notice) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(self.plain.heading(Style::Plain, notice))
            .date(notice.made_at().into())
            .message_id(Some(format!("<{}@{domain}>", notice.id())));
        if let Some(incident) = notice.incident {
            message = message.references(format!("<{incident}@{domain}>"));
        }
        for to in &self.to {
            message = message.to(to.clone());
        }
        let [plain, html] = [&self.plain, &self.html].map(|text| whole(text, notice));
        let mut message = message.multipart(MultiPart::alternative_plain_html(plain, html))?;
        // Nobody's holiday note answers it (RFC 3834).
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message
            .headers_mut()
            .insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }
}

impl Channel for Mail {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            timeout(ANSWER_WITHIN, self.send(notice))
                .await
                .unwrap_or_else(|_| Delivered::Unknown(no_answer()))
        })
    }

    /// Nobody reads more, and servers take senders of more for something else.
    fn rate(&self) -> Rate {
        Rate {
            burst: 10.0,
            per_minute: 30.0,
        }
    }
}

/// Says from whom it is and to whom; who is refused. `Err` where nobody is left, or all of them wait for one.
async fn address_to(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    mail: &[u8],
    is_patient: bool,
) -> Result<Vec<Refused>, smtp::Error> {
    let from_and_to = || envelope.from().into_iter().chain(envelope.to());
    let wants = [
        (
            !mail.is_ascii(),
            Extension::EightBitMime,
            MailParameter::Body(MailBodyParameter::EightBitMime),
        ),
        (
            from_and_to().any(|address| !AsRef::<str>::as_ref(address).is_ascii()),
            Extension::SmtpUtfEight,
            MailParameter::SmtpUtfEight,
        ),
    ];
    let known = connection.server_info();
    let parameters = wants
        .into_iter()
        .filter(|(wanted, extension, _)| *wanted && known.supports_feature(*extension))
        .map(|(_, _, parameter)| parameter)
        .collect();
    let from = commands::Mail::new(envelope.from().cloned(), parameters);
    connection.command(from).await?;
    let mut refused = Vec::new();
    for (before, to) in envelope.to().iter().enumerate() {
        let said = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
        let Err(why) = said else { continue };
        let is_closing = why.status().map(u16::from) == Some(CLOSING);
        if is_closing || !(why.is_permanent() || why.is_transient() && !is_patient) {
            return Err(why);
        }
        refused.push(Refused(before + 1, why));
    }
    if refused.len() == envelope.to().len()
        && let Some(Refused(_, why)) = refused.pop()
    {
        return Err(why);
    }
    Ok(refused)
}

/// That it arrived, and for whom not; addresses are told by their place in the settings.
fn arrived(refused: &[Refused], of: usize, secrets: &Secrets) -> Delivered {
    if refused.is_empty() {
        return Delivered::Sent;
    }
    let all = refused.iter();
    let all: Vec<_> = all
        .map(|Refused(place, why)| format!("number {place}: {why}"))
        .collect();
    let said = format!(
        "not for {} of {of} addresses: {}",
        all.len(),
        all.join("; ")
    );
    Delivered::Partly(secrets.without(&said))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    FromTheBeginning,
    StartTls,
    None,
}

fn server(url: &Url, targets: Targets) -> Result<(u16, Encryption), BadMail> {
    let (port, encryption) = match (url.scheme(), url.query()) {
        ("smtps", None) => (TLS_PORT, Encryption::FromTheBeginning),
        ("smtp", None) => (STARTTLS_PORT, Encryption::StartTls),
        ("smtp", Some("tls=none")) if targets == Targets::Any => (STARTTLS_PORT, Encryption::None),
        ("smtp", Some("tls=none")) => return Err(BadMail::NotEncrypted),
        ("smtp" | "smtps", Some(_)) => return Err(BadUrl::Malformed.into()),
        _ => return Err(BadMail::Scheme),
    };
    Ok((url.port().unwrap_or(port), encryption))
}

fn tls(encryption: Encryption, host: &str) -> Result<Tls, BadMail> {
    if encryption == Encryption::None {
        return Ok(Tls::None);
    }
    let parameters = TlsParameters::new_rustls(host.to_owned()).map_err(BadMail::Tls)?;
    Ok(match encryption {
        Encryption::FromTheBeginning => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

/// Servers may repeat the account as it was sent to them.
fn account(url: &Url, secret: &Secret) -> Result<(Option<Credentials>, Secrets), BadMail> {
    if secret.expose().is_empty() {
        return Ok((None, Secrets::of(url, secret)));
    }
    let (account, password) = secret.expose().split_once(':').ok_or(BadMail::Secret)?;
    let together = STANDARD.encode(format!("\0{account}\0{password}"));
    let [first, second] = [account, password].map(|word| STANDARD.encode(word));
    let all = Secret::new(format!("{account} {password} {together} {first} {second}"));
    let credentials = Credentials::new(account.to_owned(), password.to_owned());
    Ok((Some(credentials), Secrets::of(url, &all)))
}

fn whole(text: &Text, notice: &Notice) -> String {
    let (family, limit) = (text.family(), text.family().limit());
    text.body(
        notice,
        limit,
        |text| text,
        |text| family.size(text) <= limit,
    )
}

fn judge(cause: &smtp::Error, secrets: &Secrets) -> Delivered {
    let said = cause.status().is_some() || cause.is_client();
    let why = if said {
        secrets.without(&cause.to_string())
    } else {
        reason(cause)
    };
    match cause.status().map(u16::from) {
        Some(code) if SLOW_DOWN.contains(&code) => Delivered::SlowDown(None, why),
        // An account, a sender or a receiver that the server does not want; no STARTTLS, or no way to log in.
        _ if cause.is_permanent() || cause.is_client() => Delivered::Broken(why),
        _ => Delivered::Unknown(why),
    }
}

/// What went wrong before the server said anything of it, in words that name no host.
fn reason(cause: &smtp::Error) -> String {
    let mut inner = cause.source();
    while let Some(error) = inner {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return no_answer(),
            Some(io::ErrorKind::InvalidData) => {
                return "it speaks no TLS, or its certificate is not trusted or not its own"
                    .to_owned();
            }
            Some(kind) => return format!("no connection: {kind}"),
            None => inner = error.source(),
        }
    }
    "the connection broke, or the answer was none".to_owned()
}

fn no_answer() -> String {
    format!("no answer within {} s", ANSWER_WITHIN.as_secs())
}

#[cfg(test)]
mod tests;
