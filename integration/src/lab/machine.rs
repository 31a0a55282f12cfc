//! A Debian of its own with the real systemd as its first process, in namespaces on this machine: what a package does to
//! a board can be tried in seconds. It has no devices and no kernel of its own; for those there is the machine under
//! emulation (`packaging/accept`).
//!
//! Its files are a layer over a Debian that is made once and kept in the cache, so a machine can be switched off at any
//! moment and started again with what it had on its disk.

use super::LabError;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

/// What a hub's Debian has beside its base, with what the package recommends for cameras.
const PACKAGES: &str = "systemd,systemd-sysv,udev,dbus,kmod,iproute2,procps,libsystemd0,adduser,login,passwd,apt,\
    libgstreamer1.0-0,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-bad";
/// systemd must be up within this: it takes a second.
const UP: Duration = Duration::from_secs(60);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// From the namespaces to the first process; `$1` is the root, `$2` what systemd is to call this kind of machine.
const INIT: &str = r#"
mount --bind "$1" "$1"; cd "$1"
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd; touch dev/console
mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs tmpfs tmp
mkdir -p .old; pivot_root . .old; umount -l /.old
export container="$2"; exec /sbin/init systemd.unit=multi-user.target systemd.show_status=no
"#;

/// The Debian.
pub struct Machine {
    folder: TempDir,
    cgroup: PathBuf,
    running: Option<Running>,
}

struct Running {
    shell: Child,
    /// The first process, by this machine's count.
    init: u32,
}

/// Where what takes long to make is kept.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/vakt");
    std::env::var_os("VAKT_CACHE").map_or_else(home, PathBuf::from)
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be run, or it fails.
pub fn run(command: &mut Command) -> Result<Output, LabError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(LabError::io("running", &name))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LabError::Misuse(format!("{name} ended with {}: {said}", output.status)))
}

