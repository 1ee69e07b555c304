//! Encryption before a fake: what comes encrypted goes on in plain text, so that every fake can be met as its vendor is. Certificates are
//! made by `openssl`, by an authority of the test's own or by nobody.
//!
//! Clients trust that authority where `SSL_CERT_FILE` names [`TestCa::certificate_file`].

use super::Fake;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// An authority that only who names its file trusts.
#[derive(Debug, Clone)]
pub struct TestCa {
    folder: PathBuf,
}

/// What a server shows, and the key to it.
#[derive(Debug)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// When encryption begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// With the connection: https, smtps.
    AtOnce,
    /// Once the client asked for it (RFC 3207): smtp.
    ByStartTls,
}

/// Stands before a fake until it is dropped.
pub struct Encrypted {
    url: String,
    task: JoinHandle<()>,
}

impl TestCa {
    /// The one that lives in this folder, made there where it is not yet.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let ca = Self {
            folder: folder.to_owned(),
        };
        if !ca.certificate_file().exists() {
            let extensions = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\nsubjectKeyIdentifier = hash";
            make(folder, "ca", extensions, &[]);
        }
        ca
    }

    /// In PEM.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// For a server of that name, as openssl writes names: `IP:127.0.0.1`, `DNS:example.com`.
    #[must_use]
    pub fn vouches_for(&self, name: &str) -> Certificate {
        let signing = [
            ("-CA", self.certificate_file()),
            ("-CAkey", self.folder.join("ca.key")),
        ];
        Certificate::make(&self.folder, name, &signing)
    }

    /// For a server of that name, and signed by the server itself.
    #[must_use]
    pub fn self_signed(&self, name: &str) -> Certificate {
        Certificate::make(&self.folder, name, &[])
    }
}

impl Certificate {
    fn make(folder: &Path, name: &str, signing: &[(&str, PathBuf)]) -> Self {
        let extensions = format!("basicConstraints = critical, CA:FALSE\nsubjectAltName = {name}");
        make(folder, "server", &extensions, signing);
        let read = CertificateDer::from_pem_file(folder.join("server.pem"));
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key"));
        Self {
            chain: vec![read.expect("openssl made a certificate")],
            key: key.expect("openssl made a key"),
        }
    }
}

/// Makes `{file}.pem` and `{file}.key`, good for two days.
fn make(folder: &Path, file: &str, extensions: &str, signing: &[(&str, PathBuf)]) {
    let path = |ending: &str| folder.join(format!("{file}.{ending}"));
    let settings = format!(
        "[req]\ndistinguished_name = name\nprompt = no\nx509_extensions = more\n[name]\nCN = {file}\n[more]\n{extensions}\n"
    );
    fs::write(path("conf"), settings).expect("a folder");
    let mut command = Command::new("openssl");
    command
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .arg("-config")
        .arg(path("conf"))
        .arg("-keyout")
        .arg(path("key"))
        .arg("-out")
        .arg(path("pem"))
        .stderr(Stdio::null());
    for (option, file) in signing {
        command.arg(option).arg(file);
    }
    let made = command.status().expect("openssl is installed");
    assert!(made.success(), "openssl made no certificate");
}

impl Encrypted {
    /// Listens on a free port for what is meant for this fake.
    pub async fn before(fake: &Fake, certificate: Certificate, begins: Begins) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(certificate.chain, certificate.key)
            .expect("key and certificate belong together");
        let acceptor = TlsAcceptor::from(Arc::new(settings));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let plain = fake.address();
        let url = match begins {
            Begins::AtOnce => fake.encrypted_url(),
            Begins::ByStartTls => fake.url(),
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A handshake that fails is what the client says of it.
                tokio::spawn(async move { pass(stream, &acceptor, begins, plain).await.ok() });
            }
        });
        Self {
            url: url.replace(&plain.to_string(), &address.to_string()),
            task,
        }
    }

    /// The fake's, by way of here.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut stream: TcpStream,
    acceptor: &TlsAcceptor,
    begins: Begins,
    plain: SocketAddr,
) -> io::Result<()> {
    if begins == Begins::ByStartTls {
        ask_for_tls(&mut stream).await?;
    }
    let mut stream = acceptor.accept(stream).await?;
    let mut fake = TcpStream::connect(plain).await?;
    if begins == Begins::ByStartTls {
        // The client was greeted already.
        line(&mut fake).await?;
    }
    copy_bidirectional(&mut stream, &mut fake).await?;
    Ok(())
}

/// A mail server that does nothing before it is asked to encrypt.
async fn ask_for_tls(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"220 encrypted\r\n").await?;
    loop {
        let command = line(stream).await?.to_ascii_uppercase();
        let answer: &[u8] = match command.trim() {
            "STARTTLS" => return stream.write_all(b"220 2.0.0 go on\r\n").await,
            hello if hello.starts_with("EHLO") => b"250-encrypted\r\n250 STARTTLS\r\n",
            _ => b"530 5.7.0 not before STARTTLS\r\n",
        };
        stream.write_all(answer).await?;
    }
}

/// Byte by byte: what comes after it is another's to read.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte => line.push(byte),
        }
    }
}
