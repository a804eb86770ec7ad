//! Creating a socket from a request, step by step.

use socket2::{Domain, SockRef, Socket, Type};

use super::pipe::Pipe;
use super::{BoundFile, Errno, Fd, options};
use crate::{Address, Family, Open, OpenError, Transport};

/// Creates a socket, sets its options, and binds it if requested. No bind creates a file.
pub(crate) fn open(request: &Open) -> Result<(Fd, Option<BoundFile>), OpenError> {
    let before_bind = |errno: Errno| OpenError { at_bind: false, source: errno.into() };
    let at_bind = |errno: Errno| OpenError { at_bind: true, source: errno.into() };
    let domain = match request.transport {
        Transport::Tcp(Family::V4) => Domain::IPV4,
        Transport::Tcp(Family::V6) => Domain::IPV6,
        Transport::Unix => {
            let pipe = request.bind.as_ref().map_or_else(|| Ok(Pipe::new()), Pipe::bound);
            return Ok((Fd::Pipe(Box::new(pipe.map_err(at_bind)?)), None));
        }
    };
    let socket =
        Socket::new(domain, Type::STREAM, None).map_err(|error| before_bind(error.into()))?;
    set_options(&socket, request).map_err(before_bind)?;
    if let Some(address) = &request.bind {
        bind(&socket, request.transport, address).map_err(at_bind)?;
    }
    Ok((socket.into(), None))
}

/// `reuse_address` is the state of every socket of Windows: connections in TIME_WAIT do not prevent a bind.
/// SO_REUSEADDR would let two servers share a port, and SO_EXCLUSIVEADDRUSE would count those connections.
/// Neither is set, as in libuv.
fn set_options(socket: &Socket, request: &Open) -> Result<(), Errno> {
    socket.set_nonblocking(true)?;
    if request.reuse_port {
        return Err(Errno::OPNOTSUPP);
    }
    let options = SockRef::from(socket);
    if let Some(bytes) = request.send_buffer_bytes {
        options::set_send_buffer(&options, bytes)?;
    }
    if let Some(bytes) = request.receive_buffer_bytes {
        options::set_receive_buffer(&options, bytes)?;
    }
    if request.transport == Transport::Tcp(Family::V6) {
        // Windows sets it, other systems do not.
        socket.set_only_v6(request.ipv6_only.unwrap_or(false))?;
    }
    Ok(())
}

fn bind(socket: &Socket, transport: Transport, address: &Address) -> Result<(), Errno> {
    match address {
        // An address of the other family is refused as on other systems (CON-13).
        Address::Ip(ip) if transport == Transport::of(address) => Ok(socket.bind(&(*ip).into())?),
        _ => Err(Errno::INVAL),
    }
}
