//! The centre's brokers, its receiving endpoints: which of them lives, and what goes out over which.
//!
//! What is said over one never waits for another: each has receipts of its own waiting, and one that takes nothing keeps
//! nobody. It decides nothing about events.

use super::receipts::COALESCE_MS;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// The most brokers of one centre; a hub's path can name as many.
pub const ENDPOINTS_MAX: usize = 4;
/// Sealed receipts waiting to be sent over one; the oldest goes, and the hub will ask for it again.
const WAITING_MAX: usize = 1024;

#[derive(Debug)]
struct Endpoint {
    /// Its host:port.
    name: String,
    /// While its line is up.
    client: Option<AsyncClient>,
    /// Receipts, and when they are due.
    waiting: VecDeque<(u64, String)>,
}

/// All of them.
#[derive(Debug)]
pub struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// Brokers by their host:port, no line up yet.
    pub fn new(names: impl Iterator<Item = String>) -> Self {
        Self(names.map(|name| Endpoint { name, client: None, waiting: VecDeque::new() }).collect())
    }

    /// The host:port of one.
    pub fn name(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |one| &one.name)
    }

    /// Its line is up.
    pub fn up(&mut self, at: usize, client: AsyncClient) {
        if let Some(one) = self.0.get_mut(at) {
            one.client = Some(client);
        }
    }

    /// Its line is down: what waited there goes over the others.
    pub fn down(&mut self, at: usize) {
        let Some(one) = self.0.get_mut(at) else { return };
        one.client = None;
        for (due, sealed) in std::mem::take(&mut one.waiting) {
            self.queue(&BTreeSet::new(), due, &sealed);
        }
    }

    /// Puts a receipt in line on these, and on all that live where one of these does not. Where none lives it is lost,
    /// and the hub will ask for it again.
    pub fn queue(&mut self, on: &BTreeSet<usize>, due_ms: u64, sealed: &str) {
        let lives = |at: &usize| self.0.get(*at).is_some_and(|one| one.client.is_some());
        let all = on.is_empty() || !on.iter().all(lives);
        for (_, one) in
            self.0.iter_mut().enumerate().filter(|(at, one)| one.client.is_some() && (all || on.contains(at)))
        {
            if one.waiting.len() >= WAITING_MAX {
                one.waiting.pop_front();
            }
            one.waiting.push_back((due_ms, sealed.to_owned()));
        }
    }

    /// Hands over the receipts whose time has come, and says how many; one that finds no room waits for the next round.
    pub fn send(&mut self, topic: &str, now_ms: u64) -> u64 {
        let mut sent = 0;
        for one in &mut self.0 {
            let Some(client) = &one.client else { continue };
            while let Some((due, sealed)) = one.waiting.front() {
                if *due > now_ms || client.try_publish(topic, QoS::AtLeastOnce, false, sealed.clone()).is_err() {
                    break;
                }
                one.waiting.pop_front();
                sent += 1;
            }
        }
        sent
    }

    /// When the next receipt is due, in the caller's milliseconds.
    pub fn due_at_ms(&self, now_ms: u64) -> Option<u64> {
        let fronts = self.0.iter().filter(|one| one.client.is_some()).filter_map(|one| one.waiting.front());
        // One that found no room is tried again after the usual pause.
        fronts.map(|(due, _)| if *due > now_ms { *due } else { now_ms + COALESCE_MS }).min()
    }

    /// Says something over one; whether it found room.
    pub fn say(&self, at: usize, topic: String, text: String) -> bool {
        let client = self.0.get(at).and_then(|one| one.client.as_ref());
        client.is_some_and(|client| client.try_publish(topic, QoS::AtLeastOnce, false, text).is_ok())
    }

    /// Says an order over every one that lives: which of them the hub hears is known only afterwards, and the same order
    /// twice is done once.
    ///
    /// # Errors
    /// None took it.
    pub fn order(&self, topic: &str, retained: bool, text: &str) -> Result<(), String> {
        let mut failed = "no line to a broker is up".to_owned();
        let mut taken = false;
        for client in self.0.iter().filter_map(|one| one.client.as_ref()) {
            match client.try_publish(topic, QoS::AtLeastOnce, retained, text.to_owned()) {
                Ok(()) => taken = true,
                Err(error) => failed = error.to_string(),
            }
        }
        if taken { Ok(()) } else { Err(format!("sending the order: {failed}")) }
    }
}
