//! `secrets.db`: the hub's own keys, device keys, and what is left of people's codes. Events only ever carry opaque ids.
//!
//! A code is never kept: its HMAC-SHA-256 under the hub's key is, so one lookup tells whose it is. Nothing here is
//! logged, exported or sent. The file is 0600 and the daemon's own.

use crate::secrets::claim::ClaimCode;
use hmac::KeyInit;
use hmac::Mac;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use ring::signature::KeyPair;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use vakt_core::device::UserId;

/// The fewest digits of a code (requirements, "codes").
pub const CODE_DIGITS_MIN: usize = 5;
/// The most.
pub const CODE_DIGITS_MAX: usize = 10;

/// The id of the Zigbee network's key and nodes.
const ZIGBEE: &str = "zigbee";
/// The id of what is left of the claim code: its HMAC under the hub's code key.
const CLAIM: &str = "hub.claim";

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS secret (
    -- Opaque; events refer to it.
    id TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS code (
    -- HMAC-SHA-256 of the digits under the hub's code key.
    mac BLOB PRIMARY KEY,
    user TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS duress_code (
    -- The same, for codes that are given under threat.
    mac BLOB PRIMARY KEY,
    user TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
";

/// Why a secret could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// SQLite.
    #[error("{doing} {}: {source}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The file system.
    #[error("open {}: {source}", path.display())]
    File {
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The system gives no random bytes, or what it stored is not a key.
    #[error("{0}")]
    Key(&'static str),
    /// A code that may not be used.
    #[error("a code is {CODE_DIGITS_MIN} to {CODE_DIGITS_MAX} digits")]
    BadCode,
    /// Somebody has it already. Whose is not said.
    #[error("this code cannot be used, choose another")]
    CodeTaken,
}

/// Whoever looks a code up must not wait for somebody who writes to a disk that hangs: that is what a log is for. Where
/// blocks are below 4 KiB a full disk kills whoever has one by SIGBUS (ARCHITECTURE.md): there it is a rollback journal,
/// and a code waits if the disk hangs in the last half of a change.
fn keep_log(conn: &Connection, dir: &Path) -> rusqlite::Result<()> {
    if !rustix::fs::statvfs(dir).is_ok_and(|fs| fs.f_frsize < 4096) {
        return conn.pragma_update(None, "journal_mode", "WAL");
    }
    // A log that is there from elsewhere is folded in by the only one who has the file: its index is then in memory.
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    conn.pragma_update(None, "journal_mode", "TRUNCATE")?;
    conn.pragma_update(None, "locking_mode", "NORMAL")?;
    // The lock is let go at the end of the next look.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// The open file.
pub struct Secrets {
    conn: Connection,
    path: PathBuf,
    code_key: [u8; 32],
}

impl Secrets {
    /// Opens the file, or makes it with fresh keys of the hub. A damaged one is put aside, and its new name told: a hub
    /// that has forgotten its codes still alarms, one that does not start does not.
    ///
    /// # Errors
    /// It can be neither read nor made.
    pub fn open_or_anew(dir: &Path) -> Result<(Self, Option<PathBuf>), SecretsError> {
        match Self::open(dir) {
            Err(SecretsError::Sqlite { source, .. }) if damaged(&source) => {}
            Err(SecretsError::Key(_)) => {}
            opened => return Ok((opened?, None)),
        }
        let path = dir.join("secrets.db");
        let named = |n: u32| dir.join(format!("secrets.db.quarantined-{n}"));
        let aside = (1..1_000).map(named).find(|aside| !aside.exists()).unwrap_or_else(|| named(1_000));
        std::fs::rename(&path, &aside).map_err(|source| SecretsError::File { path, source })?;
        for tail in ["-wal", "-shm", "-journal"] {
            // Without its main file a log is of no use to anybody; that it is not there is as good.
            let _ = std::fs::remove_file(dir.join(format!("secrets.db{tail}")));
        }
        Ok((Self::open(dir)?, Some(aside)))
    }

    /// Opens the file, or makes it with fresh keys of the hub.
    ///
    /// # Errors
    /// It can be neither read nor made.
    pub fn open(dir: &Path) -> Result<Self, SecretsError> {
        let path = dir.join("secrets.db");
        // Only a new one: to close a file that SQLite has open would take its locks away.
        match std::fs::OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(SecretsError::File { path, source });
            }
            _ => {}
        }
        let sqlite = |source| SecretsError::Sqlite { doing: "open", path: path.clone(), source };
        let conn = Connection::open(&path).map_err(sqlite)?;
        keep_log(&conn, dir).map_err(sqlite)?;
        conn.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).map_err(sqlite).and_then(
            |found| {
                if found == "ok" { Ok(()) } else { Err(SecretsError::Key("secrets.db does not hold together")) }
            },
        )?;
        conn.execute_batch(SCHEMA).map_err(sqlite)?;
        let mut secrets = Self { conn, path, code_key: [0; 32] };
        secrets.code_key = secrets.own_key("hub.code")?;
        Ok(secrets)
    }

    fn sqlite(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> SecretsError {
        let path = self.path.clone();
        move |source| SecretsError::Sqlite { doing, path, source }
    }

    /// A secret by its opaque id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Vec<u8>>, SecretsError> {
        let sql = "SELECT value FROM secret WHERE id = ?1";
        self.conn.query_row(sql, [id], |row| row.get(0)).optional().map_err(self.sqlite("read"))
    }

    /// Keeps a secret.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, id: &str, value: &[u8]) -> Result<(), SecretsError> {
        let sql = "INSERT OR REPLACE INTO secret (id, value) VALUES (?1, ?2)";
        self.conn.execute(sql, params![id, value]).map(drop).map_err(self.sqlite("write"))
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&self, id: &str) -> Result<(), SecretsError> {
        self.conn.execute("DELETE FROM secret WHERE id = ?1", [id]).map(drop).map_err(self.sqlite("write"))
    }

    /// What the Zigbee host remembers, as it wrote it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn zigbee(&self) -> Result<Option<Vec<u8>>, SecretsError> {
        self.get(ZIGBEE)
    }

    /// Keeps what the Zigbee host remembers.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_zigbee(&self, memory: &[u8]) -> Result<(), SecretsError> {
        self.put(ZIGBEE, memory)
    }

    fn own_key(&self, id: &str) -> Result<[u8; 32], SecretsError> {
        if let Some(key) = self.get(id)? {
            return key.try_into().map_err(|_| SecretsError::Key("a key of the hub in secrets.db is not 32 bytes"));
        }
        let key = random()?;
        self.put(id, &key)?;
        Ok(key)
    }

    /// The key that seals the side snapshot.
    ///
    /// # Errors
    /// The file.
    pub fn seal_key(&self) -> Result<[u8; 32], SecretsError> {
        self.own_key("hub.seal")
    }

    /// The key the hub signs with, and its public half as events write it.
    ///
    /// # Errors
    /// The file, or no random bytes.
    pub fn sign_key(&self) -> Result<(Arc<Ed25519KeyPair>, [u8; 32]), SecretsError> {
        let document = match self.get("hub.sign")? {
            Some(document) => document,
            None => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
                let made = made.map_err(|_| SecretsError::Key("the system gives no random bytes"))?;
                self.put("hub.sign", made.as_ref())?;
                made.as_ref().to_vec()
            }
        };
        let pair = Ed25519KeyPair::from_pkcs8(&document);
        let pair = pair.map_err(|_| SecretsError::Key("the hub's signing key in secrets.db is not a key"))?;
        let public =
            pair.public_key().as_ref().try_into().map_err(|_| SecretsError::Key("an Ed25519 key has 32 bytes"))?;
        Ok((Arc::new(pair), public))
    }

    fn mac(&self, text: &str) -> hmac::Hmac<sha2::Sha256> {
        let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&self.code_key);
        let mut mac = mac.expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        mac
    }

    fn code_mac(&self, code: &str) -> [u8; 32] {
        self.mac(code).finalize().into_bytes().into()
    }

    /// A word before it, so that a claim code of digits alone is never a person's code.
    fn claim_mac(&self, code: &ClaimCode) -> hmac::Hmac<sha2::Sha256> {
        self.mac(&format!("claim {}", code.shown()))
    }

    /// Takes this claim code from now on, and no other. What is kept of it does not tell it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_claim(&self, code: &ClaimCode) -> Result<(), SecretsError> {
        self.put(CLAIM, &self.claim_mac(code).finalize().into_bytes())
    }

    /// Whether it is the claim code; `None`: there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_claim(&self, code: &ClaimCode) -> Result<Option<bool>, SecretsError> {
        let right = |kept: Vec<u8>| self.claim_mac(code).verify_slice(&kept).is_ok();
        Ok(self.get(CLAIM)?.map(right))
    }

    /// Takes no claim code any more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn drop_claim(&self) -> Result<(), SecretsError> {
        self.conn.execute("DELETE FROM secret WHERE id = ?1", [CLAIM]).map(drop).map_err(self.sqlite("write"))
    }

    /// Gives a person a code, in place of the one before; `duress`: one to be given under threat.
    ///
    /// # Errors
    /// It is too short or long, somebody has it or he has it for the other use, or the file cannot be written.
    pub fn set_code(&self, user: &UserId, code: &str, duress: bool) -> Result<(), SecretsError> {
        well_formed(code)?;
        if self.is_taken(user, code, duress)? {
            return Err(SecretsError::CodeTaken);
        }
        let table = if duress { "duress_code" } else { "code" };
        let sql = format!(
            "INSERT INTO {table} (mac, user) VALUES (?1, ?2) ON CONFLICT (user) DO UPDATE SET mac = excluded.mac"
        );
        self.conn.execute(&sql, params![self.code_mac(code), user.as_str()]).map(drop).map_err(self.sqlite("write"))
    }

    /// Whether somebody else has this code, or he himself for the other use.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_taken(&self, user: &UserId, code: &str, duress: bool) -> Result<bool, SecretsError> {
        Ok(self.whose(code)?.is_some_and(|owner| owner != (user.clone(), duress)))
    }

    /// Takes a person's codes away.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn drop_code(&self, user: &UserId) -> Result<(), SecretsError> {
        let drop_from = |sql| self.conn.execute(sql, [user.as_str()]).map(drop).map_err(self.sqlite("write"));
        drop_from("DELETE FROM code WHERE user = ?1")?;
        drop_from("DELETE FROM duress_code WHERE user = ?1")
    }

    /// Whose code it is, and whether it is one that is given under threat.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn whose(&self, code: &str) -> Result<Option<(UserId, bool)>, SecretsError> {
        let sql = "SELECT user, 0 FROM code WHERE mac = ?1 UNION ALL SELECT user, 1 FROM duress_code WHERE mac = ?1";
        let found: Option<(String, bool)> = self
            .conn
            .query_row(sql, [self.code_mac(code)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(self.sqlite("read"))?;
        Ok(found.and_then(|(user, duress)| Some((UserId::new(user).ok()?, duress))))
    }
}

/// Whether this may be a person's code.
///
/// # Errors
/// It is too short or long, or more than digits.
pub fn well_formed(code: &str) -> Result<(), SecretsError> {
    let digits = code.bytes().all(|digit| digit.is_ascii_digit());
    match digits && (CODE_DIGITS_MIN..=CODE_DIGITS_MAX).contains(&code.len()) {
        true => Ok(()),
        false => Err(SecretsError::BadCode),
    }
}

fn damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown))
}

/// 32 bytes from the system.
///
/// # Errors
/// It gives none.
pub fn random() -> Result<[u8; 32], SecretsError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SecretsError::Key("the system gives no random bytes"))?;
    Ok(bytes)
}
