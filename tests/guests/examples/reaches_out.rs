//! Reaches for the network in every way that WASI 0.2 has. The event is the way and where to, with
//! `N times` in front to do it so often; the answer is what came of the last.

use gristmill_test_guests::{Answer, handler};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, OutgoingRequest, Scheme};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn reach(event: String) -> Answer {
    let (times, event) = match event.split_once(" times ") {
        Some((times, rest)) => (times.parse().unwrap_or(1), rest.to_owned()),
        None => (1, event),
    };
    let words: Vec<&str> = event.split(' ').collect();
    let mut answer = String::new();
    for _ in 0..times {
        answer = match words[..] {
            ["tcp", to] => shown(connect(address(to)).map(|_socket| "connected".to_owned())),
            ["hear", from] => shown(hear(address(from))),
            ["udp", to] => shown(send(address(to))),
            ["udp-stream", to] => shown(stream(address(to))),
            ["bind", at] => shown(bind(address(at)).map(|_socket| "bound".to_owned())),
            ["udp-bind", at] => shown(bind_udp(address(at))),
            ["listen", at] => shown(listen(address(at))),
            ["lookup", name] => shown(look_up(name).map(|found| format!("{} found", found.len()))),
            ["abandon", name] => shown(abandon(name)),
            ["lookup-tcp", name, port] => shown(look_up_and_connect(name, port)),
            ["http", authority] => request(authority),
            _ => return Err("no such way".to_owned()),
        };
    }
    Ok(Some(answer))
}

fn connect(to: IpSocketAddress) -> Result<Connection, ErrorCode> {
    let socket = create_tcp_socket(family(to))?;
    socket.start_connect(&instance_network(), to)?;
    socket.subscribe().block();
    let (input, output) = socket.finish_connect()?;
    Ok(Connection { input, _output: output, _socket: socket })
}

/// The order of the fields is that of their drop: streams before what they belong to.
struct Connection {
    input: wasip2::io::streams::InputStream,
    _output: wasip2::io::streams::OutputStream,
    _socket: TcpSocket,
}

/// Waits for the first byte.
fn hear(from: IpSocketAddress) -> Result<String, ErrorCode> {
    let connection = connect(from)?;
    let heard = connection.input.blocking_read(1);
    Ok(format!("heard {heard:?}"))
}

fn send(to: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = create_udp_socket(family(to))?;
    socket.start_bind(&instance_network(), any(to))?;
    socket.finish_bind()?;
    let (_incoming, outgoing) = socket.stream(None)?;
    outgoing.subscribe().block();
    outgoing.check_send()?;
    let datagram = OutgoingDatagram { data: b"hello".to_vec(), remote_address: Some(to) };
    outgoing.send(&[datagram]).map(|sent| format!("sent {sent}"))
}

/// The same to a socket's one peer, which is checked elsewhere.
fn stream(to: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = create_udp_socket(family(to))?;
    socket.start_bind(&instance_network(), any(to))?;
    socket.finish_bind()?;
    let (_incoming, outgoing) = socket.stream(Some(to))?;
    outgoing.check_send()?;
    let datagram = OutgoingDatagram { data: b"hello".to_vec(), remote_address: None };
    outgoing.send(&[datagram]).map(|sent| format!("sent {sent}"))
}

fn bind(at: IpSocketAddress) -> Result<TcpSocket, ErrorCode> {
    let socket = create_tcp_socket(family(at))?;
    socket.start_bind(&instance_network(), at)?;
    socket.finish_bind()?;
    Ok(socket)
}

fn bind_udp(at: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = create_udp_socket(family(at))?;
    socket.start_bind(&instance_network(), at)?;
    socket.finish_bind()?;
    Ok("bound".to_owned())
}

fn listen(at: IpSocketAddress) -> Result<String, ErrorCode> {
    let socket = bind(at)?;
    socket.start_listen()?;
    socket.finish_listen()?;
    Ok("listening".to_owned())
}

fn look_up(name: &str) -> Result<Vec<IpAddress>, ErrorCode> {
    let answers = resolve_addresses(&instance_network(), name)?;
    let mut found = Vec::new();
    loop {
        match answers.resolve_next_address() {
            Ok(Some(address)) => found.push(address),
            Ok(None) => return Ok(found),
            Err(ErrorCode::WouldBlock) => answers.subscribe().block(),
            Err(error) => return Err(error),
        }
    }
}

/// Begins a lookup and does not wait for its answer.
fn abandon(name: &str) -> Result<String, ErrorCode> {
    resolve_addresses(&instance_network(), name).map(|_answers| "begun".to_owned())
}

/// Connects to the first of a name's addresses that takes it.
fn look_up_and_connect(name: &str, port: &str) -> Result<String, ErrorCode> {
    let port = port.parse().map_err(|_| ErrorCode::InvalidArgument)?;
    let mut last = Err(ErrorCode::NameUnresolvable);
    for ip in look_up(name)? {
        last = connect(with_port(ip, port)).map(|_socket| "connected".to_owned());
        if last.is_ok() {
            break;
        }
    }
    last
}

fn request(authority: &str) -> String {
    let request = OutgoingRequest::new(Fields::new());
    let is_set = request.set_scheme(Some(&Scheme::Http)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some("/")).is_ok();
    if !is_set {
        return "no such authority".to_owned();
    }
    let sent = outgoing_handler::handle(request, None);
    let response = sent.and_then(|response| {
        response.subscribe().block();
        response
            .get()
            .and_then(Result::ok)
            .unwrap_or(Err(outgoing_handler::ErrorCode::InternalError(None)))
    });
    match response {
        Ok(response) => {
            let Ok(body) = response.consume() else { return "no body".to_owned() };
            format!("{} {}", response.status(), text(&body))
        }
        Err(error) => format!("{error:?}"),
    }
}

fn text(body: &IncomingBody) -> String {
    let Ok(stream) = body.stream() else { return String::new() };
    let mut text = Vec::new();
    while let Ok(bytes) = stream.blocking_read(1024) {
        text.extend(bytes);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn address(text: &str) -> IpSocketAddress {
    match text.parse().expect("an address") {
        core::net::SocketAddr::V4(to) => {
            with_port(IpAddress::Ipv4(to.ip().octets().into()), to.port())
        }
        core::net::SocketAddr::V6(to) => {
            with_port(IpAddress::Ipv6(to.ip().segments().into()), to.port())
        }
    }
}

fn with_port(ip: IpAddress, port: u16) -> IpSocketAddress {
    match ip {
        IpAddress::Ipv4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
        IpAddress::Ipv6(address) => {
            let (flow_info, scope_id) = (0, 0);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id })
        }
    }
}

/// The address that stands for any, of the same family.
fn any(like: IpSocketAddress) -> IpSocketAddress {
    match like {
        IpSocketAddress::Ipv4(_) => with_port(IpAddress::Ipv4((0, 0, 0, 0)), 0),
        IpSocketAddress::Ipv6(_) => with_port(IpAddress::Ipv6((0, 0, 0, 0, 0, 0, 0, 0)), 0),
    }
}

fn family(address: IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

fn shown(result: Result<String, ErrorCode>) -> String {
    result.unwrap_or_else(|error| error.name().to_owned())
}

handler!(reach);
