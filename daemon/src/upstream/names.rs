//! Finding a broker's addresses: which name servers there are, what they are asked and what their answers say.
//!
//! Pure. It believes no answer more than another and needs not: whoever lies about an address has no certificate of the
//! pinned authority, so a lie costs an attempt, and the next address is tried.

use core::net::IpAddr;
use core::net::Ipv4Addr;
use core::net::Ipv6Addr;
use core::net::SocketAddr;
use simple_dns::CLASS;
use simple_dns::Name;
use simple_dns::Packet;
use simple_dns::PacketFlag;
use simple_dns::QCLASS;
use simple_dns::QTYPE;
use simple_dns::Question;
use simple_dns::TYPE;
use simple_dns::rdata::RData;

/// Name servers asked; of a longer list the rest is not.
pub const SERVERS_MAX: usize = 8;
/// Addresses taken of one broker; of a longer answer the rest is not.
pub const ADDRESSES_MAX: usize = 8;
/// The port of name servers (RFC 1035, 4.2).
const PORT: u16 = 53;
/// What is asked for.
const TYPES: [TYPE; 2] = [TYPE::A, TYPE::AAAA];

/// The name servers of resolv.conf files, each once, in their order. A server on this board, such as systemd-resolved's
/// stub, is left out: it answers on loopback alone and asks by the route it likes. A zone such as `%eth0` is dropped: the
/// socket is bound to an interface.
pub fn servers<'a>(files: impl IntoIterator<Item = &'a str>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for line in files.into_iter().flat_map(str::lines) {
        let mut words = line.split_whitespace();
        let (Some("nameserver"), Some(address)) = (words.next(), words.next()) else { continue };
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        let Ok(address) = address.parse::<IpAddr>() else { continue };
        let server = SocketAddr::new(address, PORT);
        if !address.is_loopback() && !address.is_unspecified() && !found.contains(&server) && found.len() < SERVERS_MAX
        {
            found.push(server);
        }
    }
    found
}

/// Looking for one name: every server is asked for both kinds of address at once, and the first that knows one is enough.
#[derive(Debug)]
pub struct Search {
    name: String,
    ids: [u16; 2],
    /// Whom was asked for what, and whether the answer came.
    asked: Vec<(SocketAddr, usize, bool)>,
    found: Vec<IpAddr>,
}

impl Search {
    /// For this name at these servers. The ids are drawn from `random`, so that who cannot see a question cannot answer it.
    ///
    /// # Errors
    /// The name is none, in a sentence.
    pub fn begin(name: &str, servers: &[SocketAddr], random: u32) -> Result<Self, String> {
        Name::new(name).map_err(|e| format!("`{name}` is no name that a name server could know: {e}"))?;
        let low = u16::try_from(random & 0xFFFF).unwrap_or(0);
        let high = u16::try_from(random >> 16).unwrap_or(1);
        // the two must differ, or an answer would not say which question it belongs to
        let ids = [low, if high == low { high ^ 1 } else { high }];
        let asked = servers.iter().flat_map(|server| [(*server, 0, false), (*server, 1, false)]).collect();
        Ok(Self { name: name.to_owned(), ids, asked, found: Vec::new() })
    }

    /// What is to be sent to whom: whatever has no answer yet.
    pub fn questions(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        let open = self.asked.iter().filter(|(_, _, answered)| !answered);
        open.filter_map(|(server, kind, _)| Some((*server, question(&self.name, self.ids[*kind], TYPES[*kind])?)))
            .collect()
    }

    /// Something came from there. What is no answer to a question of ours changes nothing.
    pub fn told(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let Some(kind) = self.ids.iter().position(|id| *id == packet.id()) else { return };
        let same = |question: &Question<'_>| question.qname.to_string().eq_ignore_ascii_case(&self.name);
        let open = self.asked.iter_mut().find(|(server, of, answered)| {
            // a link-local address has its interface's number in an answer only
            let same = (server.ip(), server.port()) == (from.ip(), from.port());
            same && *of == kind && !answered && packet.has_flags(PacketFlag::RESPONSE)
        });
        let (Some((_, _, answered)), true) = (open, packet.questions.iter().all(same)) else { return };
        *answered = true;
        for record in &packet.answers {
            let address = match &record.rdata {
                RData::A(a) => IpAddr::V4(Ipv4Addr::from(a.address)),
                RData::AAAA(aaaa) => IpAddr::V6(Ipv6Addr::from(aaaa.address)),
                _ => continue,
            };
            if !self.found.contains(&address) && self.found.len() < ADDRESSES_MAX {
                self.found.push(address);
            }
        }
    }

