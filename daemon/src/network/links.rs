//! How each network interface stands, from what the kernel tells of it. Data in, data out; it asks nothing and changes no
//! link, address or route: those are the system's.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use vakt_core::port::LinkState;
use vakt_core::port::Links;

/// One dump of the kernel's tables.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    interfaces: BTreeMap<u32, (String, bool)>,
    addressed: BTreeSet<u32>,
}

impl Dump {
    /// An interface: whether it is switched on and has its carrier (IFF_UP and IFF_RUNNING).
    pub fn interface(&mut self, index: u32, name: String, running: bool) {
        self.interfaces.insert(index, (name, running));
    }

    /// An address that reaches further than its own cable.
    pub fn address(&mut self, index: u32) {
        self.addressed.insert(index);
    }

    /// What it says of every interface.
    pub fn links(&self) -> Links {
        let state = |index: &u32, running: bool| match (running, self.addressed.contains(index)) {
            (false, _) => LinkState::NoCarrier,
            (true, false) => LinkState::NoAddress,
            (true, true) => LinkState::Well,
        };
        self.interfaces.iter().map(|(index, (name, running))| (name.clone(), state(index, *running))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_carrier_an_address_is_worth_nothing() {
        let mut dump = Dump::default();
        dump.interface(1, "eth0".to_owned(), true);
        dump.interface(2, "wwan0".to_owned(), false);
        dump.interface(3, "usb0".to_owned(), true);
        [1, 2, 9].into_iter().for_each(|index| dump.address(index));
        let links = dump.links();
        assert_eq!(links.get("eth0"), Some(&LinkState::Well));
        assert_eq!(links.get("wwan0"), Some(&LinkState::NoCarrier));
        assert_eq!(links.get("usb0"), Some(&LinkState::NoAddress));
        assert_eq!(links.len(), 3, "what has no name is nobody's");
    }
}
