//! A system bus of the lab's own, with Debian's unmodified ModemManager on a twin's port, and Debian's NetworkManager in the
//! hub's network namespace. Nothing of this machine's own services is touched: they live on another bus.

use super::LabError;
use super::READY_WITHIN;
use super::net::Net;
use super::tail;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Child;
use tokio::process::Command;

/// Nothing is refused: who may do what is the packaged system's matter, and this bus is nobody's.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"#;

/// ModemManager's name.
pub const MODEMS: &str = "org.freedesktop.ModemManager1";
/// NetworkManager's name.
pub const MANAGER: &str = "org.freedesktop.NetworkManager";

/// The bus.
pub struct SystemBus {
    folder: PathBuf,
    address: String,
    modems: Option<Child>,
    manager: Option<Child>,
    _daemon: Child,
}

impl SystemBus {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start(folder: &Path) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder).map_err(LabError::io("making", folder.display()))?;
        let (socket, config) = (folder.join("bus.sock"), folder.join("bus.conf"));
        std::fs::write(&config, BUS.replace("SOCKET", &socket.display().to_string()))
            .map_err(LabError::io("writing", config.display()))?;
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg("--nofork").arg("--nopidfile").arg(format!("--config-file={}", config.display()));
        let _daemon = spawn(daemon, &folder.join("bus.log"), "dbus")?;
        let address = format!("unix:path={}", socket.display());
        let bus = Self { folder: folder.to_owned(), address, modems: None, manager: None, _daemon };
        bus.until("the system bus", || async {
            bus.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetId", &[]).await.is_ok()
        })
        .await?;
        Ok(bus)
    }

    /// What `DBUS_SYSTEM_BUS_ADDRESS` is to be.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts ModemManager and shows it a modem's port, to be spoken to as this plugin does.
    ///
    /// # Errors
    /// It is not installed, or does not take the port.
    pub async fn modem_manager(&mut self, port: &str, plugin: &str) -> Result<(), LabError> {
        let mut modems = Command::new("ModemManager");
        modems.args(["--test-session", "--test-enable", "--test-no-udev", "--debug"]);
        modems.env("DBUS_SESSION_BUS_ADDRESS", &self.address).env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        self.modems = Some(spawn(modems, &self.folder.join("modemmanager.log"), "modemmanager")?);
        self.until("ModemManager", || self.owned(MODEMS)).await?;
        let ports = format!("['{port}']");
        let show = format!("{MODEMS}.Test.SetProfile");
        self.call(MODEMS, "/org/freedesktop/ModemManager1", &show, &["twin", plugin, &ports]).await.map(drop)
    }

    /// kill -9 of ModemManager.
    pub async fn kill_modem_manager(&mut self) {
        if let Some(mut modems) = self.modems.take() {
            // An error means that it was gone already.
            let _ = modems.kill().await;
        }
    }

    /// Starts NetworkManager beside the hub. It manages one interface, by a profile with this address, and touches no other.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn network_manager(
        &mut self,
        net: &Net,
        interface: &str,
        address: &str,
        router: &str,
        metric: u32,
    ) -> Result<(), LabError> {
        let folder = self.folder.join("nm");
        let profiles = folder.join("profiles");
        std::fs::create_dir_all(&profiles).map_err(LabError::io("making", profiles.display()))?;
        let mut config = String::new();
        let _ = write!(
            config,
            "[main]\nplugins=keyfile\ndhcp=internal\ndns=none\nrc-manager=unmanaged\nauth-polkit=false\nno-auto-default=*\n\
             [keyfile]\npath={}\nunmanaged-devices=*,except:interface-name:{interface}\n[connectivity]\nenabled=false\n",
            profiles.display()
        );
        let profile = format!(
            "[connection]\nid=twin\nuuid=6fd3b4ac-6f0e-4b3c-9f9e-3f1f7c1d2a10\ntype=ethernet\ninterface-name={interface}\n\
             autoconnect=true\n[ipv4]\nmethod=manual\naddress1={address},{router}\nroute-metric={metric}\n[ipv6]\nmethod=disabled\n"
        );
        write_private(&folder.join("NetworkManager.conf"), &config)?;
        write_private(&profiles.join("twin.nmconnection"), &profile)?;
        // Its folders below /run and /var are its own here, whatever this machine has. With a /sys that can be written it
        // would wait for udev to tell of the interface, and udev does not know namespaces.
        let run = format!(
            "ip addr flush dev {interface}; mkdir -p /run/NetworkManager /var/lib/NetworkManager; mount -o \
             remount,bind,ro /sys; mount -t tmpfs none /run/NetworkManager; mount -t tmpfs none /var/lib/NetworkManager; exec NetworkManager --no-daemon \
             --config={0}/NetworkManager.conf --config-dir={0}/none --system-config-dir={0}/none \
             --intern-config={0}/intern.conf --state-file={0}/state --pid-file={0}/pid",
            folder.display()
        );
        let starter: Vec<String> =
            net.at_the_hub().into_iter().chain(["unshare", "-m", "sh", "-c", &run].map(str::to_owned)).collect();
        let mut manager = Command::new(&starter[0]);
        manager.args(&starter[1..]).env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        self.manager = Some(spawn(manager, &self.folder.join("networkmanager.log"), "network-manager")?);
        self.until("NetworkManager", || self.owned(MANAGER)).await
    }

    /// NetworkManager's names for the profiles that are up, as it writes them: each activation has a name of its own.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn active(&self) -> Result<String, LabError> {
        let get = "org.freedesktop.DBus.Properties.Get";
        self.call(MANAGER, "/org/freedesktop/NetworkManager", get, &[MANAGER, "ActiveConnections"]).await
    }

    /// Waits until other profiles are up than these.
    ///
    /// # Errors
    /// They still are.
    pub async fn activated_after(&self, before: &str) -> Result<(), LabError> {
        self.until("another activation", || async { self.active().await.is_ok_and(|now| now != before) }).await
    }

    async fn owned(&self, name: &str) -> bool {
        let asked = self.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", &[name]).await;
        asked.is_ok_and(|said| said.contains("true"))
    }

    /// Calls a method, its arguments and its answer in GVariant's text form.
    ///
    /// # Errors
    /// `gdbus` is not installed, or the service says no.
    pub async fn call(&self, name: &str, object: &str, method: &str, args: &[&str]) -> Result<String, LabError> {
        let mut call = Command::new("gdbus");
        call.args(["call", "--timeout", "60", "--address", &self.address, "-d", name, "-o", object, "-m", method]);
        let done = call.args(args).stdin(Stdio::null()).output().await;
        let done = done.map_err(|error| missing(error, "gdbus", "libglib2.0-bin"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() {
            return Ok(text(&done.stdout));
        }
        let (what, status) = (format!("{method} of {object}"), done.status.to_string());
        Err(LabError::Ended { what, status, log: text(&done.stderr) })
    }

    /// Waits until something is so. Nothing tells, so it is asked again every 50 ms.
    async fn until<F: Future<Output = bool>>(&self, what: &str, so: impl Fn() -> F) -> Result<(), LabError> {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let asked = async {
            while !so().await {
                again.tick().await;
            }
        };
        let log = || tail(&self.folder.join("bus.log"));
        let late = |_| LabError::Late { what: what.to_owned(), within: READY_WITHIN, log: log() };
        tokio::time::timeout(READY_WITHIN, asked).await.map_err(late)
    }
}

/// NetworkManager reads only what nobody else may write.
fn write_private(path: &Path, text: &str) -> Result<(), LabError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).map_err(LabError::io("writing", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(LabError::io("closing", path.display()))
}

fn spawn(mut command: Command, log: &Path, package: &str) -> Result<Child, LabError> {
    let file = std::fs::File::create(log).map_err(LabError::io("making", log.display()))?;
    let out = file.try_clone().map_err(LabError::io("opening", log.display()))?;
    let tool = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(out).stderr(file).kill_on_drop(true);
    command.spawn().map_err(|error| missing(error, &tool, package))
}

fn missing(error: io::Error, tool: &str, package: &str) -> LabError {
    if error.kind() == io::ErrorKind::NotFound {
        return LabError::Tool { tool: tool.to_owned(), install: format!("apt-get install {package}") };
    }
    LabError::io("starting", tool)(error)
}
