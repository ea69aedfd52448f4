//! Outgoing requests of `wasi:http`, to granted hosts only.
//!
//! A request elsewhere is refused with `HTTP-request-denied`. To follow a redirect is the handler's
//! own affair, and asks here again.

use std::future::Future;
use std::sync::Arc;

use http::Request;
use http::uri::Scheme;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest, Method, OutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpHooks, WasiHttpView, default_hooks,
};

use crate::grants::{Host, HttpHost};
use crate::refusals::Refusals;
use crate::state::State;

/// The interface in the version that this version of wasmtime links; a test sends through it.
const TYPES: &str = "wasi:http/types@0.2.12";

/// The longest method or authority of a request. WASI's own implementation keeps any, so a handler
/// could make the host hold gigabytes in requests that it never sends.
const NAME_BYTES_MAX: usize = 8 * 1024;

/// What of a body the host holds until the network takes it. WASI's own implementation holds 1 MiB,
/// of each request that a handler prepares.
const BODY_CHUNK_BYTES: usize = 64 * 1024;

/// Puts bounded names of methods and authorities in place of WASI's own.
pub(super) fn add_names_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, State>,
         (request, method): (Resource<OutgoingRequest>, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > NAME_BYTES_MAX) {
                return Ok((Err(()),));
            }
            store.data_mut().http().set_method(request, method).map(|set| (set,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, State>,
         (request, authority): (Resource<OutgoingRequest>, Option<String>)| {
            if authority.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
                return Ok((Err(()),));
            }
            store.data_mut().http().set_authority(request, authority).map(|set| (set,))
        },
    )
}

/// The hosts that an instance may send requests to.
pub(crate) struct HttpAccess {
    granted: Vec<HttpHost>,
    refusals: Arc<Refusals>,
}

impl HttpAccess {
    pub(crate) fn new(granted: &[HttpHost], refusals: Arc<Refusals>) -> HttpAccess {
        HttpAccess { granted: granted.to_vec(), refusals }
    }

    fn permits(&self, uri: &http::Uri) -> bool {
        let Some(authority) = uri.authority() else { return false };
        // With a user in front it would be another host than it looks.
        if authority.as_str().contains('@') {
            return false;
        }
        let Ok(host) = authority.host().parse::<Host>() else { return false };
        let usual = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let port = authority.port_u16().unwrap_or(usual);
        let mut granted = self.granted.iter();
        granted.any(|granted| granted.host == host && granted.port.unwrap_or(usual) == port)
    }
}

impl WasiHttpHooks for HttpAccess {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<
        dyn Future<
                Output = Result<
                    (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>),
                    Error,
                >,
            > + Send,
    > {
        if self.permits(request.uri()) {
            return default_hooks().send_request(request, options, processed);
        }
        // Without path and query, which may hold secrets.
        let authority = request.uri().authority().map_or("", http::uri::Authority::as_str);
        self.refusals.note("send a request to", authority);
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_granted_at_the_port_of_its_scheme_or_at_its_own() {
        let granted = ["api.example.com", "localhost:8080", "10.0.0.7"];
        let granted: Vec<HttpHost> = granted.iter().map(|text| text.parse().unwrap()).collect();
        let access = HttpAccess::new(&granted, Arc::new(Refusals::new("f")));
        let permits = |uri: &str| access.permits(&uri.parse().unwrap());
        for uri in [
            "https://api.example.com/x",
            "http://API.example.com/",
            "https://api.example.com:443/",
            "http://localhost:8080/",
            "http://10.0.0.7/",
        ] {
            assert!(permits(uri), "{uri}");
        }
        for uri in [
            "https://example.com/",
            "https://api.example.com:80/",
            "https://x.api.example.com/",
            "http://localhost/",
            "https://api.example.com@evil.com/",
            "https://evil.com@api.example.com/",
            "/path",
        ] {
            assert!(!permits(uri), "{uri}");
        }
    }
}
