//! Whether a path works end to end, and if not why: the vocabulary of reasons, the beat and its echo, and the rule that
//! only a change is told. It judges what `io` saw; it never decides that a link is up because a cable is in.

use std::collections::VecDeque;
use std::fmt;
use vakt_core::port::UpstreamNote;

/// Beats without the centre's echo that make it silent (requirements: loss known within 60 s at one beat per 20 s).
pub const BEATS_MISSED: u32 = 3;
/// Beats whose echo is still recognised. An older echo is ignored.
const BEATS_KEPT: usize = 4;

/// Why a path is down. The text form is for ever: it stands in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The interface it is bound to is not there.
    NoDevice,
    /// That interface is switched off, or its cable is out.
    NoCarrier,
    /// That interface has no address.
    NoAddress,
    /// The modem below it hears noise and no network.
    Jammed,
    /// No broker's name resolves and no address is remembered.
    Dns,
    /// The broker's port is closed.
    TcpRefused,
    /// Nobody answers.
    TcpTimeout,
    /// No route, no carrier, no such interface.
    TcpUnreachable,
    /// The broker's certificate is not from the pinned authority.
    TlsUntrusted,
    /// The broker's certificate is for another name.
    TlsName,
    /// The broker's certificate is past its time, or our clock is.
    TlsExpired,
    /// The broker's certificate is not valid yet, or our clock is behind.
    TlsNotYetValid,
    /// The broker does not take our certificate, or we have shown none.
    TlsClientRefused,
    /// A file of ours cannot be used.
    TlsFile(String),
    /// The handshake did not end.
    TlsTimeout,
    /// Any other trouble of TLS.
    TlsOther,
    /// HTTP came where TLS was to begin: a network that wants somebody to log in first, or a wrong port.
    Portal,
    /// The broker said no to CONNECT, with this code.
    MqttRefused(String),
    /// The broker closed the connection with this code.
    MqttClosed(String),
    /// The broker does not let us hear the centre.
    SubscribeRefused,
    /// The broker does not take our events, with this code (MQTT 5, 3.4.2.1).
    PublishRefused(u8),
    /// The broker does not answer.
    Silent,
    /// The broker answers, the centre does not.
    CentreSilent,
    /// What came is not MQTT.
    Garbage,
    /// The connection was closed without a word.
    Closed,
    /// Trouble on this board.
    Local,
    /// The daemon was told to stop.
    Stopped,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoDevice => f.write_str("no_device"),
            Reason::NoCarrier => f.write_str("no_carrier"),
            Reason::NoAddress => f.write_str("no_address"),
            Reason::Jammed => f.write_str("jammed"),
            Reason::Dns => f.write_str("dns"),
            Reason::TcpRefused => f.write_str("tcp_refused"),
            Reason::TcpTimeout => f.write_str("tcp_timeout"),
            Reason::TcpUnreachable => f.write_str("tcp_unreachable"),
            Reason::TlsUntrusted => f.write_str("tls_untrusted"),
            Reason::TlsName => f.write_str("tls_name"),
            Reason::TlsExpired => f.write_str("tls_expired"),
            Reason::TlsNotYetValid => f.write_str("tls_not_yet_valid"),
            Reason::TlsClientRefused => f.write_str("tls_client_refused"),
            Reason::TlsFile(file) => write!(f, "tls_file:{file}"),
            Reason::TlsTimeout => f.write_str("tls_timeout"),
            Reason::TlsOther => f.write_str("tls_other"),
            Reason::Portal => f.write_str("portal"),
            Reason::MqttRefused(code) => write!(f, "mqtt_refused:{code}"),
            Reason::MqttClosed(code) => write!(f, "mqtt_closed:{code}"),
            Reason::SubscribeRefused => f.write_str("subscribe_refused"),
            Reason::PublishRefused(code) => write!(f, "publish_refused:0x{code:02x}"),
            Reason::Silent => f.write_str("silent"),
            Reason::CentreSilent => f.write_str("centre_silent"),
            Reason::Garbage => f.write_str("garbage"),
            Reason::Closed => f.write_str("closed"),
            Reason::Local => f.write_str("local"),
            Reason::Stopped => f.write_str("stopped"),
        }
    }
}

