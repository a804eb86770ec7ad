//! The part of HTTP/1.1 that `--metrics` needs: the head of a request (RFC 9112), and a response.
//! It has no socket and no clock.

/// The maximum size of the head of a request, and of the request line.
const HEAD_BYTES_MAX: usize = 8192;

/// The result of parsing the bytes received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// More bytes are needed.
    Incomplete,
    Get,
    Head,
    /// The method is not supported.
    Other,
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    LineTooLong,
    HeadTooLong,
    Version,
}

/// Parses the head of a request. Lines end with CR LF or only LF (section 2.2). Empty lines before
/// the request line are ignored. Bytes that cannot become a request are refused at once.
pub(super) fn parse(bytes: &[u8]) -> Request {
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let too_long = bytes.len() > HEAD_BYTES_MAX;
    let mut lines = bytes[empty..].split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let Some(line) = first.strip_suffix(b"\n") else {
        let method: Vec<u8> = first.iter().copied().take_while(|byte| *byte != b' ').collect();
        return match () {
            () if !method.iter().copied().all(is_token) => Request::Refused(Refusal::Malformed),
            () if too_long => Request::Refused(Refusal::LineTooLong),
            () => Request::Incomplete,
        };
    };
    let method = match request_line(line) {
        Request::Refused(refusal) => return Request::Refused(refusal),
        method => method,
    };
    if lines.any(|line| matches!(line, b"\n" | b"\r\n")) {
        method
    } else if too_long {
        Request::Refused(Refusal::HeadTooLong)
    } else {
        Request::Incomplete
    }
}

fn request_line(line: &[u8]) -> Request {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Request::Refused(Refusal::Malformed);
    };
    let well_formed =
        !method.is_empty() && method.iter().copied().all(is_token) && !target.is_empty();
    match version {
        _ if !well_formed => Request::Refused(Refusal::Malformed),
        b"HTTP/1.0" | b"HTTP/1.1" => match method {
            b"GET" => Request::Get,
            b"HEAD" => Request::Head,
            _ => Request::Other,
        },
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Request::Refused(Refusal::Version)
        }
        _ => Request::Refused(Refusal::Malformed),
    }
}

/// Returns whether the byte is allowed in a method (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns the response to a request that is complete or refused. The connection ends after it.
/// `page` is the body for GET.
pub(super) fn response(request: Request, page: impl FnOnce() -> String) -> String {
    let short = |text: &str| (String::from("text/plain; charset=utf-8"), text.to_owned());
    let (status, more, (kind, body)) = match request {
        Request::Get | Request::Head => {
            let kind = String::from("text/plain; version=0.0.4; charset=utf-8");
            ("200 OK", "", (kind, page()))
        }
        Request::Other => (
            "405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
            short("only GET and HEAD are supported\n"),
        ),
        Request::Refused(Refusal::LineTooLong) => {
            ("414 URI Too Long", "", short("the request line is too long\n"))
        }
        Request::Refused(Refusal::HeadTooLong) => {
            ("431 Request Header Fields Too Large", "", short("the request header is too large\n"))
        }
        Request::Refused(Refusal::Version) => (
            "505 HTTP Version Not Supported",
            "",
            short("only HTTP/1.1 and HTTP/1.0 are supported\n"),
        ),
        Request::Incomplete | Request::Refused(Refusal::Malformed) => {
            ("400 Bad Request", "", short("not an HTTP request\n"))
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    // The length is that of the response to GET (RFC 9110, 9.3.2).
    if request == Request::Head { head } else { head + &body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_complete_at_the_empty_line_and_not_before() {
        for (bytes, request) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], Request::Get),
            (b"HEAD / HTTP/1.0\n\n", Request::Head),
            (b"\r\n\nPOST / HTTP/1.1\nA: b\r\n\n", Request::Other),
        ] {
            for cut in 0..bytes.len() {
                let text = bytes[..cut].escape_ascii();
                assert_eq!(parse(&bytes[..cut]), Request::Incomplete, "{text}");
            }
            assert_eq!(parse(bytes), request, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn lengths_are_refused_at_one_byte_past_the_limit() {
        let line = [&b"GET /"[..], &[b'x'; HEAD_BYTES_MAX - 5]].concat();
        assert_eq!(parse(&line), Request::Incomplete);
        assert_eq!(parse(&[&line[..], b"x"].concat()), Request::Refused(Refusal::LineTooLong));
        let mut head = b"GET / HTTP/1.1\r\nX: ".to_vec();
        head.resize(HEAD_BYTES_MAX, b'x');
        assert_eq!(parse(&head), Request::Incomplete);
        head.push(b'x');
        assert_eq!(parse(&head), Request::Refused(Refusal::HeadTooLong));
        assert_eq!(parse(&[b'\n'; HEAD_BYTES_MAX + 1]), Request::Refused(Refusal::LineTooLong));
    }
}
