//! The system bus: what ModemManager and NetworkManager list, and what they are asked to do. It reads whole lists, starts no
//! service that does not run, and writes nothing that it was told into the log.

use futures_util::StreamExt;
use serde_json::Map;
use serde_json::Value;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zbus::Connection;
use zbus::MessageStream;
use zbus::ObjectPath;
use zbus::Structure;
use zbus::Variant;

/// ModemManager's name on the bus.
pub const MODEMS: &str = "org.freedesktop.ModemManager1";
/// Where it lists its modems.
pub const MODEMS_AT: &str = "/org/freedesktop/ModemManager1";
/// NetworkManager's name.
pub const MANAGER: &str = "org.freedesktop.NetworkManager";
/// What it is asked for.
pub const MANAGER_AT: &str = "/org/freedesktop/NetworkManager";
/// Where it lists its devices.
pub const DEVICES_AT: &str = "/org/freedesktop";

/// How long an answer to a question may take. Both services answer from memory.
const ANSWER: Duration = Duration::from_secs(5);
/// How long something may take to be done: a modem that is switched on looks for its network first.
const DEED: Duration = Duration::from_secs(60);
/// Rings of each kind that wait to be heard; one look answers for all of them, so more are lost without harm.
const RINGS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");
/// What ModemManager says where polkit does not let the caller do a thing; it asks polkit before it does any.
const UNAUTHORIZED: &str = "org.freedesktop.ModemManager1.Error.Core.Unauthorized";
/// How deep values may be nested: what D-Bus itself allows (specification, "Valid signatures").
const DEPTH_MAX: u8 = 64;

/// Why the bus did not do what it was asked for.
#[derive(Debug, Clone, Error)]
pub enum BusError {
    /// It is not there.
    #[error("connecting to the system bus: {0}")]
    Connect(zbus::Error),
    /// The service said no, or nothing that makes sense.
    #[error("calling {what}: {why}")]
    #[allow(missing_docs)]
    Call { what: String, why: zbus::Error },
    /// The service said nothing.
    #[error("calling {0}: no answer")]
    Silent(String),
}

impl BusError {
    /// Whether the call was certainly turned away before the service did anything: this user may not make it. The names are
    /// whole, never endings: ModemManager passes on what a modem answers, `org.freedesktop.libqmi.Error.Protocol.AccessDenied`
    /// for one, and a modem that answers has had the call.
    pub fn is_denied(&self) -> bool {
        match self {
            BusError::Call { why: zbus::Error::FDO(error), .. } => matches!(**error, zbus::fdo::Error::AccessDenied(_)),
            BusError::Call { why: zbus::Error::MethodError(name, ..), .. } => name.as_str() == UNAUTHORIZED,
            _ => false,
        }
    }
}

/// A connection to the system bus, or to the one that `DBUS_SYSTEM_BUS_ADDRESS` names.
pub struct Bus {
    connection: Connection,
    /// Rings whenever one of the two services says anything, comes, or goes.
    pub bell: Arc<Notify>,
    _rings: JoinSet<()>,
}

impl Bus {
    /// Connects, and listens to both services.
    ///
    /// # Errors
    /// There is no bus.
    pub async fn open() -> Result<Self, BusError> {
        let opened = timeout(ANSWER, Connection::system()).await;
        let connection =
            opened.map_err(|_| BusError::Silent("the system bus".to_owned()))?.map_err(BusError::Connect)?;
        let (bell, mut rings) = (Arc::new(Notify::new()), JoinSet::new());
        for name in [MODEMS, MANAGER] {
            let says = format!("type='signal',sender='{name}'");
            let moves = format!("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{name}'");
            for rule in [says, moves] {
                let stream = MessageStream::for_match_rule(rule.as_str(), &connection, Some(RINGS)).await;
                let mut stream = stream.map_err(|why| BusError::Call { what: "AddMatch".to_owned(), why })?;
                let bell = Arc::clone(&bell);
                rings.spawn(async move {
                    while stream.next().await.is_some() {
                        bell.notify_one();
                    }
                    // The bus has gone: the next look says so.
                    bell.notify_one();
                });
            }
        }
        Ok(Self { connection, bell, _rings: rings })
    }

    /// Whether somebody has this name. A call would start a service that is only installed.
    ///
    /// # Errors
    /// The bus does not answer.
    pub async fn has(&self, name: &str) -> Result<bool, BusError> {
        let at = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus");
        Ok(self.call(at, "NameHasOwner", &(name,), ANSWER).await?.as_bool() == Some(true))
    }

