//! `--metrics`: statistics for Prometheus, over a minimal HTTP server. The format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::{Display, Write};
use std::rc::Rc;
use std::time::Duration;

use fyke::{Server, ServerOptions, Socket, timer};

use super::http::{self, Request};
use super::statistics::Counts;
use super::targets::Targets;

/// The maximum lifetime of a connection, whatever its client sends or reads.
const PATIENCE: Duration = Duration::from_secs(5);
/// A further connection closes the oldest one that has not sent its request yet, so that slow
/// clients cannot lock others out.
const CONNECTIONS_MAX: usize = 64;

/// Starts a server that answers every request with the current result of `text`. Neither the server
/// nor its connections keep the loop alive.
pub(super) fn server(text: impl Fn() -> String + 'static) -> Server {
    let (text, clients) = (Rc::new(text), Rc::new(Clients::default()));
    let server =
        ServerOptions::new().create_server(move |socket| clients.serve(socket, Rc::clone(&text)));
    server.unref_loop();
    server
}

#[derive(Default)]
struct Clients(RefCell<VecDeque<Rc<Client>>>);

struct Client {
    socket: Socket,
    is_answered: Cell<bool>,
}

impl Clients {
    fn serve(self: &Rc<Self>, socket: &Socket, text: Rc<impl Fn() -> String + 'static>) {
        self.make_room();
        let client = Rc::new(Client { socket: socket.clone(), is_answered: Cell::new(false) });
        self.0.borrow_mut().push_back(Rc::clone(&client));
        socket.unref_loop();
        // An aborted connection does not need a report.
        socket.on_error(|_, _| {});
        let same = Rc::clone(self);
        socket.on_close(move |socket, _| same.0.borrow_mut().retain(|one| one.socket != *socket));
        destroy_after_patience(socket);
        let (at_the_end, page) = (Rc::clone(&client), Rc::clone(&text));
        socket.on_end(move |_| at_the_end.answer(Request::Incomplete, &*page));
        let mut received = Vec::new();
        socket.on_data(move |_, data| {
            // Bytes after the head are ignored, but they are read: closing a connection with unread
            // bytes would discard the answer.
            if client.is_answered.get() {
                return;
            }
            received.extend_from_slice(data);
            let request = http::parse(&received);
            if request != Request::Incomplete {
                received = Vec::new();
                client.answer(request, &*text);
            }
        });
    }

    fn make_room(&self) {
        let oldest = {
            let clients = self.0.borrow();
            let waiting = clients.iter().find(|client| !client.is_answered.get());
            let oldest = waiting.or(clients.front()).map(|client| client.socket.clone());
            oldest.filter(|_| clients.len() >= CONNECTIONS_MAX)
        };
        if let Some(socket) = oldest {
            socket.destroy();
            // The `close` event of this connection has not been emitted yet.
            self.0.borrow_mut().retain(|client| client.socket != socket);
        }
    }
}

impl Client {
    fn answer(&self, request: Request, text: &dyn Fn() -> String) {
        if !self.is_answered.replace(true) {
            self.socket.end_with(http::response(request, text));
        }
    }
}

fn destroy_after_patience(socket: &Socket) {
    let late = socket.clone();
    // Without a loop there are no clients that could be late.
    if let Ok(timer) = timer::set_timeout(PATIENCE, move || _ = late.destroy()) {
        timer.unref_loop();
        socket.on_close(move |_, _| timer.cancel());
    }
}

pub(super) fn text(counts: &Counts, targets: &Targets) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP fyke_relay_{name} {help}\n# TYPE fyke_relay_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "fyke_relay_{name}{labels} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value)];
    metric("connections_total", "counter", "Accepted clients.", &one(counts.connections));
    metric("connections_open", "gauge", "Connected clients.", &one(counts.open));
    let bytes = [
        (label("direction", "up"), counts.bytes_up),
        (label("direction", "down"), counts.bytes_down),
    ];
    metric(
        "bytes_total",
        "counter",
        "Bytes received from clients (up) and from targets (down).",
        &bytes,
    );
    let by = |name: &str, map: &mut dyn Iterator<Item = (String, u64)>| {
        map.map(|(value, count)| (label(name, value), count)).collect::<Vec<_>>()
    };
    let mut refused = counts.refused.iter().map(|(why, count)| ((*why).to_owned(), *count));
    let refused = by("reason", &mut refused);
    metric("refused_total", "counter", "Refused clients.", &refused);
    let mut errors = counts.errors.iter().map(|(code, count)| (code.clone(), *count));
    let errors = by("code", &mut errors);
    metric(
        "errors_total",
        "counter",
        "Failed connections and failed attempts to connect.",
        &errors,
    );
    let each = |value: fn(&super::targets::Target) -> u64| {
        by("target", &mut targets.iter().map(|target| (target.place.to_string(), value(target))))
    };
    let up = each(|target| u64::from(target.is_up()));
    metric(
        "target_up",
        "gauge",
        "Whether the last attempt to connect succeeded (1) or failed (0).",
        &up,
    );
    let open = each(|target| target.connections);
    metric("target_connections_open", "gauge", "Open connections to a target.", &open);
    let total = each(|target| target.total);
    metric("target_connections_total", "counter", "Connections established to a target.", &total);
    let failures = each(|target| target.failures);
    metric(
        "target_failures_total",
        "counter",
        "Failed attempts to connect to a target.",
        &failures,
    );
    text
}

fn label(name: &str, value: impl Display) -> String {
    let value = value.to_string().replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    format!("{{{name}=\"{value}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped() {
        assert_eq!(label("target", "a\\b\"c\n"), r#"{target="a\\b\"c\n"}"#);
    }
}
