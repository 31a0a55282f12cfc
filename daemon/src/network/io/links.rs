//! The kernel's word about network interfaces, over rtnetlink. A message of the kernel is only a bell: it may be lost when
//! many come at once, so at each ring, and now and then, the tables themselves are read.

use crate::network::links::Dump;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::address::AddressScope;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::link::LinkFlags;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio::time::timeout;
use vakt_core::port::Links;

/// Without a ring the tables are read again after this.
const AGAIN: Duration = Duration::from_secs(30);
/// The wait when the kernel does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Tells how the interfaces stand, whenever that changes, until nobody listens. `None`: the kernel does not say.
pub async fn watch(to: watch::Sender<Option<Arc<Links>>>) {
    while !to.is_closed() {
        if let Err(error) = follow(&to).await {
            tracing::warn!(%error, "the kernel does not say how its interfaces stand; a cable that is out is noticed late");
            to.send_replace(None);
            sleep(PAUSE).await;
        }
    }
}

/// Why the kernel's word is missing.
#[derive(Debug, Error)]
enum Unheard {
    #[error("opening a netlink socket: {0}")]
    Open(io::Error),
    #[error("reading the kernel's tables: {0}")]
    Tables(#[from] rtnetlink::Error),
    #[error("the netlink socket was closed")]
    Closed,
}

async fn follow(to: &watch::Sender<Option<Arc<Links>>>) -> Result<(), Unheard> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let opened = rtnetlink::new_multicast_connection(&groups);
    let (connection, handle, mut rings) = opened.map_err(Unheard::Open)?;
    let connection = tokio::spawn(connection);
    let _end = AbortOnDrop(connection.abort_handle());
    while !to.is_closed() {
        let links = dump(&handle).await?;
        to.send_if_modified(|known| {
            let changed = known.as_deref() != Some(&links);
            *known = Some(Arc::new(links));
            changed
        });
        match timeout(AGAIN, rings.next()).await {
            Ok(None) => return Err(Unheard::Closed),
            // One look answers for all that have rung meanwhile.
            Ok(Some(_)) => while rings.try_recv().is_ok() {},
            Err(_) => {}
        }
    }
    Ok(())
}

async fn dump(handle: &Handle) -> Result<Links, rtnetlink::Error> {
    let mut dump = Dump::default();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let running = link.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
        let name = link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        if let Some(name) = name {
            dump.interface(link.header.index, name, running);
        }
    }
    let mut addresses = handle.address().get().execute();
    while let Some(address) = addresses.try_next().await? {
        if matches!(address.header.scope, AddressScope::Universe | AddressScope::Site) {
            dump.address(address.header.index);
        }
    }
    Ok(dump.links())
}

/// Ends a task with its owner.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
