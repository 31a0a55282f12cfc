//! What others see of a running centre: its board, and the handle that looks, waits, changes and ends it.

use super::finding::Counts;
use super::jws::Signer;
use super::ledger::Ledger;
use super::ledger::Row;
use super::line::Happening;
use super::line::Line;
use super::line::Notice;
use super::misbehave::Misbehaviour;
use super::order::Order;
use super::paths::Paths;
use super::paths::Verdict;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc as Shared;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Something a test waited for did not come.
#[derive(Debug, Error)]
#[error("waited {within:?} for {what}; the centre has {counts:?}, last lines: {last}")]
#[allow(missing_docs)]
pub struct NotInTime {
    pub what: String,
    pub within: Duration,
    pub counts: Counts,
    pub last: String,
}

/// What the desk shows.
pub struct Board {
    /// Everything held. It may be ahead of the disk by one flush; receipts never are.
    pub ledger: Ledger,
    /// The hub's paths.
    pub paths: Paths,
    /// The newest lines.
    pub lines: VecDeque<Line>,
    /// How many lines were there before the oldest kept one.
    pub lines_before: u64,
    /// The last message of each topic below the gateway's.
    pub topics: BTreeMap<String, Value>,
    /// Whether the line to each broker is up, by the broker's host:port.
    pub brokers: BTreeMap<String, bool>,
    /// Receipts handed to the broker.
    pub receipts: u64,
    /// Why the centre ended, once it has.
    pub ended: Option<String>,
}

impl Board {
    /// Whether the line to at least one broker is up.
    pub fn up(&self) -> bool {
        self.brokers.values().any(|up| *up)
    }
}

/// A running centre. Dropping it ends it without ceremony.
pub struct ArcHandle {
    pub(super) board: Shared<Mutex<Board>>,
    pub(super) changed: watch::Receiver<u64>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) desk: JoinHandle<()>,
    pub(super) lines: Vec<JoinHandle<()>>,
}

/// What a handle asks of its desk.
pub(super) enum Control {
    /// Misbehave like this from now on.
    Change(Misbehaviour),
    /// Sign orders with this key too.
    Signer(Box<Signer>),
    /// Send this order, and give its name back, or why it could not go.
    Order(Order, oneshot::Sender<Result<String, String>>),
    /// End.
    Stop,
}

impl Drop for ArcHandle {
    fn drop(&mut self) {
        self.lines.iter().for_each(JoinHandle::abort);
        self.desk.abort();
    }
}

impl ArcHandle {
    /// Looks at the board.
    pub fn look<T>(&self, at: impl FnOnce(&Board) -> T) -> T {
        at(&lock(&self.board))
    }

    /// What the ledger has counted.
    pub fn counts(&self) -> Counts {
        self.look(|board| board.ledger.counts())
    }

    /// Every held event in the hub's order.
    pub fn events(&self) -> Vec<Row> {
        self.look(|board| board.ledger.rows().cloned().collect())
    }

    /// What is thought of a path.
    pub fn verdict(&self, path: &str) -> Option<Verdict> {
        self.look(|board| board.paths.verdict(path))
    }

    /// Lines from number `from` on, and the number to ask for next. When lines were lost in between, the first
    /// returned one has a higher number than asked for.
    pub fn lines(&self, from: u64) -> (Vec<Line>, u64) {
        self.look(|board| {
            let skip = usize::try_from(from.saturating_sub(board.lines_before)).unwrap_or(usize::MAX);
            (board.lines.iter().skip(skip).cloned().collect(), board.lines_before + board.lines.len() as u64)
        })
    }

    /// Changes what the centre does wrong, by the words of `misbehave::WORDS` counted from honest.
    ///
    /// # Errors
    /// The words mean nothing.
    pub async fn misbehave(&self, lines: &[&str]) -> Result<(), String> {
        let mut wrong = Misbehaviour::default();
        lines.iter().try_for_each(|line| wrong.change(line))?;
        self.set(wrong).await;
        Ok(())
    }

