//! A furnished house: detectors as captured ones speak, a person with a code, and how to ask the hub about it.

use super::Lab;
use super::LabError;
use crate::twins::ncp::habits::Habits;
use crate::twins::ncp::mesh::MeshError;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use std::time::Instant;

/// The lab's own code; its sites exist for minutes.
pub const CODE: &str = "24680";
/// How long anything in a site may take before it counts as not happening: longer than the longest back-off, a minute.
pub const SOON: Duration = Duration::from_secs(75);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A Lansen smoke detector's telegram, its captured form with its own id and alarm bit, in hex without CRCs.
pub fn smoke_hex(id: &str, alarm: bool) -> String {
    let bits = if alarm { "04" } else { "00" };
    let le = swapped(id);
    format!("2E443330{le}031A7ADE0000002F2F02FD971D{bits}0004FD086502000004FD3A010000002F2F2F2F2F2F2F2F2F2F")
}

/// A Lansen contact's telegram, likewise, without the captured one's fault bits.
pub fn contact_hex(id: &str, open: bool) -> String {
    let state = if open { "55" } else { "11" };
    let le = swapped(id);
    format!("2E443330{le}071D7AB50000002F2F02FD1B{state}0002FD971D00000EFD3A2200000000008E40FD3A000000000000")
}

fn swapped(id: &str) -> String {
    id.as_bytes().chunks(2).rev().map(|pair| String::from_utf8_lossy(pair).into_owned()).collect()
}

/// A telegram as rtl_wmbus prints it.
pub fn rtl_line(hex: &str) -> String {
    format!("T1;1;1;2026-11-20 19:00:42.000;97;148;88888888;0x{hex}\n")
}

/// A smoke detector's line.
pub fn smoke(id: &str, alarm: bool) -> String {
    rtl_line(&smoke_hex(id, alarm))
}

/// A contact's line.
pub fn contact(id: &str, open: bool) -> String {
    rtl_line(&contact_hex(id, open))
}

/// The device id of a smoke detector.
pub fn smoke_device(id: &str) -> String {
    format!("wm-las-{id}-03-1a")
}

/// The device id of a contact.
pub fn contact_device(id: &str) -> String {
    format!("wm-las-{id}-07-1d")
}

impl Lab {
    /// Asks the hub; an answer that is a refusal is an error.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn ask(&self, request: Value) -> Result<Value, LabError> {
        let answer = self.daemon.command(&request).await?;
        if answer["ok"] == json!(false) {
            return Err(LabError::Misuse(format!("{}: {answer}", request["command"])));
        }
        Ok(answer)
    }

    /// How the hub says everything stands.
    ///
    /// # Errors
    /// No answer.
    pub async fn status(&self) -> Result<Value, LabError> {
        self.ask(json!({"command": "status"})).await
    }

    /// Makes area `house` (no exit delay, 2 s to come in), Anna with a code, a smoke detector and contacts in zones of
    /// their own; the first contact is the entry door, the rest is perimeter.
    ///
    /// # Errors
    /// The hub refuses something.
    pub async fn furnish(&self, smoke: &str, contacts: &[String]) -> Result<(), LabError> {
        self.ask(json!({"command": "area_set", "area": "house", "entry_s": 2, "exit_s": 0})).await?;
        self.ask(json!({"command": "user_set", "user": "anna", "name": "Anna", "role": "owner", "code": CODE})).await?;
        self.place(&smoke_device(smoke), "smoke", "smoke", "always").await?;
        for (number, id) in contacts.iter().enumerate() {
            let role = if number == 0 { "entry_door" } else { "perimeter" };
            self.place(&contact_device(id), "contact", &format!("c-{id}"), role).await?;
        }
        Ok(())
    }

    /// Adds a device and gives it a zone.
    ///
    /// # Errors
    /// The hub refuses it.
    pub async fn place(&self, device: &str, kind: &str, zone: &str, role: &str) -> Result<(), LabError> {
        self.ask(json!({"command": "zone_set", "zone": zone, "area": "house", "role": role})).await?;
        self.ask(json!({"command": "device_add", "device": device, "kind": kind})).await?;
        self.ask(json!({"command": "device_assign", "device": device, "zone": zone})).await?;
        Ok(())
    }

    /// Lets a detector of the mesh join, on the key everybody knows, and gives it a zone of its own name.
    ///
    /// # Errors
    /// No stick is plugged in, or the detector does not become one of the hub's in time.
    pub async fn join(&self, name: &str, habits: Habits, role: &str) -> Result<String, LabError> {
        let mesh = self.mesh.as_ref().ok_or_else(|| LabError::Misuse("the lab has no Zigbee stick".to_owned()))?;
        let refused = |error: MeshError| LabError::Misuse(error.to_string());
        let address = mesh.ask(|stick, _| stick.add(name, habits, None)).map_err(refused)?;
        let device = format!("zb-{:016x}", address.0);
        self.ask(json!({"command": "device_permit", "seconds": 60, "joining": "legacy"})).await?;
        self.ask(json!({"command": "zone_set", "zone": name, "area": "house", "role": role})).await?;
        mesh.ask(|stick, now| stick.join(now, name)).map_err(refused)?;
        let assign = json!({"command": "device_assign", "device": device, "zone": name});
        let end = Instant::now() + SOON;
        while let Err(error) = self.ask(assign.clone()).await {
            if Instant::now() > end {
                return Err(error);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(device)
    }

    /// Something happens to a detector of the mesh: these bits of its status are set and those cleared.
    ///
    /// # Errors
    /// There is no such detector.
    pub fn happens(&self, name: &str, set: u16, clear: u16) -> Result<(), LabError> {
        let mesh = self.mesh.as_ref().ok_or_else(|| LabError::Misuse("the lab has no Zigbee stick".to_owned()))?;
        mesh.ask(|stick, now| stick.happens(now, name, set, clear)).map_err(|e| LabError::Misuse(e.to_string()))
    }

    /// Waits until the hub's status is as it should be; also while the hub is coming up.
    ///
    /// # Errors
    /// Not in time, with what the hub says instead.
    pub async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, LabError> {
        let end = Instant::now() + SOON;
        loop {
            let status = self.status().await;
            match status {
                Ok(status) if holds(&status) => return Ok(status),
                last if Instant::now() > end => {
                    let log = last.map_or_else(|error| error.to_string(), |status| status.to_string());
                    return Err(LabError::Late { what: what.to_owned(), within: SOON, log });
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Waits until the centre has signed for everything.
    ///
    /// # Errors
    /// Not in time.
    pub async fn all_signed(&self) -> Result<Value, LabError> {
        self.until("every receipt", |status| status["journal"]["unreceipted"] == json!(0)).await
    }
}
