//! A network that wants somebody to log in first: whatever is connected to through it, its own web server answers. It
//! speaks HTTP in the clear, or behind TLS with a certificate of its own, and keeps what was said to it.

use rcgen::CertificateParams;
use rcgen::KeyPair;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ServerConfig;

/// What it answers to anything.
const ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://portal.lab/\r\nContent-Length: 0\r\n\r\n";
/// Bytes of a visitor's first words that are kept.
const KEPT_BYTES: usize = 512;

/// Visitors so far, each with the first it said: below TLS where it speaks that.
type Visitors = Arc<Mutex<Vec<Vec<u8>>>>;

/// A running portal. It ends with its handle.
pub struct Portal {
    visitors: Visitors,
    accepting: JoinHandle<()>,
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Portal {
    /// Answers on this socket, in the clear.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn in_clear(listener: TcpListener) -> io::Result<Self> {
        Self::start(listener, None)
    }

    /// Answers on this socket behind TLS, with a certificate it has made itself for `name`.
    ///
    /// # Errors
    /// The socket cannot be used, or no certificate can be made.
    pub fn behind_tls(listener: TcpListener, name: &str) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let params = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key).map_err(io::Error::other)?;
        Self::start(listener, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let visitors = Visitors::default();
        let seen = Arc::clone(&visitors);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let said = match tls {
                        None => answer(stream).await,
                        // Who does not take the certificate has said nothing.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => answer(stream).await,
                            Err(_) => Vec::new(),
                        },
                    };
                    if let Ok(mut seen) = seen.lock() {
                        seen.push(said);
                    }
                });
            }
        });
        Ok(Self { visitors, accepting })
    }

    /// What each visitor so far has said first.
    pub fn visitors(&self) -> Vec<Vec<u8>> {
        self.visitors.lock().map(|visitors| visitors.clone()).unwrap_or_default()
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Vec<u8> {
    let mut said = vec![0; KEPT_BYTES];
    let read = stream.read(&mut said).await.unwrap_or(0);
    said.truncate(read);
    // A visitor that has gone hears no answer.
    let _ = stream.write_all(ANSWER).await;
    let _ = stream.shutdown().await;
    said
}
