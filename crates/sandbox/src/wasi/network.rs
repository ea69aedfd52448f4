//! Sockets: only granted names are looked up, and only granted addresses are connected to.
//!
//! An address is granted if it stands in the grants, or if it was the answer to a lookup of a granted
//! name by the same instance. Who listens for connections is refused, whatever was granted.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    self, ErrorCode, HostResolveAddressStream, IpAddress, Network, Pollable, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use crate::grants::{Address, Host};
use crate::refusals::Refusals;
use crate::state::State;

/// The most addresses that an instance remembers of its lookups; later ones are not connected to.
const LOOKED_UP_MAX: usize = 1_000;

/// How many lookups a call may give up before they are answered: the operating system goes on with each,
/// on threads that all handlers share.
const ABANDONED_MAX: u32 = 100;

/// What one instance may reach.
pub(crate) struct NetworkAccess {
    granted: Vec<Address>,
    refusals: Arc<Refusals>,
    /// Locked for one look or note; an instance runs one call at a time.
    looked_up: Mutex<LookedUp>,
}

#[derive(Default)]
struct LookedUp {
    /// The lookups that the instance holds, by their handle.
    lookups: HashMap<u32, Lookup>,
    /// How many the running call has given up before they were answered.
    abandoned: u32,
    /// What they answered.
    names: HashMap<IpAddr, Vec<String>>,
}

struct Lookup {
    /// None where an address was given for a name.
    name: Option<String>,
    is_answered: bool,
}

impl NetworkAccess {
    pub(crate) fn new(granted: &[Address], refusals: Arc<Refusals>) -> NetworkAccess {
        NetworkAccess { granted: granted.to_vec(), refusals, looked_up: Mutex::default() }
    }

    /// Whether the instance may use an address so.
    pub(crate) fn permits(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        let (permits, what) = match purpose {
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                (self.is_granted(address), "connect to")
            }
            // A connection starts from an address of the operating system's choice.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                let is_any = address.ip().is_unspecified() && address.port() == 0;
                (is_any && !self.granted.is_empty(), "bind to")
            }
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => (false, "listen on"),
        };
        // The implicit bind comes just before the connection, which is what there is to tell.
        let is_implicit = what == "bind to" && address.port() == 0;
        if !permits && is_implicit {
            self.refusals.note("use", "sockets");
        } else if !permits {
            self.refusals.note(what, address);
        }
        permits
    }

    fn is_granted(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let looked_up = self.looked_up();
        let names = looked_up.names.get(&ip);
        self.granted.iter().any(|granted| {
            granted.port == address.port()
                && match &granted.host {
                    Host::Ip(granted) => *granted == ip,
                    Host::Name(name) => names.is_some_and(|names| names.contains(name)),
                }
        })
    }

    /// Starts a call: what an earlier one gave up is forgotten.
    pub(crate) fn start_call(&self) {
        self.looked_up().abandoned = 0;
    }

    fn looked_up(&self) -> MutexGuard<'_, LookedUp> {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a host may be looked up.
    fn permits_lookup(&self, host: &Host) -> bool {
        self.granted.iter().any(|granted| granted.host == *host)
    }

    fn begin_lookup(&self, handle: u32, host: Host) {
        let name = match host {
            Host::Name(name) => Some(name),
            // An address answers with itself, and is granted or not as it stands.
            Host::Ip(_) => None,
        };
        self.looked_up().lookups.insert(handle, Lookup { name, is_answered: false });
    }

    fn note_answer(&self, handle: u32, ip: Option<IpAddr>) {
        let mut looked_up = self.looked_up();
        let LookedUp { lookups, names, .. } = &mut *looked_up;
        let Some(lookup) = lookups.get_mut(&handle) else { return };
        lookup.is_answered = true;
        if let Some((name, ip)) = lookup.name.as_ref().zip(ip)
            && names.len() < LOOKED_UP_MAX
        {
            let names = names.entry(ip.to_canonical()).or_default();
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }

    fn end_lookup(&self, handle: u32) {
        let mut looked_up = self.looked_up();
        let lookup = looked_up.lookups.remove(&handle);
        looked_up.abandoned += u32::from(lookup.is_some_and(|lookup| !lookup.is_answered));
    }
}

