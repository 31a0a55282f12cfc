//! A certificate authority for one run, a certificate for the broker, and one for each hub (CN = its gateway).
//!
//! The keys live in the lab's folder and nowhere else; nothing made here is ever committed or used twice.

use super::LabError;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::date_time_ymd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM certificate.
    pub cert: PathBuf,
    /// PEM key, 0600.
    pub key: PathBuf,
}

/// Valid for longer than any run: from the first of these years to the second.
pub const ALWAYS: (i32, i32) = (2001, 3001);

/// The files of one run.
#[derive(Debug)]
pub struct Certs {
    folder: PathBuf,
    broker_name: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Certs {
    /// Makes the authority, the broker's two certificates (for `broker_name`, localhost and 127.0.0.1), and one client
    /// certificate for each of `gateways`.
    ///
    /// # Errors
    /// A certificate or a file cannot be made.
    pub fn make(folder: &Path, broker_name: &str, gateways: &[&str]) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder).map_err(LabError::io("making", folder.display()))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Vakt lab, this run only");
        let ca = params.self_signed(&key)?;
        let broker_name = broker_name.to_owned();
        let certs = Self { folder: folder.to_owned(), broker_name, issuer: Issuer::new(params, key) };
        write(&certs.ca(), &ca.pem())?;
        for broker in [certs.broker(), certs.other_broker()] {
            certs.renew(&broker, ALWAYS)?;
        }
        gateways.iter().try_for_each(|gateway| certs.add_client(gateway).map(drop))?;
        Ok(certs)
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The broker's certificate and key.
    pub fn broker(&self) -> Identity {
        self.identity("broker")
    }

    /// The certificate and key of the broker's second listener.
    pub fn other_broker(&self) -> Identity {
        self.identity("broker-other")
    }

    /// Makes a certificate of the broker anew, valid from the beginning of the first of these years to that of the second.
    ///
    /// # Errors
    /// The certificate or a file cannot be made.
    pub fn renew(&self, broker: &Identity, years: (i32, i32)) -> Result<(), LabError> {
        let names = [&self.broker_name, "localhost", "127.0.0.1"].map(str::to_owned).to_vec();
        let mut params = params(&self.broker_name, names, ExtendedKeyUsagePurpose::ServerAuth)?;
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        self.issue(broker, &params)
    }

    /// A hub's certificate and key; `add_client` must have made them.
    pub fn client(&self, gateway: &str) -> Identity {
        self.identity(&format!("client-{gateway}"))
    }

    /// Makes a client certificate for one more hub.
    ///
    /// # Errors
    /// The certificate or a file cannot be made.
    pub fn add_client(&self, gateway: &str) -> Result<Identity, LabError> {
        let params = params(gateway, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)?;
        self.issue(&self.client(gateway), &params)?;
        Ok(self.client(gateway))
    }

    fn identity(&self, stem: &str) -> Identity {
        Identity { cert: self.folder.join(format!("{stem}.pem")), key: self.folder.join(format!("{stem}.key")) }
    }

    fn issue(&self, files: &Identity, params: &CertificateParams) -> Result<(), LabError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write(&files.cert, &certificate.pem())?;
        write(&files.key, &key.serialize_pem())
    }
}

fn params(name: &str, sans: Vec<String>, purpose: ExtendedKeyUsagePurpose) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(sans)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    Ok(params)
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.map_err(LabError::io("making", path.display()))?;
    file.write_all(text.as_bytes()).map_err(LabError::io("writing", path.display()))
}
