//! A network between the hub and its broker that can be switched, at any time, to do what networks do.
//!
//! Bytes are never lost within a connection that lives on: like TCP, a black hole holds them back and delivers them
//! late when it heals. It cannot drop single packets; that takes a network namespace.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes read in one go.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way in one direction; beyond it the sender feels the back-pressure.
const CHUNKS_MAX: usize = 64;
/// A throttled line is fed this often, so that its rate is smooth.
const THROTTLE_STEP: Duration = Duration::from_millis(20);
/// What a broken middle box answers instead of TLS or MQTT.
const RUBBISH: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n\x00\xff\x16\x03\x09\xff\xff rubbish";

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the hub to the broker.
    Up,
    /// From the broker to the hub.
    Down,
}

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Connections are taken and stay; bytes wait, both ways.
    BlackHole,
    /// The same one way only.
    OneWayHole(Way),
    /// Every byte arrives this much later, both ways.
    Delay(Duration),
    /// This many bytes a second, each way.
    Throttle(u32),
    /// Nobody listens; what was connected is reset.
    Refuse,
    /// Each connection is reset after this many bytes towards the broker.
    ResetEvery(u64),
    /// Connections are taken and answered with rubbish; what was connected is reset.
    Rubbish,
}

impl Mode {
    fn holds(self, way: Way) -> bool {
        match self {
            Self::BlackHole => true,
            Self::OneWayHole(held) => held == way,
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    mode: Mode,
    /// Rises with each `set` and `cut`.
    version: u64,
    /// Connections begun before this version are reset.
    cut: u64,
}

/// A running proxy. It ends with its handle, and its connections with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    setting: watch::Sender<Setting>,
    applied: watch::Receiver<u64>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free loopback port for `target`.
    ///
    /// # Errors
    /// The port cannot be opened.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let setting = watch::Sender::new(Setting { mode: Mode::Pass, version: 0, cut: 0 });
        let (applying, applied) = watch::channel(0);
        let counts = Arc::new(Counts::default());
        let seen = setting.subscribe();
        let accepting = tokio::spawn(accept(listener, address, target, seen, applying, Arc::clone(&counts)));
        Ok(Self { address, setting, applied, counts, accepting })
    }

    /// Where the hub connects.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the network does; holds when this returns, for open connections too.
    pub async fn set(&self, mode: Mode) {
        let cut = matches!(mode, Mode::Refuse | Mode::Rubbish);
        self.change(|setting| setting.mode = mode, cut).await;
    }

    /// Resets every open connection.
    pub async fn cut(&self) {
        self.change(|_| {}, true).await;
    }

    /// Connections taken so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Bytes passed on so far: to the broker, to the hub.
    pub fn bytes(&self) -> (u64, u64) {
        (self.counts.up.load(Ordering::Relaxed), self.counts.down.load(Ordering::Relaxed))
    }

    async fn change(&self, change: impl FnOnce(&mut Setting), cut: bool) {
        let mut version = 0;
        self.setting.send_modify(|setting| {
            change(setting);
            setting.version += 1;
            version = setting.version;
            if cut {
                setting.cut = version;
            }
        });
        let mut applied = self.applied.clone();
        // An error means that the accepting task is gone; then nothing passes any more, which no mode is worse than.
        let _ = applied.wait_for(|applied| *applied >= version).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut setting: watch::Receiver<Setting>,
    applied: watch::Sender<u64>,
    counts: Arc<Counts>,
) {
    let mut listener = Some(listener);
    loop {
        let now = *setting.borrow_and_update();
        if now.mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            // The old socket may need a moment to be gone; until then the network is still down.
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            }
        }
        applied.send_replace(now.version);
        let taken = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = setting.changed() => if changed.is_err() { return },
            taken = taken => if let Ok((hub, _)) = taken {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(hub, target, setting.clone(), Arc::clone(&counts)));
            },
        }
    }
}

