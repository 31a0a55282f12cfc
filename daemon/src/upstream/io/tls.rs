//! TLS for the dialer: the pinned authority and nothing else, our own certificate, and a name for each way a handshake
//! can fail. It never falls back to anything weaker and never looks at the system's roots.

use crate::upstream::settings::TlsSettings;
use crate::upstream::verdict::Reason;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem;
use rustls_pki_types::pem::PemObject;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls;
use tokio_rustls::rustls::AlertDescription;
use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;

/// Sessions remembered for resumption: a path speaks to a handful of brokers.
const SESSIONS_KEPT: usize = 4;

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

/// Reads the files and makes the configuration: TLS 1.2 and 1.3, ring, the pinned roots, our certificate.
///
/// # Errors
/// Which file, and why.
pub fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsFault> {
    let mut roots = RootCertStore::empty();
    for root in certificates("the authority", &settings.ca)? {
        roots.add(root).map_err(|why| TlsFault::Unfit { file: settings.ca.display().to_string(), why })?;
    }
    let chain = certificates("the certificate", &settings.cert)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|e| fault("the private key", &settings.key, &e))?;
    let unfit = |why| TlsFault::Unfit { file: settings.cert.display().to_string(), why };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
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
