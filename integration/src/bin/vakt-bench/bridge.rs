//! The peer of what speaks to the centre: mosquitto's own bridge, set up as its manual says for a site that must lose
//! nothing (QoS 1, a lasting session, no limit on what waits), over the same TLS to the same broker. It keeps what waits in
//! memory: nothing of it would survive a kill, which the hub's does.

use crate::Outcome;
use rumqttc::Transport;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::Event;
use rumqttc::v5::Incoming;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::watch;
use vakt_integration::lab::Lab;

/// How long it may take to open its socket.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Messages of the feed without an answer.
const IN_FLIGHT: u16 = 100;
/// What it brings over, at the far broker's side.
pub const TOPIC: &str = "vakt/v1/lab-hub/event/alarm";

/// A mosquitto that brings everything it is told to another.
pub struct Bridge {
    child: Child,
    socket: PathBuf,
}

/// Who tells it.
pub struct Feed {
    client: AsyncClient,
    acked: watch::Receiver<u64>,
}

impl Bridge {
    /// Starts it by `starter` (into a namespace, if not empty), with these brokers to choose from.
    pub async fn start(lab: &Lab, starter: &[String], brokers: &[SocketAddr], keepalive_s: u64) -> Outcome<Self> {
        let folder = lab.folder().join("bridge");
        std::fs::create_dir_all(&folder)?;
        let (socket, log, path) = (folder.join("socket"), folder.join("log"), folder.join("mosquitto.conf"));
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let identity = lab.certs.client("lab-hub");
        let addresses: Vec<String> = brokers.iter().map(SocketAddr::to_string).collect();
        let config = format!(
            "user root\nlog_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\nlog_type information\n\
             allow_anonymous true\nmax_queued_messages 0\nlistener 0 {socket}\n\
             connection up\naddresses {addresses}\ntopic vakt/v1/lab-hub/event/# out 1\ncleansession false\n\
             remote_clientid lab-hub-bridge\nnotifications false\nrestart_timeout 1\nkeepalive_interval {keepalive_s}\n\
             bridge_protocol_version mqttv311\nbridge_cafile {ca}\nbridge_certfile {cert}\nbridge_keyfile {key}\n\
             bridge_insecure true\n",
            socket = socket.display(),
            addresses = addresses.join(" "),
            ca = lab.certs.ca().display(),
            cert = identity.cert.display(),
            key = identity.key.display(),
        );
        std::fs::write(&path, config)?;
        let program = ["mosquitto", "/usr/sbin/mosquitto"].into_iter().map(PathBuf::from);
        let found = program.into_iter().find(|program| std::process::Command::new(program).arg("-h").output().is_ok());
        let found = found.ok_or("mosquitto is not installed; right would be: apt-get install mosquitto")?;
        let mut command = match starter.split_first() {
            None => Command::new(&found),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(&found);
                command
            }
        };
        let out = std::fs::File::create(&log)?;
        command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(out).kill_on_drop(true);
        let child = command.spawn()?;
        let end = tokio::time::Instant::now() + READY_WITHIN;
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            if tokio::time::Instant::now() > end {
                return Err(format!("mosquitto's bridge did not start:\n{}", std::fs::read_to_string(&log)?).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { child, socket })
    }

    /// Resident memory, MiB.
    pub fn rss_mib(&self) -> Outcome<f64> {
        let pid = self.child.id().ok_or("mosquitto's bridge has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("it has no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Somebody at the site who tells it things, as the hub's detectors tell the hub.
    pub fn feed(&self) -> Feed {
        let mut options = MqttOptions::new("bench-feed", self.socket.display().to_string(), 0);
        options.set_transport(Transport::Unix);
        options.set_keep_alive(Duration::from_secs(60));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        let (client, mut events) = AsyncClient::new(options, usize::from(IN_FLIGHT));
        let (told, acked) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if matches!(event, Event::Incoming(Incoming::PubAck(_))) {
                    told.send_modify(|acked| *acked += 1);
                }
            }
        });
        Feed { client, acked }
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(mut self) {
        // An error means that it was gone already.
        let _ = self.child.kill().await;
    }
}

impl Feed {
    /// Tells it one thing more.
    pub async fn say(&self, payload: Vec<u8>) -> Outcome<()> {
        Ok(self.client.publish(TOPIC, QoS::AtLeastOnce, false, payload).await?)
    }

    /// How many of them it has taken.
    pub fn taken(&self) -> u64 {
        *self.acked.borrow()
    }

    /// Waits until it has taken so many.
    pub async fn wait(&mut self, count: u64, within: Duration) -> Outcome<()> {
        let taken = self.acked.wait_for(|acked| *acked >= count);
        tokio::time::timeout(within, taken).await.map_err(|_| "mosquitto's bridge does not take what it is told")??;
        Ok(())
    }
}
