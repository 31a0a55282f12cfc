//! The daemon's Zigbee port on the stick's twin, over a real pseudo-terminal: what the host finds in the air reaches the
//! core. How long that takes at worst is played in virtual time (`zigbee`).
#![allow(clippy::unwrap_used)] // a test that cannot go on must fail

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use vakt_core::input::Input;
use vakt_integration::twins::ncp::Settings as Stick;
use vakt_integration::twins::ncp::pty::Twin;
use vaktd::zigbee::door::Admission;
use vaktd::zigbee::io::Flow;
use vaktd::zigbee::io::Kinds;
use vaktd::zigbee::io::NAME;
use vaktd::zigbee::io::Order;
use vaktd::zigbee::io::Settings;
use vaktd::zigbee::io::Ways;
use vaktd::zigbee::io::Word;
use vaktd::zigbee::io::listen;
use vaktd::zigbee::memory::Memory;
use vaktd::zigbee::met::Met;

const WITHIN: Duration = Duration::from_secs(30);

async fn next(words: &mut mpsc::Receiver<Word>) -> Input {
    tokio::time::timeout(WITHIN, words.recv()).await.expect("a word").expect("the port runs").0
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_the_core_is_told_when_interference_begins_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let twin = Twin::plug(Stick::new(18), &folder.path().join("stick"), None).unwrap();
    let (words_in, mut words) = mpsc::channel(16);
    let (news, _watched) = mpsc::channel(16);
    let (keep_in, mut keep) = mpsc::channel::<vaktd::zigbee::io::Kept>(4);
    let (_known_in, known) = watch::channel(Arc::<Kinds>::default());
    let (orders, orders_out) = mpsc::channel(1);
    let (_recorded_in, recorded) = mpsc::channel(1);
    let (asked, _at_keypads) = mpsc::channel(1);
    let (_wishes_in, wishes) = mpsc::channel(1);
    let (_board_in, board) = watch::channel(Arc::default());
    let ways = Ways {
        words: words_in,
        news,
        keep: keep_in,
        known,
        orders: orders_out.into(),
        recorded: recorded.into(),
        host: tokio::sync::Mutex::default(),
        begun: Instant::now(),
        met: watch::channel(Met::default()).0,
        asked,
        wishes: wishes.into(),
        board,
    };
    let settings = Settings { path: twin.path().to_owned(), baud: 115_200, flow_control: Flow::None };
    let kept = tokio::spawn(async move {
        while let Some((_, done)) = keep.recv().await {
            let _ = done.send(true);
        }
    });
    let port = tokio::spawn(async move { listen(&settings, Some((Memory::default(), [7; 64])), &ways).await });
    assert_eq!(next(&mut words).await, Input::Receiver { receiver: NAME.to_owned(), error: None });

    twin.ask(|ncp, _| ncp.jam(Some(-40)));
    // What is said to all routers finds no gap: that makes the host look at once, and not in a quarter of a minute.
    let (done, opened) = oneshot::channel();
    let open = Order::Open { seconds: 60, admission: Admission::Legacy };
    orders.send((open, done)).await.unwrap();
    opened.await.unwrap().unwrap();
    let interference = |on| Input::Interference { receiver: NAME.to_owned(), on: Some(on) };
    assert_eq!(next(&mut words).await, interference(true));
    twin.ask(|ncp, _| ncp.jam(None));
    assert_eq!(next(&mut words).await, interference(false));
    port.abort();
    kept.abort();
}
