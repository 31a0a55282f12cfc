//! After the story the site stays up for whoever is there: what to type, and a pipe that the stick speaks for.

use super::deeds::CODE;
use super::deeds::KITCHEN;
use super::stage::Stage;
use super::stage::text;
use rustix::fs::CWD;
use rustix::fs::FileType;
use rustix::fs::Mode;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use vakt_integration::lab::daemon;
use vakt_integration::lab::site::smoke;

/// The most taken from the pipe in one go.
const AIR_BYTES: usize = 4096;

/// Says what to type, and carries what is written to `air` to the hub, until Ctrl-C.
pub async fn your_turn(stage: &Stage) -> Result<(), String> {
    let air = stage.lab.folder().join("air");
    rustix::fs::mknodat(CWD, &air, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(|error| format!("make the pipe {}: {error}", air.display()))?;
    // Open for writing too, so that it does not end with each writer.
    let mut heard = pipe::OpenOptions::new().read_write(true).open_receiver(&air).map_err(text)?;
    say(stage, &air.display().to_string())?;
    let mut bytes = [0; AIR_BYTES];
    loop {
        tokio::select! {
            ended = tokio::signal::ctrl_c() => return ended.map_err(text),
            read = heard.read(&mut bytes) => {
                let read = read.map_err(text)?;
                stage.lab.stick.bytes(&bytes[..read]).await.map_err(text)?;
            }
        }
    }
}

fn say(stage: &Stage, air: &str) -> Result<(), String> {
    let vaktd = daemon::binary().map_err(text)?.display().to_string();
    let socket = stage.lab.folder().join("run/control.sock").display().to_string();
    let journal = stage.lab.daemon.journal().display().to_string();
    let (fire, clear) = (smoke(KITCHEN, true), smoke(KITCHEN, false));
    println!("\nYour turn. The site stays up until Ctrl-C; in another terminal:");
    println!("\n  how everything stands, and the journal as it grows");
    println!("    {vaktd} status --socket {socket}");
    println!("    {vaktd} journal follow --db {journal}");
    println!("\n  the kitchen's smoke detector: clear, then smoke again");
    println!("    echo '{}' > {air}", clear.trim());
    println!("    echo '{}' > {air}", fire.trim());
    println!("\n  by Anna's code: silence the sirens, disarm");
    println!("    echo {CODE} | {vaktd} siren stop --socket {socket}");
    println!("    echo {CODE} | {vaktd} disarm --socket {socket}");
    println!("\n  the chain of every event");
    println!("    {vaktd} journal verify --db {journal}\n");
    Ok(())
}