/// Puts lookups of names in place of WASI's own.
pub(super) fn add_lookup_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    ip_name_lookup::add_to_linker::<State, Lookups>(linker, |state| {
        let network = Arc::clone(&state.network);
        LookupView { network, sockets: state.sockets() }
    })
}

struct Lookups;

impl HasData for Lookups {
    type Data<'a> = LookupView<'a>;
}

/// WASI's own lookups behind the grants of an instance.
struct LookupView<'a> {
    network: Arc<NetworkAccess>,
    sockets: WasiSocketsCtxView<'a>,
}

impl ip_name_lookup::Host for LookupView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        let Ok(host) = name.parse::<Host>() else { return Err(ErrorCode::InvalidArgument.into()) };
        if !self.network.permits_lookup(&host) {
            self.network.refusals.note("look up", &name);
            return Err(ErrorCode::AccessDenied.into());
        }
        if self.network.looked_up().abandoned >= ABANDONED_MAX {
            return Err(ErrorCode::TemporaryResolverFailure.into());
        }
        let stream = ip_name_lookup::Host::resolve_addresses(&mut self.sockets, network, name)?;
        self.network.begin_lookup(stream.rep(), host);
        Ok(stream)
    }
}

/// The same as WASI's own: an error's code is in it.
impl network::Host for LookupView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl network::HostNetwork for LookupView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

impl HostResolveAddressStream for LookupView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let handle = stream.rep();
        let answer = self.sockets.resolve_next_address(stream);
        let is_pending = |error: &SocketError| {
            error.downcast_ref().is_some_and(|code| *code == ErrorCode::WouldBlock)
        };
        if !answer.as_ref().is_err_and(is_pending) {
            let address = answer.as_ref().ok().copied().flatten();
            self.network.note_answer(handle, address.map(ip));
        }
        answer
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<Pollable>> {
        self.sockets.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.network.end_lookup(stream.rep());
        HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => [a, b, c, d].into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => [a, b, c, d, e, f, g, h].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(granted: &[&str]) -> NetworkAccess {
        let granted: Vec<Address> = granted.iter().map(|text| text.parse().unwrap()).collect();
        NetworkAccess::new(&granted, Arc::new(Refusals::new("f")))
    }

    fn connects(access: &NetworkAccess, address: &str) -> bool {
        access.permits(address.parse().unwrap(), SocketAddrUse::TcpConnect)
    }

    #[test]
    fn an_address_is_granted_with_its_port_in_whatever_form() {
        let access = access(&["10.0.0.7:53", "[::1]:80"]);
        assert!(connects(&access, "10.0.0.7:53") && connects(&access, "[::ffff:10.0.0.7]:53"));
        assert!(connects(&access, "[::1]:80"));
        for refused in ["10.0.0.7:54", "10.0.0.8:53", "[::1]:53", "127.0.0.1:80"] {
            assert!(!connects(&access, refused), "{refused}");
        }
    }

    #[test]
    fn a_names_addresses_are_granted_once_it_was_looked_up() {
        let access = access(&["db.local:5432"]);
        let ip: IpAddr = "10.0.0.7".parse().unwrap();
        assert!(!connects(&access, "10.0.0.7:5432"));
        access.begin_lookup(3, "DB.local".parse().unwrap());
        access.note_answer(4, Some(ip));
        assert!(!connects(&access, "10.0.0.7:5432"), "another lookup");
        access.note_answer(3, Some(ip));
        assert!(connects(&access, "10.0.0.7:5432"));
        assert!(!connects(&access, "10.0.0.7:5433"));
        assert!(!access.permits_lookup(&"other.local".parse().unwrap()));
    }

    #[test]
    fn nobody_listens_and_nothing_is_bound_to_an_address_of_choice() {
        let access = access(&["10.0.0.7:53"]);
        let address = |text: &str| text.parse().unwrap();
        assert!(access.permits(address("0.0.0.0:0"), SocketAddrUse::UdpBind));
        for (text, purpose) in [
            ("0.0.0.0:53", SocketAddrUse::UdpBind),
            ("10.0.0.7:53", SocketAddrUse::TcpBind),
            ("0.0.0.0:0", SocketAddrUse::TcpListen),
            ("10.0.0.7:53", SocketAddrUse::TcpAccept),
        ] {
            assert!(!access.permits(address(text), purpose), "{text} {purpose:?}");
        }
        assert!(!self::access(&[]).permits(address("0.0.0.0:0"), SocketAddrUse::TcpBind));
    }
}
