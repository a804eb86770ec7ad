//! `--metrics`: numbers for Prometheus, by just as much of HTTP as that needs. The format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{Display, Write};
use std::time::Duration;

use fyke::{Server, ServerOptions, Socket};

use super::statistics::Counts;
use super::targets::Targets;

/// The head of a request, which nobody reads.
const REQUEST_BYTES_MAX: usize = 8192;
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 16;

/// A server that answers every request with what `text` says then.
pub(super) fn server(text: impl Fn() -> String + 'static) -> Server {
    let text = std::rc::Rc::new(text);
    let server =
        ServerOptions::new().max_connections(CONNECTIONS_MAX).create_server(move |socket| {
            let (text, mut request) = (text.clone(), Vec::new());
            socket.set_timeout_then(PATIENCE, |socket| _ = socket.destroy());
            // A client that breaks off has no need to be told of.
            socket.on_error(|_, _| {});
            socket.on_data(move |socket, data| {
                request.extend_from_slice(data);
                let whole = request.windows(4).any(|bytes| bytes == b"\r\n\r\n");
                if whole {
                    answer(socket, &request, &text());
                    request.clear();
                } else if request.len() > REQUEST_BYTES_MAX {
                    socket.destroy();
                }
            });
        });
    server.unref();
    server
}

fn answer(socket: &Socket, request: &[u8], text: &str) {
    let (status, body) = match request {
        [b'G', b'E', b'T', b' ', ..] => ("200 OK", text),
        [b'H', b'E', b'A', b'D', b' ', ..] => ("200 OK", ""),
        _ => ("405 Method Not Allowed", "only GET\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.end_with(head + body);
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
    metric("connections_total", "counter", "Clients that were let in.", &one(counts.connections));
    metric("connections_open", "gauge", "Clients that are connected.", &one(counts.open));
    let bytes = [
        (label("direction", "up"), counts.bytes_up),
        (label("direction", "down"), counts.bytes_down),
    ];
    metric("bytes_total", "counter", "Bytes that came, from clients (up) and targets.", &bytes);
    let by = |name: &str, map: &mut dyn Iterator<Item = (String, u64)>| {
        map.map(|(value, count)| (label(name, value), count)).collect::<Vec<_>>()
    };
    let mut refused = counts.refused.iter().map(|(why, count)| ((*why).to_owned(), *count));
    let refused = by("reason", &mut refused);
    metric("refused_total", "counter", "Clients that were not let in.", &refused);
    let mut errors = counts.errors.iter().map(|(code, count)| (code.clone(), *count));
    let errors = by("code", &mut errors);
    metric("errors_total", "counter", "Connections and attempts that failed.", &errors);
    let each = |value: fn(&super::targets::Target) -> u64| {
        by("target", &mut targets.iter().map(|target| (target.place.to_string(), value(target))))
    };
    let up = each(|target| u64::from(target.is_up()));
    metric("target_up", "gauge", "Whether the last attempt to connect did.", &up);
    let open = each(|target| target.connections);
    metric("target_connections_open", "gauge", "Connections to a target.", &open);
    let total = each(|target| target.total);
    metric("target_connections_total", "counter", "Connections made to a target.", &total);
    let failures = each(|target| target.failures);
    metric("target_failures_total", "counter", "Attempts to connect that failed.", &failures);
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
