//! Properties of actors, under Node's names (FORMAT.md 4.3).

use fyke::{Address, ReadyState, Server, Socket};
use serde_json::{Map, Value, json};

use super::Play;
use super::actor::{Actor, Object};
use crate::names::family_name;

impl Play {
    /// The properties that are recorded with every event of this actor.
    pub(crate) fn snapshot(&self, actor: &Actor) -> Option<Value> {
        let names = &actor.script.snapshot;
        let wanted = !names.is_empty() && actor.object.get().is_some();
        wanted.then(|| self.properties(actor, names))
    }

    pub(crate) fn properties(&self, actor: &Actor, names: &[String]) -> Value {
        let values = names.iter().map(|name| {
            let value = match actor.object.get() {
                Some(Object::Socket(socket)) => self.socket_property(socket, name),
                Some(Object::Server(server)) => server_property(server, name),
                None => Value::Null,
            };
            (name.clone(), value)
        });
        Value::Object(values.collect::<Map<_, _>>())
    }

    fn socket_property(&self, socket: &Socket, name: &str) -> Value {
        // Requested only where needed, because Node remembers an address that was requested in time.
        let local = || socket.local_address();
        let remote = || socket.remote_address();
        match name {
            "readyState" => json!(ready_state(socket.ready_state())),
            "connecting" => json!(socket.is_connecting()),
            "pending" => json!(socket.is_pending()),
            "destroyed" => json!(socket.is_destroyed()),
            "closed" => json!(socket.is_closed()),
            "errored" => json!(socket.error().map(|error| error.code().as_str())),
            "readable" => json!(socket.is_readable()),
            "writable" => json!(socket.is_writable()),
            "readableEnded" => json!(socket.is_readable_ended()),
            "writableEnded" => json!(socket.is_writable_ended()),
            "writableFinished" => json!(socket.is_writable_finished()),
            "readableAborted" => json!(socket.is_readable_aborted()),
            "writableAborted" => json!(socket.is_writable_aborted()),
            "readableDidRead" => json!(socket.has_delivered()),
            "readableEncoding" => json!(socket.encoding().map(|encoding| encoding.to_string())),
            "readableFlowing" => json!(socket.readable_flowing()),
            "isPaused" => json!(socket.is_paused()),
            "readableLength" => json!(socket.read_queue_len()),
            "writableLength" => json!(socket.write_queue_len()),
            "writableNeedDrain" => json!(socket.needs_drain()),
            "writableCorked" => json!(socket.cork_count()),
            "readableHighWaterMark" | "writableHighWaterMark" => json!(socket.high_water_mark()),
            // In Node, absent without a handle, which exists from `connect` to `destroy`.
            "bufferSize" => json!(socket.buffer_size()),
            "allowHalfOpen" => json!(socket.allow_half_open()),
            "timeout" => json!(socket.idle_timeout().map(|timeout| self.shown_ms(timeout))),
            "bytesRead" => json!(socket.bytes_read()),
            "bytesWritten" => json!(socket.bytes_written()),
            "localAddress" => json!(local().map(|address| address.ip().to_string())),
            "localPort" => self.names.show_port(local().map(|address| address.port())),
            "localFamily" => json!(local().map(|address| family_name(&address))),
            "remoteAddress" => json!(remote().map(|address| address.ip().to_string())),
            "remotePort" => self.names.show_port(remote().map(|address| address.port())),
            "remoteFamily" => json!(remote().map(|address| family_name(&address))),
            "address" => self.address_of_socket(socket),
            "autoSelectFamilyAttemptedAddresses" => self.attempted_addresses(socket),
            _ => Value::Null,
        }
    }

    /// Empty without a connection, and on a Unix socket.
    fn address_of_socket(&self, socket: &Socket) -> Value {
        let local = socket.local_address();
        local.map_or(json!({}), |address| self.names.show_address(&Address::Ip(address)))
    }

    /// Absent unless there were several addresses; empty if none of these was tried.
    fn attempted_addresses(&self, socket: &Socket) -> Value {
        if !socket.has_several_addresses() {
            return Value::Null;
        }
        let attempted = socket.attempted_addresses();
        let shown = attempted.iter().map(|address| {
            let port = self.names.show_port(Some(address.port()));
            format!("{}:{}", address.ip(), port.as_str().unwrap_or("0"))
        });
        json!(shown.collect::<Vec<_>>())
    }

    /// The result of the operation `address`.
    pub(crate) fn address(&self, object: &Object) -> Value {
        match object {
            Object::Socket(socket) => self.address_of_socket(socket),
            Object::Server(server) => {
                server.address().map_or(Value::Null, |address| self.names.show_address(&address))
            }
        }
    }
}

fn server_property(server: &Server, name: &str) -> Value {
    match name {
        "listening" => json!(server.is_listening()),
        "maxConnections" => json!(server.max_connections()),
        _ => Value::Null,
    }
}

fn ready_state(state: ReadyState) -> &'static str {
    match state {
        ReadyState::Opening => "opening",
        ReadyState::Open => "open",
        ReadyState::ReadOnly => "readOnly",
        ReadyState::WriteOnly => "writeOnly",
        ReadyState::Closed => "closed",
        _ => "unknown",
    }
}
