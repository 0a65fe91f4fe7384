//! The places of a port's connections. If all are taken, a new connection takes the place of another one.
//!
//! Anyone can connect, so the number of connections alone would let one client keep all others out. A connection with a call of
//! an admitted principal is *kept*: no other connection takes its place. One principal has at most half of the places, and a part
//! of the places is never kept, so that probes and new callers always find one. All other connections give way: first those of
//! the network with most of them, and of these the least recently used.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::Principal,
    edge::{
        holder_limit::{HolderLimit, HolderPermit},
        limits::ConnectionLimits,
        refusal_log::RefusalLog,
    },
};

/// One of this number of places is not kept for any principal.
const NOT_KEPT: usize = 16;

/// One principal may have the places divided by this number.
const PRINCIPALS: usize = 2;

/// The places of a port. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Places>);

#[derive(Debug)]
struct Places {
    max: usize,
    kept: HolderLimit<Principal>,
    clock: Clock,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    /// Grows with each use of a connection.
    uses: u64,
    /// The connections that give way, by their last use. No network is empty.
    giving_way: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    displaced: RefusalLog,
}

/// A connection, for its requests. Clones are the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The IPv4 address of the client, or the /64 of its IPv6 address: one host may have a whole /64.
    pub(crate) network: IpAddr,
    /// For calls without a credential.
    pub(crate) limits: ConnectionLimits,
    places: Arc<Places>,
    place: Arc<Mutex<Retention>>,
    /// Spares the requests of a kept connection the lock of all places.
    is_kept: Arc<AtomicBool>,
    displaced: CancellationToken,
}

/// Where a connection stands.
#[derive(Debug)]
enum Retention {
    /// It gives way. Holds its last use.
    GivesWay(u64),
    /// It is kept for a principal.
    Kept { _share: HolderPermit<Principal> },
}

/// Gives the place of a connection back.
#[derive(Debug)]
pub(super) struct OpenConnection(pub(super) Connection);

impl Connections {
    /// At most `max` connections, at least 1.
    pub(super) fn new(max: usize, clock: &Clock) -> Self {
        let not_kept = max.div_ceil(NOT_KEPT);
        Self(Arc::new(Places {
            max,
            kept: HolderLimit::new(max.saturating_sub(not_kept), max.div_ceil(PRINCIPALS)),
            clock: clock.clone(),
            taken: Mutex::default(),
        }))
    }

    /// Gives a new connection a place, if need be that of another connection.
    pub(super) fn open(&self, address: SocketAddr) -> OpenConnection {
        let (network, displaced) = (network(address), CancellationToken::new());
        let mut taken = self.0.taken();
        if taken.count >= self.0.max {
            taken.displace_one(&self.0.clock);
        }
        taken.count += 1;
        let last_use = taken.give_way(network, displaced.clone());
        OpenConnection(Connection {
            network,
            limits: ConnectionLimits::default(),
            places: self.0.clone(),
            place: Arc::new(Mutex::new(Retention::GivesWay(last_use))),
            is_kept: Arc::default(),
            displaced,
        })
    }
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Adds a connection to those that give way, as the last used one.
    fn give_way(&mut self, network: IpAddr, displaced: CancellationToken) -> u64 {
        self.uses += 1;
        self.giving_way.entry(network).or_default().insert(self.uses, displaced);
        self.uses
    }

    /// Takes a connection out of those that give way. `None`: it was displaced.
    fn take_out(&mut self, network: IpAddr, last_use: u64) -> Option<CancellationToken> {
        let of_network = self.giving_way.get_mut(&network)?;
        let displaced = of_network.remove(&last_use)?;
        if of_network.is_empty() {
            self.giving_way.remove(&network);
        }
        Some(displaced)
    }

    fn displace_one(&mut self, clock: &Clock) {
        let least_recently_used = self
            .giving_way
            .iter()
            .filter_map(|(network, connections)| {
                Some((connections.len(), Reverse(*connections.keys().next()?), *network))
            })
            .max();
        let Some((_, Reverse(last_use), network)) = least_recently_used else {
            return;
        };
        if let Some(displaced) = self.take_out(network, last_use) {
            displaced.cancel();
            self.count -= 1;
        }
        if let Some(connections) = self.displaced.count(clock.monotonic_now()) {
            tracing::warn!(
                connections,
                %network,
                "all connections of a port were in use: connections without an admitted call were closed for new ones (API: server.max_connections)"
            );
        }
    }
}

impl Connection {
    /// Completes when another connection has taken the place.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// Notes a request: the connection becomes the most recently used one.
    pub(super) fn used(&self) {
        if self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let mut place = self.place();
        if let Retention::GivesWay(last_use) = &mut *place {
            let mut taken = self.places.taken();
            if let Some(displaced) = taken.take_out(self.network, *last_use) {
                *last_use = taken.give_way(self.network, displaced);
            }
        }
    }

    /// Keeps the connection for an admitted principal, if the principal's share allows it. Otherwise it continues to give way.
    pub(crate) fn keep(&self, principal: &Principal) {
        if self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let mut place = self.place();
        let Retention::GivesWay(last_use) = *place else { return };
        let Some(share) = self.places.kept.take(principal) else {
            return;
        };
        if self.places.taken().take_out(self.network, last_use).is_some() {
            *place = Retention::Kept { _share: share };
            self.is_kept.store(true, Ordering::Relaxed);
        }
    }

