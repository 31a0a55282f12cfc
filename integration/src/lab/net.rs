//! Real networks for one lab: the hub behind two routers, the broker behind both, each in a network namespace of its own,
//! with faults that only a real kernel has: a cable that is out, a router that swallows, an address that is gone.
//!
//! ```text
//!            eth0 ── router "eth" ──┐
//!   hub ────┤                       ├── broker ── this machine (the centre and taps)
//!            wwan0 ─ router "lte" ──┘
//! ```
//!
//! The addresses are those of documentation (RFC 5737): none of them is anybody's. It needs root, `ip`, `nft` and `tc`.
//! All of it is gone when it is dropped.

use super::LabError;
use rustix::thread::LinkNameSpaceType;
use rustix::thread::move_into_link_name_space;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// The broker, for hubs, and a second one beside it.
const BROKER: &str = "203.0.113.129";
const OTHER_BROKER: &str = "203.0.113.130";
/// Labs with networks on this machine at once; each has a link of its own to it. One more is refused.
const LABS_MAX: u8 = 16;

/// A way from the hub to the broker.
struct Way {
    path: &'static str,
    device: &'static str,
    /// The network between the hub and the router, and their two addresses in it.
    network: &'static str,
    hub: &'static str,
    router: &'static str,
    router_inside: &'static str,
    broker_side: &'static str,
    metric: u32,
}

const WAYS: [Way; 2] = [
    Way {
        path: "eth",
        device: "eth0",
        network: "192.0.2.0/30",
        hub: "192.0.2.1",
        router: "192.0.2.2",
        router_inside: "203.0.113.1",
        broker_side: "203.0.113.2",
        metric: 100,
    },
    Way {
        path: "lte",
        device: "wwan0",
        network: "198.51.100.0/30",
        hub: "198.51.100.1",
        router: "198.51.100.2",
        router_inside: "203.0.113.5",
        broker_side: "203.0.113.6",
        metric: 700,
    },
];

/// What a router does to what it should pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It passes nothing and says nothing.
    Silent,
    /// Nothing from the hub.
    Uplink,
    /// Nothing to the hub.
    Downlink,
    /// It loses so many of a hundred, each way.
    Loses(u8),
    /// So many kbit/s each way, and no more.
    Narrow(u32),
    /// What is for the broker goes to this port of its host, and what was connected is reset.
    Elsewhere(u16),
    /// The cable between the hub and it is out.
    Carrier,
    /// The hub's interface is switched off.
    Admin,
    /// The hub's address is gone.
    Address,
}

/// The networks.
#[derive(Debug)]
pub struct Net {
    tag: String,
    lab: u8,
    /// Nobody else on this machine is this lab.
    _lock: File,
}

impl Drop for Net {
    fn drop(&mut self) {
        // What was never made cannot be taken away. A namespace lives on until its last socket is forgotten, so the link
        // that would be in the next lab's way goes by name.
        let _ = Command::new("ip").args(["link", "del", &self.outside()]).stderr(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(self.resolver());
        for name in ["hub", "eth", "lte", "broker"] {
            let _ = Command::new("ip").args(["netns", "del", &self.space(name)]).stderr(Stdio::null()).status();
        }
    }
}

impl Net {
    /// Makes them.
    ///
    /// # Errors
    /// A tool is missing, or this is not root.
    pub fn make() -> Result<Self, LabError> {
        let (lab, _lock) = free_lab()?;
        let net = Self { tag: format!("vk{}x{lab}", std::process::id()), lab, _lock };
        for name in ["hub", "eth", "lte", "broker"] {
            let space = net.space(name);
            run("ip", &["netns", "add", &space])?;
            run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
        }
        let broker = net.space("broker");
        for address in [BROKER, OTHER_BROKER] {
            run("ip", &["-n", &broker, "addr", "add", &format!("{address}/32"), "dev", "lo"])?;
        }
        for way in &WAYS {
            net.lay(way)?;
        }
        // From this machine to the broker, for the centre.
        let outside = net.outside();
        run("ip", &["link", "add", "name", &outside, "type", "veth", "peer", "name", "lab0", "netns", &broker])?;
        run("ip", &["addr", "add", &format!("{}/30", net.here(1)), "dev", &outside])?;
        run("ip", &["link", "set", &outside, "up"])?;
        run("ip", &["-n", &broker, "addr", "add", &format!("{}/30", net.here(2)), "dev", "lab0"])?;
        run("ip", &["-n", &broker, "link", "set", "lab0", "up"])?;
        Ok(net)
    }