    /// Nothing can be sent there.
    pub fn unreachable(&mut self, server: SocketAddr) {
        for (asked, _, answered) in &mut self.asked {
            *answered |= *asked == server;
        }
    }

    /// Whether more waiting is of no use: one server has said all it knows and it was something, or all have.
    pub fn is_over(&self) -> bool {
        let whole = |server: &SocketAddr| self.asked.iter().all(|(of, _, answered)| of != server || *answered);
        if self.found.is_empty() {
            self.asked.iter().all(|(_, _, answered)| *answered)
        } else {
            self.asked.iter().any(|(server, _, _)| whole(server))
        }
    }

    /// What was found.
    pub fn found(&self) -> &[IpAddr] {
        &self.found
    }
}

fn question(name: &str, id: u16, of: TYPE) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(of), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::A;

    const NAME: &str = "arc.example";

    fn server(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 53))
    }

    fn answer(to: &[u8], address: Option<u32>) -> Vec<u8> {
        let asked = Packet::parse(to).unwrap();
        let mut packet = Packet::new_reply(asked.id());
        packet.questions.extend(asked.questions.iter().cloned());
        let record = |address| ResourceRecord::new(Name::new(NAME).unwrap(), CLASS::IN, 60, RData::A(A { address }));
        packet.answers.extend(address.map(record));
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn servers_on_this_board_are_not_asked() {
        let stub = "# made by hand\nnameserver 127.0.0.53\noptions edns0 trust-ad\n";
        let uplink = "nameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver not-one\nnameserver 192.0.2.53\n";
        let v6: SocketAddr = "[fe80::1]:53".parse().unwrap();
        assert_eq!(servers([stub, uplink]), [server(53), v6]);
        let many: String = (0..20).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        assert_eq!(servers([many.as_str()]).len(), SERVERS_MAX);
    }

    #[test]
    fn the_first_server_that_knows_it_is_enough_and_a_dead_one_in_no_ones_way() {
        let mut search = Search::begin(NAME, &[server(1), server(2)], 7).unwrap();
        let questions = search.questions();
        assert_eq!(questions.len(), 4);
        let (asked, v4) = &questions[2];
        search.told(*asked, &answer(v4, Some(0xC000_0205)));
        assert!(!search.is_over(), "it has not said whether it knows an IPv6 address");
        assert_eq!(search.questions().len(), 3);
        search.told(*asked, &answer(&questions[3].1, None));
        assert!(search.is_over());
        assert_eq!(search.found(), ["192.0.2.5".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_server_that_knows_nothing_ends_nothing_while_another_may() {
        let mut search = Search::begin(NAME, &[server(1), server(2)], 9).unwrap();
        let questions = search.questions();
        for (asked, question) in &questions[..2] {
            search.told(*asked, &answer(question, None));
        }
        assert!(!search.is_over());
        search.unreachable(server(2));
        assert!(search.is_over());
        assert!(search.found().is_empty());
    }

    #[test]
    fn what_answers_no_question_changes_nothing() {
        let mut search = Search::begin(NAME, &[server(1)], 0x0002_0001).unwrap();
        let questions = search.questions();
        let good = answer(&questions[0].1, Some(1));
        search.told(server(9), &good);
        search.told(server(1), &good[..good.len() / 2]);
        search.told(server(1), &questions[0].1);
        let mut other = good.clone();
        other[0] ^= 0x40;
        search.told(server(1), &other);
        let mut other = good.clone();
        other[13] ^= 1;
        search.told(server(1), &other);
        assert!(search.found().is_empty());
        search.told(server(1), &good);
        assert_eq!(search.found().len(), 1);
        search.told(server(1), &answer(&questions[0].1, Some(2)));
        assert_eq!(search.found().len(), 1, "one answer a question");
    }

    #[test]
    fn a_router_that_answers_from_its_link_local_address_is_heard() {
        let router = servers(["nameserver fe80::1%eth0"]);
        let mut search = Search::begin(NAME, &router, 3).unwrap();
        let questions = search.questions();
        let from = SocketAddr::V6(core::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 7));
        search.told(from, &answer(&questions[0].1, Some(1)));
        assert_eq!(search.found().len(), 1);
    }

    #[test]
    fn a_name_that_is_none_is_said_so() {
        let long = format!("{}.example", "a".repeat(64));
        assert!(Search::begin(&long, &[server(1)], 1).unwrap_err().contains("no name"));
        assert!(Search::begin(NAME, &[server(1)], 0x0005_0005).unwrap().questions().len() == 2);
    }
}