impl Machine {
    /// A Debian of this name (`bookworm`, `trixie`), switched off.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(suite: &str) -> Result<Self, LabError> {
        let base = debian(suite)?;
        let folder = TempDir::with_prefix("vakt-machine-").map_err(LabError::io("making", "a folder"))?;
        let at = |name: &str| folder.path().join(name);
        for name in ["upper", "work", "root"] {
            fs::create_dir(at(name)).map_err(LabError::io("making", name))?;
        }
        let layers =
            format!("lowerdir={},upperdir={},workdir={}", base.display(), at("upper").display(), at("work").display());
        run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers]).arg(at("root")))?;
        let cgroup = cgroups()?
            .join(format!("vakt-{}", std::process::id()))
            .join(folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        Ok(Self { folder, cgroup, running: None })
    }

    /// Its root folder, as this machine sees it.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Puts a file into it.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn put(&self, file: &Path, to: &str) -> Result<(), LabError> {
        let to = self.root().join(to.trim_start_matches('/'));
        fs::copy(file, &to).map(drop).map_err(LabError::io("copying to", to.display()))
    }

    /// Switches it on, and waits until systemd has started what it starts.
    ///
    /// # Errors
    /// It does not come up.
    pub fn boot(&mut self) -> Result<(), LabError> {
        fs::create_dir_all(&self.cgroup).map_err(LabError::io("making", self.cgroup.display()))?;
        // The shell moves itself into the group before its first child is born.
        let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", self.cgroup.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &enter, "sh", "unshare", "-m", "-u", "-i", "-n", "-p", "-C", "-f"]);
        shell.args(["--propagation", "private", "sh", "-euc", INIT, "init"]);
        shell.arg(self.root()).arg("vakt-lab");
        let shell = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let shell = shell.map_err(LabError::io("starting", "a machine"))?;
        let end = Instant::now() + UP;
        let children = format!("/proc/{0}/task/{0}/children", shell.id());
        loop {
            if let Some(init) = fs::read_to_string(&children).ok().and_then(|text| text.trim().parse().ok()) {
                self.running.get_or_insert(Running { shell, init });
                break;
            }
            if Instant::now() > end {
                return Err(LabError::Misuse("a machine's first process does not come".to_owned()));
            }
            std::thread::sleep(LOOK);
        }
        while !self.is_up() {
            if Instant::now() > end {
                let jobs = self.sh("systemctl list-jobs; systemctl --failed").map(|said| said.1).unwrap_or_default();
                return Err(LabError::Misuse(format!("a machine does not come up: {jobs}")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn is_up(&self) -> bool {
        let line = "systemctl is-active multi-user.target && test -z \"$(systemctl list-jobs --no-legend)\"";
        self.sh(line).is_ok_and(|(well, _)| well)
    }

    /// Runs a line of shell in it: whether it ended well, and all it said.
    ///
    /// # Errors
    /// It is switched off, or the line cannot be run.
    pub fn sh(&self, line: &str) -> Result<(bool, String), LabError> {
        let off = || LabError::Misuse("the machine is switched off".to_owned());
        let init = self.running.as_ref().ok_or_else(off)?.init.to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["-t", &init, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "env", "-i", "HOME=/root"]);
        enter.args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]);
        enter.args(["DEBIAN_FRONTEND=noninteractive", "sh", "-c", &format!("exec 2>&1; cd /root; {line}")]);
        // A group of its own: a line that stops or kills its group stops itself alone.
        let output = enter.process_group(0).stdin(Stdio::null()).output().map_err(LabError::io("running", line))?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// The same, for a line that must end well: what it said.
    ///
    /// # Errors
    /// It did not.
    pub fn ok(&self, line: &str) -> Result<String, LabError> {
        match self.sh(line)? {
            (true, said) => Ok(said),
            (false, said) => Err(LabError::Misuse(format!("`{line}` failed in the machine: {said}"))),
        }
    }

    /// Waits until a line of shell ends well, for half a minute: what it said.
    ///
    /// # Errors
    /// It does not.
    pub fn until(&self, line: &str) -> Result<String, LabError> {
        let end = Instant::now() + UP / 2;
        loop {
            match self.sh(line)? {
                (true, said) => return Ok(said),
                (false, said) if Instant::now() > end => {
                    return Err(LabError::Misuse(format!("`{line}` never ends well in the machine: {said}")));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    /// Pulls its plug: everything in it ends at once. What it had written stays.
    pub fn cut(&mut self) {
        if let Some(mut running) = self.running.take() {
            // With the first process its whole family of processes goes.
            let _ = Command::new("kill").args(["-9", &running.init.to_string()]).status();
            let _ = running.shell.wait();
        }
        remove_groups(&self.cgroup);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cut();
        let _ = Command::new("umount").arg("-l").arg(self.root()).status();
    }
}

/// Removes a cgroup with all below it; the kernel needs a moment after the last process.
fn remove_groups(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.path().is_dir() {
            remove_groups(&below.path());
        }
    }
    for _ in 0..20 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => std::thread::sleep(LOOK),
            _ => return,
        }
    }
}

/// Where version 2 control groups are mounted, beside version 1 or alone.
fn cgroups() -> Result<PathBuf, LabError> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(LabError::io("reading", "/proc/self/mounts"))?;
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let at = line.and_then(|line| line.split(' ').nth(1)).map(PathBuf::from);
    at.ok_or_else(|| LabError::Misuse("no control groups of version 2 are mounted: systemd needs them".to_owned()))
}

/// A Debian's files, made once.
fn debian(suite: &str) -> Result<PathBuf, LabError> {
    let at = cache().join(format!("root-{suite}-2"));
    if at.join("made").exists() {
        return Ok(at);
    }
    eprintln!("making a Debian ({suite}); this takes a minute, once");
    let _ = fs::remove_dir_all(&at);
    fs::create_dir_all(cache()).map_err(LabError::io("making", cache().display()))?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase", "--mode=root", "--aptopt=Acquire::Retries \"5\""]);
    make.args(["--aptopt=Acquire::Languages \"none\"", &format!("--include={PACKAGES}"), suite]).arg(&at);
    run(&mut make)?;
    // There is no console to log in at.
    let masked = at.join("etc/systemd/system/console-getty.service");
    std::os::unix::fs::symlink("/dev/null", &masked).map_err(LabError::io("masking", masked.display()))?;
    fs::write(at.join("made"), suite).map_err(LabError::io("marking", at.display()))?;
    Ok(at)
}
