//! A hub's other folders as upstream sees them: a journal in memory that answers questions and records receipts, and a
//! centre that signs. Deadlines here only end a test that hangs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::Ed25519KeyPair;
use ring::signature::KeyPair;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::timeout;
use vakt_core::challenge::Challenges;
use vakt_core::device::GatewayId;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::port::Answered;
use vakt_core::port::Head;
use vakt_core::port::ListedKey;
use vakt_core::port::Measured;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vakt_core::warrant::Warrant;
use vaktd::upstream::io::run::Inlets;
use vaktd::upstream::io::run::Vault;
use vaktd::upstream::io::run::run;
use vaktd::upstream::settings::PathSettings;
use vaktd::upstream::settings::Settings;
use vaktd::upstream::settings::TlsSettings;
use vaktd::upstream::topic::View;

pub const EPOCH: u64 = 0x5a5a_1234_5678;
pub const GATEWAY: &str = "hub-1";
const HANGS: Duration = Duration::from_secs(60);
/// More than any test makes; beyond it the site would wait for the test to listen.
const NOTES_MAX: usize = 10_000;
/// What the core of this site takes before it is busy.
pub const WARRANTS_MAX: usize = 2;
/// By which a test knows the hub's challenges again.
pub const CHALLENGE_KEY: [u8; 32] = [5; 32];

/// Fails the test when this takes a minute.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(HANGS, future).await.unwrap_or_else(|_| panic!("{what}: nothing for a minute"))
}

/// The clock of this site.
pub fn now() -> Stamp {
    static START: OnceLock<Instant> = OnceLock::new();
    let ms = START.get_or_init(Instant::now).elapsed().as_millis();
    Stamp { boot: 1, mono_ms: 1_000 + u64::try_from(ms).unwrap(), wall_ms: 1_795_210_740_007, trusted: true }
}

/// Not random: every run is the same, and no two draws are.
fn entropy() -> [u8; 32] {
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    let n = DRAWN.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&n.to_le_bytes()));
    bytes
}

#[derive(Default)]
struct Journal {
    rows: Vec<Stored>,
    receipted: BTreeSet<u64>,
}

impl Journal {
    fn answer(&self, asked: NextEvents) -> Vec<Stored> {
        let wanted = |row: &&Stored| row.class == asked.class && row.place > asked.after;
        let open = |row: &&Stored| !self.receipted.contains(&row.place.seq);
        self.rows.iter().filter(wanted).filter(open).take(asked.limit).cloned().collect()
    }
}

pub struct Site {
    journal: Arc<Mutex<Journal>>,
    head: watch::Sender<Head>,
    pub measured: watch::Sender<Arc<Vec<Measured>>>,
    pub unjournaled: mpsc::Sender<Unjournaled>,
    pub answers: mpsc::Sender<Answered>,
    /// What reached the core; nobody answers but the test.
    pub warrants: mpsc::Receiver<Box<Warrant>>,
    notes: mpsc::Receiver<UpstreamNote>,
    pub stop: watch::Sender<bool>,
    pub upstream: JoinHandle<()>,
    pub run_dir: TempDir,
    _state_dir: TempDir,
    pub keys: watch::Sender<Arc<Vec<ListedKey>>>,
    /// Upstream ends when the hub lets go of any of these.
    _waiting: watch::Sender<Waiting>,
    _view: watch::Sender<Arc<View>>,
}

/// What a test may change.
pub struct Wish {
    pub broker: String,
    pub tls: Option<TlsSettings>,
    pub alarm_deadline_s: u32,
    pub beat_s: u32,
    pub media: Option<Vault>,
    /// What time it is at the least, for certificates.
    pub at_least_ms: fn() -> i64,
}

impl Wish {
    pub fn broker(broker: String) -> Self {
        Self { broker, tls: None, alarm_deadline_s: 600, beat_s: 20, media: None, at_least_ms: || now().wall_ms }
    }
}

