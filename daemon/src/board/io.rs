//! Pins of the board. Today one: the line that gives a modem its power. A pin is taken when it is first needed and never before,
//! so that a start of the daemon switches nothing.

use gpiocdev::Request;
use gpiocdev::line::Value;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::sleep;
use vakt_core::port::ModemPower;

/// How long the power is away: longer than the capacitors of a modem hold it.
const AWAY: Duration = Duration::from_secs(5);

/// What is to be done to a modem's power; the answer says how that went.
pub type PowerOrder = (ModemPower, oneshot::Sender<Result<(), String>>);

/// Does so as often as it is told to. The line is active while the modem has power, and stays so until the daemon ends.
pub async fn serve(chip: String, line: u32, mut orders: mpsc::Receiver<PowerOrder>) {
    let mut held = None;
    while let Some((power, answer)) = orders.recv().await {
        let _ = answer.send(switch(&chip, line, power, &mut held).await);
    }
}

async fn switch(chip: &str, line: u32, power: ModemPower, held: &mut Option<Request>) -> Result<(), String> {
    let failed = |doing: &str| {
        let doing = doing.to_owned();
        move |error: gpiocdev::Error| format!("{doing} line {line} of {chip}: {error}")
    };
    let request = match held.take() {
        Some(request) => request,
        None => {
            let mut asked = Request::builder();
            asked.on_chip(Path::new("/dev").join(chip)).with_consumer("vaktd").with_line(line);
            let first = if power == ModemPower::Cycle { Value::Inactive } else { Value::Active };
            asked.as_output(first).request().map_err(failed("taking"))?
        }
    };
    if power == ModemPower::Cycle {
        request.set_value(line, Value::Inactive).map_err(failed("switching off"))?;
        sleep(AWAY).await;
    }
    let back = request.set_value(line, Value::Active).map_err(failed("switching on"));
    *held = Some(request);
    back.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pin_that_is_not_there_is_named() {
        let (orders, inbox) = mpsc::channel(1);
        tokio::spawn(serve("gpiochip999".to_owned(), 17, inbox));
        let (answer, answered) = oneshot::channel();
        orders.send((ModemPower::Restore, answer)).await.expect("somebody listens");
        let error = answered.await.expect("it is answered").expect_err("there is no such chip");
        assert!(error.contains("line 17 of gpiochip999"), "{error}");
    }
}