    fn lay(&self, way: &Way) -> Result<(), LabError> {
        let (hub, router, broker) = (self.space("hub"), self.space(way.path), self.space("broker"));
        let to_broker = format!("to-{}", way.path);
        let link = ["link", "add", "name", way.device, "type", "veth", "peer", "name", "hub0", "netns", &router];
        in_space(&hub, &link)?;
        let link = ["link", "add", "name", "net0", "type", "veth", "peer", "name", &to_broker, "netns", &broker];
        in_space(&router, &link)?;
        for (space, device, address) in [
            (&router, "hub0", way.router),
            (&router, "net0", way.router_inside),
            (&broker, to_broker.as_str(), way.broker_side),
        ] {
            in_space(space, &["addr", "add", &format!("{address}/30"), "dev", device])?;
            in_space(space, &["link", "set", device, "up"])?;
        }
        for address in [BROKER, OTHER_BROKER] {
            in_space(&router, &["route", "add", &format!("{address}/32"), "via", way.broker_side])?;
        }
        in_space(&broker, &["route", "add", way.network, "via", way.router_inside])?;
        run("ip", &["netns", "exec", &router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
        run("ip", &["netns", "exec", &router, "nft", "add table inet lab"])?;
        for chain in
            ["pass { type filter hook forward priority 0; }", "turn { type nat hook prerouting priority -100; }"]
        {
            run("ip", &["netns", "exec", &router, "nft", &format!("add chain inet lab {chain}")])?;
        }
        self.connect(way)
    }

    /// What a DHCP client does when the cable comes in.
    fn connect(&self, way: &Way) -> Result<(), LabError> {
        let hub = self.space("hub");
        in_space(&hub, &["addr", "replace", &format!("{}/30", way.hub), "dev", way.device])?;
        in_space(&hub, &["link", "set", way.device, "up"])?;
        let metric = way.metric.to_string();
        let route = ["route", "replace", "default", "via", way.router, "dev", way.device, "metric", &metric];
        in_space(&hub, &route)
    }

    /// What starts a program beside the hub.
    pub fn at_the_hub(&self) -> Vec<String> {
        self.inside("hub")
    }

    /// What starts a program beside the broker.
    pub fn at_the_broker(&self) -> Vec<String> {
        self.inside("broker")
    }

    /// What starts a program in a path's router, and that router's address towards the hub.
    ///
    /// # Errors
    /// There is no such path.
    pub fn at_the_router(&self, path: &str) -> Result<(Vec<String>, &'static str), LabError> {
        let way = way(path)?;
        Ok((self.inside(way.path), way.router))
    }

    /// Tells programs beside the hub that both routers are name servers, as a DHCP client would.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn name_servers(&self) -> Result<(), LabError> {
        let folder = self.resolver();
        std::fs::create_dir_all(&folder).map_err(LabError::io("making", folder.display()))?;
        let list: String = WAYS.iter().map(|way| format!("nameserver {}\n", way.router)).collect();
        let file = folder.join("resolv.conf");
        std::fs::write(&file, list).map_err(LabError::io("writing", file.display()))
    }

    /// What `ip netns exec` lays over /etc in the hub's namespace (ip-netns(8)).
    fn resolver(&self) -> PathBuf {
        Path::new("/etc/netns").join(self.space("hub"))
    }

    fn inside(&self, name: &str) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(name)].map(str::to_owned).to_vec()
    }

    /// Where hubs find the broker.
    pub fn broker(&self) -> SocketAddr {
        SocketAddr::from((BROKER.parse::<Ipv4Addr>().unwrap_or(Ipv4Addr::LOCALHOST), 8883))
    }

    /// Where this machine finds it.
    pub fn broker_from_here(&self) -> SocketAddr {
        SocketAddr::from((self.here(2), 1883))
    }

    /// Listens on a port of the broker's host.
    ///
    /// # Errors
    /// The port is taken, or the system refuses.
    pub fn listen_at_the_broker(&self, port: u16) -> Result<TcpListener, LabError> {
        let space = format!("/run/netns/{}", self.space("broker"));
        let address = SocketAddr::new(self.broker().ip(), port);
        // A thread of its own goes there and ends; the socket stays.
        let there = std::thread::spawn(move || {
            let there = File::open(space)?;
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind(address)
        });
        let bound = there.join().unwrap_or_else(|_| Err(io::Error::other("the thread fell")));
        bound.map_err(LabError::io("listening at the broker's host on", address))
    }

    /// Where hubs find the second broker.
    pub fn other_broker(&self) -> SocketAddr {
        SocketAddr::from((OTHER_BROKER.parse::<Ipv4Addr>().unwrap_or(Ipv4Addr::LOCALHOST), 8883))
    }

    /// Where this machine finds it.
    pub fn other_broker_from_here(&self) -> SocketAddr {
        SocketAddr::from((self.here(2), 1884))
    }

