//! Sealed media over the real client: their own connection, pieces in order, what is lost comes again, and the centre's
//! receipt alone ends them. That they wait for everything else is proven on a clock of its own (`speaker.rs`).

use crate::*;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use vakt_core::port::MediaPiece;
use vakt_core::port::MediaReceipt;
use vakt_core::port::NextMedia;
use vaktd::upstream::io::run::Vault;

const MEDIUM: &str = "01a1ffd6-clip";
const LENGTH: usize = 300_000;

/// Whoever keeps one sealed file, and knows what the centre has of it.
#[derive(Clone)]
struct Keeper {
    bytes: Arc<Vec<u8>>,
    have: Arc<Mutex<Vec<(u64, u64)>>>,
    stock: watch::Sender<u64>,
}

impl Keeper {
    fn new() -> (Self, Vault) {
        let bytes = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        let (stock, seen) = watch::channel(1);
        let keeper = Self { bytes: Arc::new(bytes), have: Arc::default(), stock };
        let (next, mut asked) = mpsc::channel::<(NextMedia, oneshot::Sender<Option<MediaPiece>>)>(1);
        let own = keeper.clone();
        tokio::spawn(async move {
            while let Some((question, answer)) = asked.recv().await {
                let _ = answer.send(own.piece(question));
            }
        });
        (keeper, Vault { stock: seen, next })
    }

    fn piece(&self, question: NextMedia) -> Option<MediaPiece> {
        let mut from = question.after.map_or(0, |(media, offset)| {
            assert_eq!(media, MEDIUM);
            offset
        });
        for (held, to) in self.have.lock().unwrap().iter() {
            if (*held..*to).contains(&from) {
                from = *to;
            }
        }
        let from = usize::try_from(from).unwrap();
        let to = (from + question.most).min(self.bytes.len());
        let bytes = self.bytes.get(from..to).filter(|bytes| !bytes.is_empty())?;
        Some(MediaPiece { media: MEDIUM.to_owned(), offset: from as u64, bytes: Arc::from(bytes) })
    }
}

/// The next piece: its packet id, its first byte's place and its bytes.
async fn piece(session: &mut Session<TcpStream>) -> (u16, usize, Vec<u8>) {
    match within("a piece", session.next()).await.expect("the hub stays") {
        Packet::Publish { topic, payload, id, qos, retain, .. } => {
            assert_eq!((qos, retain), (1, false));
            let offset = topic.strip_prefix(&format!("vakt/v1/hub-1/media/{MEDIUM}/")).expect("a piece of ours");
            (id, offset.parse().unwrap(), payload)
        }
        other => panic!("{other:?}"),
    }
}

/// What the path's connection says is taken, so that nothing more urgent waits.
fn take_everything(mut session: Session<TcpStream>) -> mpsc::Sender<Vec<u8>> {
    let (acks, mut to_say) = mpsc::channel::<Vec<u8>>(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(ack) = to_say.recv() => session.publish(ACK, &ack, false).await,
                packet = session.next() => match packet {
                    Some(Packet::Publish { id, .. }) => session.puback(id, 0).await,
                    Some(Packet::Ping) => session.pong().await,
                    _ => return,
                },
            }
        }
    });
    acks
}

#[tokio::test]
async fn r29_a_medium_leaves_in_order_on_a_connection_of_its_own_and_what_was_lost_leaves_again() {
    let broker = Broker::listen().await;
    let (keeper, vault) = Keeper::new();
    let mut site = Site::start(Wish { media: Some(vault), ..Wish::broker(broker.address()) });
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let acks = take_everything(session);

    let mut media = within("the media's connection", broker.accept()).await;
    let Packet::Connect { client, will, .. } = media.admit(&[]).await else { panic!("CONNECT comes first") };
    assert_eq!((client.as_str(), will.0.as_str()), ("hub-1-media", ""));
    let (mut got, mut sizes) = (Vec::new(), Vec::new());
    while got.len() < LENGTH / 2 {
        let (id, offset, bytes) = piece(&mut media).await;
        assert_eq!(offset, got.len(), "one after the other");
        sizes.push(bytes.len());
        got.extend(bytes);
        media.puback(id, 0).await;
    }
    assert_eq!(sizes[0], 8 * 1024, "the first is small, whatever the path can do");
    assert!(sizes.iter().all(|size| *size <= 64 * 1024));

    // The centre signs for the first hundred thousand bytes; the connection falls, and what follows them comes again.
    let signed = Centre::sign(&format!(r#"{{"media":"{MEDIUM}","have":[[0,100000]]}}"#));
    acks.send(signed).await.unwrap();
    let receipt = site.note("the receipt", |note| match note {
        UpstreamNote::Media(receipt) => Some(receipt),
        _ => None,
    });
    assert_eq!(receipt.await, MediaReceipt { media: MEDIUM.to_owned(), have: vec![(0, 100_000)] });
    keeper.have.lock().unwrap().push((0, 100_000));
    drop(media);
    let mut media = within("the media's connection again", broker.accept()).await;
    media.admit(&[]).await;
    got.truncate(100_000);
    while got.len() < LENGTH {
        let (id, offset, bytes) = piece(&mut media).await;
        assert_eq!(offset, got.len());
        got.extend(bytes);
        media.puback(id, 0).await;
    }
    assert_eq!(got, *keeper.bytes);

    // Nothing is left to say until the keeper has something new.
    keeper.have.lock().unwrap().clear();
    keeper.stock.send_replace(2);
    let (_, offset, _) = piece(&mut media).await;
    assert_eq!(offset, 0);
}

#[tokio::test]
async fn a_broker_that_refuses_media_or_takes_short_packets_only_costs_no_event() {
    let broker = Broker::listen().await;
    let (_keeper, vault) = Keeper::new();
    let site = Site::start(Wish { media: Some(vault), ..Wish::broker(broker.address()) });
    let mut session = within("a connection", broker.accept()).await;
    session.welcome(&[]).await;
    let mut media = within("the media's connection", broker.accept()).await;
    // Maximum Packet Size 4,096 (MQTT 5, 3.2.2.3.6)
    media.admit(&[0x27, 0, 0, 0x10, 0]).await;
    let (id, _, bytes) = piece(&mut media).await;
    assert!(bytes.len() <= 4_096, "{}", bytes.len());
    media.puback(id, 0x87).await;
    site.commit(Class::Alarm);
    let (_, _, payload, _) = event(&mut session).await.unwrap();
    assert_eq!(seq(&payload), 1);
}