/// One connection, until either side ends it or the network does.
async fn connection(mut hub: TcpStream, target: SocketAddr, setting: watch::Receiver<Setting>, counts: Arc<Counts>) {
    let begun = setting.borrow().version;
    if setting.borrow().mode == Mode::Rubbish {
        // Who hung up already gets no rubbish.
        let _ = hub.write_all(RUBBISH).await;
        let _ = hub.shutdown().await;
        return;
    }
    let mut watching = setting.clone();
    // An error means that the proxy is gone, and its connections go with it.
    let cut = async { drop(watching.wait_for(|now| now.cut > begun).await) };
    tokio::pin!(cut);
    let mut healed = setting.clone();
    let dialled = async {
        let _ = healed.wait_for(|now| !now.mode.holds(Way::Up)).await;
        TcpStream::connect(target).await
    };
    let dialled = tokio::select! {
        () = &mut cut => return reset(&hub, None),
        dialled = dialled => dialled,
    };
    let Ok(mut broker) = dialled else { return reset(&hub, None) };
    // Errors here would only cost latency.
    let _ = (hub.set_nodelay(true), broker.set_nodelay(true));
    let end = {
        let (hub_read, hub_write) = hub.split();
        let (broker_read, broker_write) = broker.split();
        let both = async {
            tokio::try_join!(
                pump(hub_read, broker_write, Way::Up, setting.clone(), &counts),
                pump(broker_read, hub_write, Way::Down, setting.clone(), &counts),
            )
        };
        tokio::select! {
            () = &mut cut => Err(io::ErrorKind::ConnectionReset.into()),
            ended = both => ended.map(drop),
        }
    };
    if end.is_err() {
        reset(&hub, Some(&broker));
    }
}

fn reset(hub: &TcpStream, broker: Option<&TcpStream>) {
    for stream in [Some(hub), broker].into_iter().flatten() {
        // A socket that cannot be told is closed in the ordinary way.
        let _ = stream.set_zero_linger();
    }
}

/// Carries one direction: a reader that stamps chunks with their time of arrival, a writer that lets them go.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    setting: watch::Receiver<Setting>,
    counts: &Counts,
) -> io::Result<()> {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let seen = setting.clone();
    let reader = async move {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            if from.read_buf(&mut chunk).await? == 0 {
                return Ok(());
            }
            let delay = if let Mode::Delay(delay) = seen.borrow().mode { delay } else { Duration::ZERO };
            if under_way.send((Instant::now() + delay, chunk)).await.is_err() {
                return Ok(());
            }
        }
    };
    let writer = async move {
        let mut setting = setting;
        let passed = if way == Way::Up { &counts.up } else { &counts.down };
        let mut carried = 0u64;
        while let Some((due, chunk)) = arriving.recv().await {
            // Even a timer that is due already costs its wheel's next millisecond, which no bench should find.
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let held = setting.wait_for(|now| !now.mode.holds(way)).await;
                let mode = held.map(|now| now.mode).map_err(io::Error::other)?;
                let (now, later) = rest.split_at(step(mode, way, carried, rest.len())?);
                to.write_all(now).await?;
                rest = later;
                carried += now.len() as u64;
                passed.fetch_add(now.len() as u64, Ordering::Relaxed);
                if matches!(mode, Mode::Throttle(_)) {
                    tokio::time::sleep(THROTTLE_STEP).await;
                }
            }
        }
        to.shutdown().await
    };
    tokio::try_join!(reader, writer).map(drop)
}

/// How many of `waiting` bytes may go now; an error is the end of the connection.
fn step(mode: Mode, way: Way, carried: u64, waiting: usize) -> io::Result<usize> {
    let most = match mode {
        Mode::Throttle(per_second) => {
            let per_step = u128::from(per_second) * THROTTLE_STEP.as_millis() / 1000;
            usize::try_from(per_step).unwrap_or(usize::MAX).max(1)
        }
        Mode::ResetEvery(bytes) if way == Way::Up => match usize::try_from(bytes.saturating_sub(carried)) {
            Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
            left => left.unwrap_or(usize::MAX),
        },
        _ => waiting,
    };
    Ok(waiting.min(most))
}