    /// The interface of a path at the hub.
    ///
    /// # Errors
    /// There is no such path.
    pub fn device(&self, path: &str) -> Result<&'static str, LabError> {
        Ok(way(path)?.device)
    }

    /// Breaks a path.
    ///
    /// # Errors
    /// There is no such path, or the system refuses.
    pub fn break_path(&self, path: &str, fault: Fault) -> Result<(), LabError> {
        let way = way(path)?;
        let (hub, router) = (self.space("hub"), self.space(way.path));
        let nft = |rule: &str| run("ip", &["netns", "exec", &router, "nft", &format!("add rule inet lab {rule}")]);
        let drop = |what: &str| nft(&format!("pass {what} drop"));
        match fault {
            Fault::Silent => drop("meta l4proto { tcp, udp, icmp }"),
            Fault::Uplink => drop("iifname hub0"),
            Fault::Downlink => drop("oifname hub0"),
            Fault::Loses(percent) => drop(&format!("numgen random mod 100 < {percent}")),
            Fault::Narrow(kbit) => ["hub0", "net0"].iter().try_for_each(|device| {
                let rate = format!("{kbit}kbit");
                let tbf = ["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", &rate, "burst", "1600"];
                let all: Vec<&str> =
                    ["netns", "exec", &router].into_iter().chain(tbf).chain(["latency", "5s"]).collect();
                run("ip", &all)
            }),
            Fault::Elsewhere(port) => {
                let broker = self.broker().port();
                nft(&format!("turn tcp dport {broker} dnat ip to {BROKER}:{port}"))?;
                nft(&format!("pass tcp dport {broker} reject with tcp reset"))
            }
            Fault::Carrier => in_space(&router, &["link", "set", "hub0", "down"]),
            Fault::Admin => in_space(&hub, &["link", "set", way.device, "down"]),
            Fault::Address => in_space(&hub, &["addr", "flush", "dev", way.device]),
        }
    }

    /// Mends it, whatever it was.
    ///
    /// # Errors
    /// There is no such path, or the system refuses.
    pub fn mend(&self, path: &str) -> Result<(), LabError> {
        let way = way(path)?;
        let router = self.space(way.path);
        for chain in ["pass", "turn"] {
            run("ip", &["netns", "exec", &router, "nft", &format!("flush chain inet lab {chain}")])?;
        }
        for device in ["hub0", "net0"] {
            // There is none to delete unless the path was narrow.
            let _ = run("ip", &["netns", "exec", &router, "tc", "qdisc", "del", "dev", device, "root"]);
        }
        in_space(&router, &["link", "set", "hub0", "up"])?;
        self.connect(way)
    }

    fn space(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// The link to the broker, at this machine.
    fn outside(&self) -> String {
        format!("vk{}a{}", std::process::id(), self.lab)
    }

    fn here(&self, host: u8) -> Ipv4Addr {
        here(self.lab, host)
    }
}

fn here(lab: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 128 + 4 * lab + host)
}

/// A lab that nobody is, in this process or in another: two of one number would have the same addresses.
fn free_lab() -> Result<(u8, File), LabError> {
    for lab in 0..LABS_MAX {
        let path = format!("/run/vakt-lab-{lab}.lock");
        let lock = File::options().create(true).append(true).open(&path).map_err(LabError::io("opening", &path))?;
        // A lab whose process was killed has left its address behind.
        let address = here(lab, 1).to_string();
        let found = Command::new("ip").args(["-o", "addr", "show", "to", &address]).output();
        let left = found.is_ok_and(|found| !found.stdout.is_empty());
        if !left && lock.try_lock().is_ok() {
            return Ok((lab, lock));
        }
    }
    Err(LabError::Misuse(format!("{LABS_MAX} labs with networks run on this machine; wait until one has ended")))
}

fn way(path: &str) -> Result<&'static Way, LabError> {
    let found = WAYS.iter().find(|way| way.path == path);
    found.ok_or_else(|| LabError::Misuse(format!("the lab has no path {path}")))
}

fn in_space(space: &str, args: &[&str]) -> Result<(), LabError> {
    let all: Vec<&str> = ["-n", space].into_iter().chain(args.iter().copied()).collect();
    run("ip", &all)
}

pub(super) fn run(program: &str, args: &[&str]) -> Result<(), LabError> {
    let on = || format!("{program} {}", args.join(" "));
    let done = Command::new(program).args(args).stdin(Stdio::null()).output();
    let done = match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let install = "apt-get install iproute2 nftables dnsmasq-base".to_owned();
            return Err(LabError::Tool { tool: program.to_owned(), install });
        }
        done => done.map_err(LabError::io("running", on()))?,
    };
    if done.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(LabError::Ended { what: on(), status: done.status.to_string(), log })
}