    /// Everything a service lists, `{object: {interface: {property: value}}}`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn objects(&self, name: &str, at: &str) -> Result<Value, BusError> {
        let at = (name, at, "org.freedesktop.DBus.ObjectManager");
        self.call(at, "GetManagedObjects", &(), ANSWER).await
    }

    /// The properties of one of a modem's objects.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn properties(&self, object: &str, interface: &str) -> Result<Value, BusError> {
        let at = (MODEMS, object, "org.freedesktop.DBus.Properties");
        self.call(at, "GetAll", &(interface,), ANSWER).await
    }

    /// Asks a modem something.
    ///
    /// # Errors
    /// It says no.
    pub async fn ask(&self, modem: &str, interface: &str, member: &str) -> Result<Value, BusError> {
        self.call((MODEMS, modem, interface), member, &(), ANSWER).await
    }

    /// Has a modem measure its signal every so many seconds.
    ///
    /// # Errors
    /// It says no.
    pub async fn measure(&self, modem: &str, every_s: u32) -> Result<(), BusError> {
        let at = (MODEMS, modem, crate::network::modem::SIGNAL);
        self.call(at, "Setup", &(every_s,), DEED).await.map(drop)
    }

    /// Gives a SIM card its PIN.
    ///
    /// # Errors
    /// It refuses it. The error never holds the PIN: ModemManager does not say it again.
    pub async fn unlock(&self, sim: &str, pin: &str) -> Result<(), BusError> {
        self.call((MODEMS, sim, crate::network::modem::SIM), "SendPin", &(pin,), DEED).await.map(drop)
    }

    /// Starts a modem anew.
    ///
    /// # Errors
    /// It cannot be done.
    pub async fn reset(&self, modem: &str) -> Result<(), BusError> {
        self.call((MODEMS, modem, crate::network::modem::MODEM), "Reset", &(), DEED).await.map(drop)
    }

    /// Switches a modem's radio on.
    ///
    /// # Errors
    /// It cannot be done.
    pub async fn enable(&self, modem: &str) -> Result<(), BusError> {
        self.call((MODEMS, modem, crate::network::modem::MODEM), "Enable", &(true,), DEED).await.map(drop)
    }

    /// Has NetworkManager connect a profile on a device.
    ///
    /// # Errors
    /// It cannot be done.
    pub async fn activate(&self, profile: &str, device: &str) -> Result<(), BusError> {
        let object = |path: &str| {
            let what = || "ActivateConnection".to_owned();
            ObjectPath::try_from(path.to_owned()).map_err(|why| BusError::Call { what: what(), why })
        };
        let body = (object(profile)?, object(device)?, object("/")?);
        self.call((MANAGER, MANAGER_AT, MANAGER), "ActivateConnection", &body, DEED).await.map(drop)
    }

    async fn call<B>(
        &self,
        (name, path, interface): (&str, &str, &str),
        member: &str,
        body: &B,
        within: Duration,
    ) -> Result<Value, BusError>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let what = || format!("{interface}.{member} of {path}");
        let failed = |why| BusError::Call { what: what(), why };
        let called = self.connection.call_method(Some(name), path, Some(interface), member, body);
        let answer = timeout(within, called).await.map_err(|_| BusError::Silent(what()))?.map_err(failed)?;
        let body = answer.body();
        if body.is_empty() {
            return Ok(Value::Null);
        }
        let said: Structure<'_> = body.deserialize().map_err(failed)?;
        Ok(said.fields().first().map_or(Value::Null, |field| json(field, DEPTH_MAX)))
    }
}

/// A D-Bus value as JSON, for the files that judge it. Keys that are no texts become texts.
fn json(value: &Variant<'_>, depth: u8) -> Value {
    let Some(below) = depth.checked_sub(1) else { return Value::Null };
    let all = |values: &[Variant<'_>]| Value::Array(values.iter().map(|value| json(value, below)).collect());
    match value {
        Variant::U8(n) => (*n).into(),
        Variant::Bool(flag) => (*flag).into(),
        Variant::I16(n) => (*n).into(),
        Variant::U16(n) => (*n).into(),
        Variant::I32(n) => (*n).into(),
        Variant::U32(n) => (*n).into(),
        Variant::I64(n) => (*n).into(),
        Variant::U64(n) => (*n).into(),
        Variant::F64(n) => (*n).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Variant(inner) => json(inner, below),
        Variant::Array(values) => all(values.inner()),
        Variant::Structure(fields) => all(fields.fields()),
        Variant::Dict(dict) => {
            let key = |key: &Variant<'_>| match json(key, below) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object(dict.iter().map(|(name, value)| (key(name), json(value, below))).collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_turned_away_at_the_door_was_denied() {
        let denied = |name: &str| {
            let call = zbus::Message::method_call("/", "SendPin").build(&()).unwrap();
            let reply = zbus::Message::error(&call.header(), name).build(&"no").unwrap();
            BusError::Call { what: "SendPin".to_owned(), why: zbus::Error::from(reply) }.is_denied()
        };
        assert!(denied("org.freedesktop.DBus.Error.AccessDenied"));
        assert!(denied("org.freedesktop.ModemManager1.Error.Core.Unauthorized"));
        assert!(!denied("org.freedesktop.libqmi.Error.Protocol.AccessDenied"), "the modem has had it");
        assert!(!denied("org.freedesktop.ModemManager1.Error.MobileEquipment.IncorrectPassword"));
        assert!(!denied("org.freedesktop.DBus.Error.NoReply"), "nobody can say");
        assert!(!BusError::Silent("SendPin".to_owned()).is_denied(), "nobody can say");
    }
}