/// A code's name as reasons write it: `NotAuthorized` is `not_authorized`.
pub fn word(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// Changes of one path within an hour that make it unsteady: each is an event, and on LTE each event is paid for.
const UNSTEADY_CHANGES: usize = 20;
/// The hour.
const UNSTEADY_WITHIN_MS: u64 = 3_600_000;
/// On an unsteady path whatever is no new failure is told once it has stood for so long.
const STEADY_MS: u64 = 300_000;

/// Tells a path's verdict to the hub when it changes, and only then. That a path fails is told at once, always; that it is
/// up again, or down for another reason, only when it stands, where it has changed too often.
#[derive(Debug, Clone, Default)]
pub struct Teller {
    told: Option<Option<Reason>>,
    /// When it changed, as far as that was told.
    changes: VecDeque<u64>,
    /// What is not told yet, and since when it is so.
    held: Option<(Option<Reason>, u64)>,
}

impl Teller {
    /// The path stands like this: `None` is up end to end. The note, if that is news.
    pub fn tell(&mut self, path: &str, verdict: Option<&Reason>, now_ms: u64) -> Option<UpstreamNote> {
        if self.told.as_ref().map(Option::as_ref) == Some(verdict) {
            self.held = None;
            return None;
        }
        while self.changes.pop_front_if(|at| *at + UNSTEADY_WITHIN_MS <= now_ms).is_some() {}
        let fails = self.up() && verdict.is_some();
        if !fails && self.changes.len() >= UNSTEADY_CHANGES {
            let held = self.held.take().filter(|(held, _)| held.as_ref() == verdict);
            let (_, since) = self.held.insert(held.unwrap_or_else(|| (verdict.cloned(), now_ms)));
            if now_ms < *since + STEADY_MS {
                return None;
            }
        }
        self.held = None;
        self.changes.push_back(now_ms);
        if self.changes.len() > UNSTEADY_CHANGES {
            self.changes.pop_front();
        }
        self.told = Some(verdict.cloned());
        Some(UpstreamNote::Path { path: path.to_owned(), reason: verdict.map(Reason::to_string) })
    }

    /// Nobody knows how the path stands: what was held is not so any more.
    pub fn unknown(&mut self) {
        self.held = None;
    }

    /// When what is held will have stood for long enough, in monotonic milliseconds.
    pub fn due_ms(&self) -> Option<u64> {
        self.held.as_ref().map(|(_, since)| since + STEADY_MS)
    }

    /// Whether the last word was "up".
    pub fn up(&self) -> bool {
        self.told == Some(None)
    }
}

/// The beats of one connection and the echoes they wait for.
///
/// ```text
///   connected ──beat──▶ waiting ──echo or receipt──▶ heard ──beat──▶ waiting …
///                          │ three beats, and the period after the third
///                          ▼
///                        silent ──echo or receipt──▶ heard (and everything unreceipted is sent again)
/// ```
#[derive(Debug, Clone)]
pub struct Heart {
    period_ms: u64,
    begun_ms: u64,
    /// When the last beat was sent.
    last_ms: Option<u64>,
    waiting: VecDeque<(u64, String)>,
    unanswered: u32,
    heard: bool,
}

impl Heart {
    /// A connection's heart: the first beat is due at once.
    pub fn new(period_ms: u64, now_ms: u64) -> Self {
        let (period_ms, waiting) = (period_ms.max(1), VecDeque::new());
        Self { period_ms, begun_ms: now_ms, last_ms: None, waiting, unanswered: 0, heard: false }
    }

    /// Beats come in this rhythm from now on.
    pub fn every(&mut self, period_ms: u64) {
        self.period_ms = period_ms.max(1);
    }

    /// When the next beat is due, in monotonic milliseconds.
    pub fn next_ms(&self) -> u64 {
        self.last_ms.map_or(self.begun_ms, |last| last + self.period_ms)
    }

    /// A beat was sent.
    pub fn beat(&mut self, counter: u64, challenge: String, now_ms: u64) {
        self.waiting.push_back((counter, challenge));
        if self.waiting.len() > BEATS_KEPT {
            self.waiting.pop_front();
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.last_ms = Some(now_ms);
    }

    /// Whether the centre has been silent for too long at `now_ms`.
    pub fn silent(&self, now_ms: u64) -> bool {
        self.unanswered > BEATS_MISSED || (self.unanswered == BEATS_MISSED && now_ms >= self.next_ms())
    }

    /// Whether the centre has been heard on this connection and is not silent.
    pub fn up(&self, now_ms: u64) -> bool {
        self.heard && !self.silent(now_ms)
    }

    /// An echo came: whether it answers a beat of this connection.
    pub fn echo(&mut self, counter: u64, challenge: Option<&str>) -> bool {
        let Some(at) = self.waiting.iter().position(|(sent, _)| *sent == counter) else { return false };
        if challenge.is_some_and(|said| said != self.waiting[at].1) {
            return false;
        }
        self.waiting.drain(..=at);
        self.alive();
        true
    }

    /// Whatever was heard before counts no more: the next beat is due at once, and its echo decides.
    pub fn doubt(&mut self, now_ms: u64) {
        self.heard = false;
        (self.begun_ms, self.last_ms) = (now_ms, None);
    }

    /// The centre was heard in another way: a receipt it signed.
    pub fn alive(&mut self) {
        self.unanswered = 0;
        self.heard = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_beats_without_an_echo_are_a_silent_centre_and_one_echo_ends_it() {
        let mut heart = Heart::new(20_000, 0);
        for (n, at) in [(1, 0), (2, 20_000), (3, 40_000)] {
            assert!(!heart.silent(at));
            heart.beat(n, format!("c{n}"), at);
        }
        assert!(!heart.silent(59_999));
        assert!(heart.silent(60_000), "known within a minute");
        heart.beat(4, "c4".into(), 60_000);
        assert!(heart.silent(60_000) && !heart.up(60_000));
        assert!(!heart.echo(9, None), "an echo of nothing");
        assert!(!heart.echo(4, Some("c3")), "an echo of another challenge");
        assert!(heart.echo(3, Some("c3")));
        assert!(heart.up(60_000));
        assert!(!heart.echo(2, Some("c2")), "older than one answered");
    }

    #[test]
    fn a_path_that_takes_over_beats_as_the_first_does() {
        let mut heart = Heart::new(180_000, 0);
        heart.beat(1, "c".into(), 0);
        assert_eq!(heart.next_ms(), 180_000);
        heart.every(20_000);
        assert_eq!(heart.next_ms(), 20_000, "at once, when it is later than that");
        heart.every(180_000);
        assert_eq!(heart.next_ms(), 180_000);
    }

    #[test]
    fn only_a_change_is_told() {
        let mut teller = Teller::default();
        assert!(teller.tell("eth", Some(&Reason::Dns), 0).is_some());
        assert!(teller.tell("eth", Some(&Reason::Dns), 0).is_none());
        let up = teller.tell("eth", None, 0);
        assert_eq!(up, Some(UpstreamNote::Path { path: "eth".into(), reason: None }));
        assert!(teller.tell("eth", None, 0).is_none() && teller.up());
        let refused = teller.tell("eth", Some(&Reason::MqttRefused("not_authorized".into())), 0);
        assert_eq!(
            refused,
            Some(UpstreamNote::Path { path: "eth".into(), reason: Some("mqtt_refused:not_authorized".into()) })
        );
    }

    #[test]
    fn a_path_that_is_up_and_down_all_day_is_told_down_and_then_left_alone() {
        let mut teller = Teller::default();
        let mut told = 0;
        let day_ms = 86_400_000;
        for now_ms in (0..day_ms).step_by(3_000) {
            let verdict = (now_ms / 3_000 % 2 == 1).then_some(Reason::NoCarrier);
            told += usize::from(teller.tell("eth", verdict.as_ref(), now_ms).is_some());
        }
        assert!((UNSTEADY_CHANGES..=2 * UNSTEADY_CHANGES * 24).contains(&told), "{told}");
        let mut teller = Teller::default();
        for flap in 0..UNSTEADY_CHANGES as u64 / 2 {
            assert!(teller.tell("eth", None, flap * 6_000).is_some());
            assert!(teller.tell("eth", Some(&Reason::NoCarrier), flap * 6_000 + 3_000).is_some());
        }
        let now_ms = 60_000;
        assert!(teller.tell("eth", None, now_ms).is_none(), "who looks at it is told that it does not work");
        assert_eq!(teller.due_ms(), Some(now_ms + STEADY_MS));
        assert!(teller.tell("eth", None, now_ms + STEADY_MS).is_some());
        assert!(teller.tell("eth", Some(&Reason::Silent), now_ms + STEADY_MS + 1).is_some(), "a failure waits never");
    }
}