impl Site {
    pub fn start(wish: Wish) -> Self {
        let (run_dir, state_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = PathSettings { name: "eth".into(), brokers: vec![wish.broker], device: None, tls: wish.tls };
        let settings = Settings {
            gateway: GatewayId::new(GATEWAY).unwrap(),
            run_dir: run_dir.path().to_owned(),
            state_dir: state_dir.path().to_owned(),
            paths: vec![path],
            alarm_deadline_s: wish.alarm_deadline_s,
            beat_primary_s: wish.beat_s,
            beat_alternative_s: 180,
        };
        let journal = Arc::new(Mutex::new(Journal::default()));
        let begun = Head { place: Place { epoch: EPOCH, seq: 0 }, hash: [0; 32] };
        let (head, head_rx) = watch::channel(begun);
        let (view, view_rx) = watch::channel(Arc::new(View::default()));
        let (waiting, waiting_rx) = watch::channel(Waiting::default());
        let (keys, keys_rx) = watch::channel(Arc::new(vec![Centre::key()]));
        let (measured, measured_rx) = watch::channel(Arc::default());
        let (unjournaled, unjournaled_rx) = mpsc::channel(8);
        let (next, mut asked) = mpsc::channel::<(NextEvents, oneshot::Sender<Vec<Stored>>)>(4);
        let (notes, mut noted) = mpsc::channel(8);
        let (warrants_in, warrants) = mpsc::channel(WARRANTS_MAX);
        let (answers, answers_rx) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(false);
        let inlets = Inlets {
            head: head_rx,
            next,
            waiting: waiting_rx,
            keys: keys_rx,
            challenges: Challenges::new(CHALLENGE_KEY),
            warrants: warrants_in,
            answers: answers_rx,
            view: view_rx,
            unjournaled: unjournaled_rx,
            links: watch::channel(None).1,
            media: wish.media,
            telemetry: measured_rx,
            notes,
            now,
            at_least_ms: wish.at_least_ms,
            entropy,
        };
        let reader = Arc::clone(&journal);
        tokio::spawn(async move {
            while let Some((question, answer)) = asked.recv().await {
                let _ = answer.send(reader.lock().unwrap().answer(question));
            }
        });
        let (all_notes, notes) = mpsc::channel(NOTES_MAX);
        let recorder = Arc::clone(&journal);
        tokio::spawn(async move {
            while let Some(note) = noted.recv().await {
                if let UpstreamNote::Receipt(receipt) = &note {
                    let mut journal = recorder.lock().unwrap();
                    let upto = 1..=receipt.upto;
                    journal.receipted.extend(upto.chain(receipt.seqs.iter().copied()));
                }
                // a test that is over listens no more
                let _ = all_notes.send(note).await;
            }
        });
        let upstream = tokio::spawn(run(settings, inlets, stopped));
        Self {
            journal,
            head,
            measured,
            unjournaled,
            answers,
            warrants,
            notes,
            stop,
            upstream,
            run_dir,
            _state_dir: state_dir,
            _waiting: waiting,
            keys,
            _view: view,
        }
    }

    /// Commits an event; its bytes are unlike any other's.
    pub fn commit(&self, class: Class) -> u64 {
        self.commit_sized(class, 200)
    }

    pub fn commit_sized(&self, class: Class, bytes: usize) -> u64 {
        let mut journal = self.journal.lock().unwrap();
        let seq = journal.rows.len() as u64 + 1;
        let mut text = format!(r#"{{"seq":{seq},"pad":""#);
        text.extend(std::iter::repeat_n('x', bytes));
        text.push_str(r#""}"#);
        let mut name = [0; 10];
        name[2..].copy_from_slice(&seq.to_be_bytes());
        let place = Place { epoch: EPOCH, seq };
        let id = EventId::mint(1, name);
        journal.rows.push(Stored {
            place,
            id,
            class,
            every_way: false,
            stamp: now(),
            wire: Arc::from(text.as_bytes()),
        });
        drop(journal);
        self.head.send_replace(Head { place, hash: [1; 32] });
        seq
    }

    pub fn commit_many(&self, class: Class, n: usize) {
        (0..n).for_each(|_| {
            self.commit(class);
        });
    }

    pub fn bytes(&self, seq: u64) -> Vec<u8> {
        self.journal.lock().unwrap().rows[seq as usize - 1].wire.to_vec()
    }

    pub fn receipted(&self) -> BTreeSet<u64> {
        self.journal.lock().unwrap().receipted.clone()
    }

    /// The next note that answers `f`; those before it are let go.
    pub async fn note<T>(&mut self, what: &str, f: impl Fn(UpstreamNote) -> Option<T>) -> T {
        within(what, async {
            loop {
                if let Some(found) = f(self.notes.recv().await.expect("upstream runs")) {
                    return found;
                }
            }
        })
        .await
    }

    /// The next verdict about the path: `up` or its reason.
    pub async fn verdict(&mut self) -> String {
        self.note("a verdict", |note| match note {
            UpstreamNote::Path { reason, .. } => Some(reason.unwrap_or("up".into())),
            _ => None,
        })
        .await
    }

    /// Notes that have already come.
    pub fn notes_so_far(&mut self) -> Vec<UpstreamNote> {
        std::iter::from_fn(|| self.notes.try_recv().ok()).collect()
    }
}

/// The receiving centre: what it holds, and its signature.
#[derive(Default, Clone)]
pub struct Centre {
    pub held: BTreeSet<u64>,
}

impl Centre {
    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    pub fn key() -> ListedKey {
        ListedKey {
            kid: "arc-1".into(),
            role: "arc".into(),
            ed25519: Self::pair().public_key().as_ref().try_into().unwrap(),
        }
    }

    pub fn sign(payload: &str) -> Vec<u8> {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"arc-1"}"#);
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(Self::pair().sign(text.as_bytes()));
        format!("{text}.{signature}").into_bytes()
    }

    /// An event arrived: the receipt for everything held.
    pub fn take(&mut self, payload: &[u8]) -> Vec<u8> {
        self.held.insert(seq(payload));
        let upto = (1..).take_while(|seq| self.held.contains(seq)).last().unwrap_or(0);
        let above: Vec<u64> = self.held.range(upto + 1..).copied().collect();
        Self::sign(&format!(r#"{{"epoch":{EPOCH},"upto":{upto},"seqs":{above:?}}}"#))
    }
}

/// The seq in an event of this site.
pub fn seq(payload: &[u8]) -> u64 {
    let event: serde_json::Value = serde_json::from_slice(payload).unwrap();
    event["seq"].as_u64().unwrap()
}

/// The echo of a beat.
pub fn echo(payload: &[u8]) -> Vec<u8> {
    let beat: serde_json::Value = serde_json::from_slice(payload).unwrap();
    format!(r#"{{"counter":{},"challenge":{}}}"#, beat["counter"], beat["challenge"]).into_bytes()
}
