//! TLS for the dialer: the pinned authority and nothing else, our own certificate, and a name for each way a handshake
//! can fail. It never falls back to anything weaker, never looks at the system's roots, and asks no clock but the hub's.

use crate::upstream::settings::TlsSettings;
use crate::upstream::verdict::Reason;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem;
use rustls_pki_types::pem::PemObject;
use std::io;
use std::io::IoSlice;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::AlertDescription;
use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::time_provider::TimeProvider;

/// Sessions remembered for resumption: a path speaks to a handful of brokers.
const SESSIONS_KEPT: usize = 4;
/// How an answer of a web server begins (RFC 9112, 4).
const HTTP: &[u8] = b"HTTP/";

/// A file that cannot be used, or files that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// It cannot be read, or is not PEM of the right kind.
    #[error("cannot use {what} {file}: {why}; it must be PEM and readable by this daemon")]
    File {
        /// Which of the three.
        what: &'static str,
        /// Where.
        file: String,
        /// What the system or the parser says.
        why: String,
    },
    /// The certificate and the key are not a pair, or the authority is none.
    #[error("cannot use {file} for TLS: {why}")]
    Unfit {
        /// The file that does not fit.
        file: String,
        /// What rustls says.
        why: rustls::Error,
    },
}

impl TlsFault {
    /// The file at fault, for the verdict.
    pub fn reason(&self) -> Reason {
        match self {
            TlsFault::File { file, .. } | TlsFault::Unfit { file, .. } => Reason::TlsFile(file.clone()),
        }
    }
}

/// Judges certificates by the hub's word on what time it is at the least, in milliseconds since 1970.
#[derive(Debug)]
struct Calendar(fn() -> i64);

impl TimeProvider for Calendar {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = u64::try_from(self.0()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since_1970)))
    }
}

/// Reads the files and makes the configuration: TLS 1.2 and 1.3, ring, the pinned roots, our certificate. Certificates
/// are judged at the time `at_least_ms` gives, in milliseconds since 1970.
///
/// # Errors
/// Which file, and why.
pub fn client_config(settings: &TlsSettings, at_least_ms: fn() -> i64) -> Result<Arc<ClientConfig>, TlsFault> {
    let mut roots = RootCertStore::empty();
    for root in certificates("the authority", &settings.ca)? {
        roots.add(root).map_err(|why| TlsFault::Unfit { file: settings.ca.display().to_string(), why })?;
    }
    let chain = certificates("the certificate", &settings.cert)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|e| fault("the private key", &settings.key, &e))?;
    let unfit = |why| TlsFault::Unfit { file: settings.cert.display().to_string(), why };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Calendar(at_least_ms)))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(unfit)?;
    config.resumption = Resumption::in_memory_sessions(SESSIONS_KEPT);
    Ok(Arc::new(config))
}

fn certificates(what: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let read = CertificateDer::pem_file_iter(file).map_err(|e| fault(what, file, &e))?;
    let all: Vec<_> = read.collect::<Result<_, _>>().map_err(|e| fault(what, file, &e))?;
    if all.is_empty() {
        return Err(fault(what, file, &pem::Error::NoItemsFound));
    }
    Ok(all)
}

fn fault(what: &'static str, file: &Path, why: &pem::Error) -> TlsFault {
    TlsFault::File { what, file: file.display().to_string(), why: why.to_string() }
}

/// What a failed handshake, or an alert after it, means. `None`: it was no trouble of TLS.
pub fn reason(error: &io::Error) -> Option<Reason> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match tls {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Reason::TlsUntrusted,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::TlsExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Reason::TlsNotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Reason::TlsName,
            _ => Reason::TlsUntrusted,
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Reason::TlsClientRefused,
        _ => Reason::TlsOther,
    })
}

/// The stream below TLS. It remembers how what came on it began, because TLS says of another protocol only that it is none.
pub struct Heard {
    tcp: TcpStream,
    first: [u8; HTTP.len()],
    heard: usize,
}

impl Heard {
    /// Nothing has come yet.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, first: [0; HTTP.len()], heard: 0 }
    }

    /// Whether a web server has answered.
    pub fn is_http(&self) -> bool {
        self.first == HTTP
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(context, into))?;
        let news = &into.filled()[before..];
        let (at, more) = (self.heard, news.len().min(HTTP.len() - self.heard));
        self.first[at..at + more].copy_from_slice(&news[..more]);
        self.heard += more;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
