//! What a board is asked for: the package's size, and the program that is in it from its start until it rests, beside
//! zigbee2mqtt with the node it runs on. Both have a fresh state, a fresh twin of a stick and a fresh broker at each start.

use super::Outcome;
use super::STARTS;
use super::figures::Beside;
use super::figures::Figures;
use super::figures::Times;
use super::micros;
use super::zigbee::MEMORY_SHARE;
use super::zigbee::Z2m;
use super::zigbee::rss_mib;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use vakt_integration::lab::Lab;
use vakt_integration::lab::LabSettings;
use vakt_integration::lab::READY_WITHIN;

/// How long both are left alone before their memory is looked at.
const REST: Duration = Duration::from_secs(5);
/// The longest word of a service to its manager that is read.
const WORD_BYTES: usize = 512;
const MIB: f64 = 1024.0 * 1024.0;

/// What was measured of either.
struct Run {
    download_mib: f64,
    installed_mib: f64,
    network: Times,
    rss_mib: f64,
}

pub async fn package(figures: &mut Figures) -> Outcome<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the repository is gone")?;
    let (deb, installed_mib) = pack(top).await?;
    let unpacked = top.join("target/deb/unpacked");
    said(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked)).await?;
    let program = unpacked.join("usr/bin/vaktd");
    let mut peer = match z2m_sizes().await {
        Ok(peer) => Some(peer),
        Err(error) => {
            println!("zigbee2mqtt is missing: {error}");
            None
        }
    };
    let download_mib = std::fs::metadata(&deb)?.len() as f64 / MIB;
    let mut hub = Run { download_mib, installed_mib, network: Times::default(), rss_mib: 0.0 };
    let mut ready = Times::default();
    for _ in 0..STARTS {
        let lab = Lab::start(LabSettings { zigbee: Some(13), ..LabSettings::default() }).await?;
        ready.push(start(&lab, &program, &mut hub).await?);
        if let Some(peer) = &mut peer {
            let (z2m, took) = Z2m::start(&lab).await?;
            peer.network.push(micros(took));
            tokio::time::sleep(REST).await;
            peer.rss_mib = peer.rss_mib.max(z2m.rss_mib()?);
        }
    }
    std::fs::remove_dir_all(unpacked)?;
    let beside = |of: fn(&Run) -> f64| peer.as_ref().map_or(Beside::Missing, |p| Beside::Peer("zigbee2mqtt", of(p)));
    figures.put("package.download", hub.download_mib, "MiB", beside(|run| run.download_mib));
    figures.put("package.installed", hub.installed_mib, "MiB", beside(|run| run.installed_mib));
    figures.put("package.start.ready", ready.p50(), "s", Beside::Missing);
    figures.put("package.start.network", hub.network.p50(), "s", beside(|run| run.network.p50()));
    let share = |peer: &Run| Beside::PeerAndLimit("zigbee2mqtt", peer.rss_mib, peer.rss_mib * MEMORY_SHARE);
    figures.put("package.rss", hub.rss_mib, "MiB", peer.as_ref().map_or(Beside::Missing, share));
    Ok(())
}

/// The package of the program that was just built, and what it takes when it is installed, MiB.
async fn pack(top: &Path) -> Outcome<(PathBuf, f64)> {
    said(Command::new(top.join("packaging/build")).arg("here")).await?;
    let architecture = said(Command::new("dpkg").arg("--print-architecture")).await?;
    let name = format!("vaktd_{}_{architecture}.deb", env!("CARGO_PKG_VERSION"));
    let deb = top.join("target/deb").join(name);
    let kib: f64 = said(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Installed-Size")).await?.parse()?;
    Ok((deb, kib / 1024.0))
}

/// The peer's sizes; it has not run yet.
async fn z2m_sizes() -> Outcome<Run> {
    Z2m::install().await?;
    let sizes = said(Command::new(Z2m::script()).arg("size")).await?;
    let sizes: Vec<f64> = sizes.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [download, installed] = sizes[..] else { return Err("its size is not two numbers".into()) };
    Ok(Run { download_mib: download / MIB, installed_mib: installed / MIB, network: Times::default(), rss_mib: 0.0 })
}

/// Starts the package's program on this lab's configuration, and ends it. Microseconds until it said that it is ready, as
/// systemd would hear it.
async fn start(lab: &Lab, program: &Path, hub: &mut Run) -> Outcome<u64> {
    let told = lab.folder().join("notify");
    let manager = UnixDatagram::bind(&told)?;
    let log = std::fs::File::create(lab.daemon.log())?;
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(lab.daemon.config_path()).env("NOTIFY_SOCKET", &told);
    // No lab touches this machine's modem.
    command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", lab.folder().join("no-bus").display()));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut word = [0; WORD_BYTES];
    loop {
        let length = tokio::time::timeout(READY_WITHIN, manager.recv(&mut word)).await??;
        if word[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            break;
        }
    }
    let ready = micros(began.elapsed());
    lab.until("the stick's network", |status| status["zigbee"]["up"] == json!(true)).await?;
    hub.network.push(micros(began.elapsed()));
    tokio::time::sleep(REST).await;
    hub.rss_mib = hub.rss_mib.max(rss_mib(&child)?);
    child.kill().await?;
    Ok(ready)
}

/// What a program says, without the line's end; an error if it fails.
async fn said(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await?;
    if !output.status.success() {
        return Err(format!("{:?} ended with {}", command.as_std(), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