    fn place(&self) -> MutexGuard<'_, Retention> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let Self(connection) = self;
        let mut place = connection.place();
        let mut taken = connection.places.taken();
        let had_a_place = match *place {
            Retention::GivesWay(last_use) => taken.take_out(connection.network, last_use).is_some(),
            Retention::Kept { .. } => true,
        };
        if had_a_place {
            taken.count -= 1;
        }
        // Requests may hold the connection for longer. Later calls of `used` and `keep` do nothing, and a principal's permit is
        // given back.
        *place = Retention::GivesWay(0);
    }
}

fn network(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

#[cfg(test)]
pub(crate) fn connection(address: SocketAddr) -> Connection {
    let opened = Connections::new(1, &Clock::system()).open(address);
    opened.0.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port with some connections that stay open.
    struct Port {
        connections: Connections,
        open: Vec<OpenConnection>,
    }

    impl Port {
        fn new(max: usize) -> Self {
            Self {
                connections: Connections::new(max, &Clock::system()),
                open: Vec::new(),
            }
        }

        /// Opens a connection. Returns its number.
        fn connect(&mut self, address: &str) -> usize {
            self.open.push(self.connections.open(address.parse().unwrap()));
            self.open.len() - 1
        }

        fn connection(&self, number: usize) -> &Connection {
            &self.open[number].0
        }

        fn keep(&self, number: usize, principal: &str) {
            self.connection(number).keep(&principal.parse().unwrap());
        }

        /// The numbers of the connections that were displaced.
        fn displaced(&self) -> Vec<usize> {
            let numbers = 0..self.open.len();
            numbers
                .filter(|number| self.connection(*number).displaced.is_cancelled())
                .collect()
        }
    }

    #[test]
    fn the_network_with_most_connections_gives_way_and_its_least_recently_used_one_first() {
        let mut port = Port::new(4);
        port.connect("192.0.2.1:1");
        for number in 1..4 {
            port.connect(&format!("192.0.2.9:{number}"));
        }
        port.connection(1).used();
        port.connect("192.0.2.2:1");
        assert_eq!(port.displaced(), [2]);
        port.connect("192.0.2.3:1");
        assert_eq!(port.displaced(), [2, 3]);
        // Each network has one connection: the least recently used of all gives way.
        port.connect("192.0.2.4:1");
        assert_eq!(port.displaced(), [0, 2, 3]);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_network() {
        let mut port = Port::new(3);
        port.connect("192.0.2.1:1");
        port.connect("[2001:db8::1]:1");
        port.connect("[2001:db8::ffff]:1");
        port.connect("[2001:db8:0:1::1]:1");
        assert_eq!(port.displaced(), [1]);
        assert_eq!(
            network("[::ffff:192.0.2.1]:1".parse().unwrap()),
            network("192.0.2.1:2".parse().unwrap())
        );
    }

    #[test]
    fn a_connection_of_an_admitted_principal_is_kept() {
        let mut port = Port::new(4);
        let kept = port.connect("192.0.2.1:1");
        port.keep(kept, "caller");
        for number in 0..20 {
            port.connect(&format!("192.0.2.1:{number}"));
        }
        assert!(!port.displaced().contains(&kept));
        assert_eq!(port.displaced().len(), 17, "the port is full, and no more than full");
    }

    #[test]
    fn one_principal_keeps_at_most_half_of_the_places() {
        let mut port = Port::new(8);
        for number in 0..8 {
            let number = port.connect(&format!("192.0.2.1:{number}"));
            port.keep(number, "greedy");
        }
        for number in 0..4 {
            let number = port.connect(&format!("192.0.2.2:{number}"));
            port.keep(number, "modest");
        }
        assert_eq!(port.displaced(), [4, 5, 6, 7]);
    }

    #[test]
    fn there_is_always_a_place_that_is_not_kept() {
        let mut port = Port::new(8);
        for number in 0..20 {
            let number = port.connect(&format!("192.0.2.{number}:1"));
            port.keep(number, &format!("caller-{number}"));
        }
        let open = port.open.len() - port.displaced().len();
        assert_eq!(open, 8);
        let kept = (0..7).collect::<Vec<_>>();
        assert!(port.displaced().iter().all(|number| !kept.contains(number)));
        let probe = port.connect("192.0.2.99:1");
        assert!(!port.displaced().contains(&probe));
    }

    #[test]
    fn a_closed_connection_gives_its_place_and_its_share_back() {
        let mut port = Port::new(2);
        for _ in 0..10 {
            let first = port.connect("192.0.2.1:1");
            let second = port.connect("192.0.2.1:2");
            port.keep(first, "caller");
            assert_eq!(port.displaced(), Vec::<usize>::new());
            // A request that outlives its connection cannot keep the place again.
            let late = port.connection(second).clone();
            port.open.clear();
            late.keep(&"caller".parse().unwrap());
            late.used();
            assert_eq!(port.connections.0.taken().count, 0);
            assert_eq!(port.connections.0.kept.holders(), 0);
            assert!(port.connections.0.taken().giving_way.is_empty());
        }
    }
}