    /// Sets what the centre does wrong; it holds for everything that arrives later.
    pub async fn set(&self, wrong: Misbehaviour) {
        // The desk ends only when the centre has, and then there is nothing left to change.
        let _ = self.control.send(Control::Change(wrong)).await;
    }

    /// Lets the centre sign orders with another issuer's key, by its name.
    pub async fn also_signs(&self, signer: Signer) {
        // The desk ends only when the centre has, and then there is nothing left to sign.
        let _ = self.control.send(Control::Signer(Box::new(signer))).await;
    }

    /// Sends the order a line of `order::WORDS` says and gives back its name, its `jti`.
    ///
    /// # Errors
    /// The line means nothing, or it could not be handed to the broker.
    pub async fn order(&self, line: &str) -> Result<String, String> {
        let order = Order::parse(line)?;
        let gone = || "the centre has ended".to_owned();
        let (to, sent) = oneshot::channel();
        self.control.send(Control::Order(order, to)).await.map_err(|_| gone())?;
        sent.await.unwrap_or_else(|_| Err(gone()))
    }

    /// What the hub has said about an order so far, as far as the lines are kept.
    pub fn replies(&self, jti: &str) -> Vec<Value> {
        self.look(|board| replies(board, jti))
    }

    /// Waits for a reply after the first `known` ones, and gives all back.
    ///
    /// # Errors
    /// Not in time.
    pub async fn wait_reply(&self, jti: &str, known: usize, within: Duration) -> Result<Vec<Value>, NotInTime> {
        self.wait_until(&format!("a reply to {jti}"), within, |board| replies(board, jti).len() > known).await?;
        Ok(self.replies(jti))
    }

    /// Waits until the line to at least one broker is up.
    ///
    /// # Errors
    /// Not in time.
    pub async fn wait_up(&self, within: Duration) -> Result<(), NotInTime> {
        self.wait_until("the line to a broker", within, Board::up).await
    }

    /// Waits until the lines to all brokers are up.
    ///
    /// # Errors
    /// Not in time.
    pub async fn wait_all_up(&self, within: Duration) -> Result<(), NotInTime> {
        self.wait_until("the lines to all brokers", within, |board| board.brokers.values().all(|up| *up)).await
    }

    /// Waits until `n` journaled events are held.
    ///
    /// # Errors
    /// Not in time.
    pub async fn wait_for(&self, n: u64, within: Duration) -> Result<Counts, NotInTime> {
        self.wait_until(&format!("{n} events"), within, |board| board.ledger.counts().events >= n).await?;
        Ok(self.counts())
    }

    /// Waits until `seen` says yes to the board, looking again at every change.
    ///
    /// # Errors
    /// Not in time, with what the centre has instead.
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        seen: impl Fn(&Board) -> bool,
    ) -> Result<(), NotInTime> {
        let mut changed = self.changed.clone();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if self.look(&seen) {
                    return true;
                }
                if changed.changed().await.is_err() {
                    return self.look(&seen);
                }
            }
        };
        if tokio::time::timeout(within, wait).await == Ok(true) {
            return Ok(());
        }
        let last = self.look(|board| {
            let lines = board.lines.iter().rev().take(5);
            lines.map(|line| serde_json::to_string(line).unwrap_or_default()).collect::<Vec<_>>().join(" ")
        });
        Err(NotInTime { what: what.to_owned(), within, counts: self.counts(), last })
    }

    /// Waits for the next change of the board, or until the centre has ended.
    pub async fn changed(&mut self) {
        // An error means that the desk has ended, which the board says too.
        let _ = self.changed.changed().await;
    }

    /// Ends the centre: what arrived is on disk, the ledger is free for the next one.
    pub async fn stop(mut self) {
        let _ = self.control.send(Control::Stop).await;
        let _ = (&mut self.desk).await;
    }
}

fn replies(board: &Board, jti: &str) -> Vec<Value> {
    let about = format!("reply/{jti}");
    let said = board.lines.iter().filter_map(|line| match &line.what {
        Happening::Noticed(Notice::Message { topic, payload, .. }) if *topic == about => Some(payload.clone()),
        _ => None,
    });
    said.collect()
}

/// Locks the board; a panic elsewhere does not make what it shows less true.
pub(super) fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
