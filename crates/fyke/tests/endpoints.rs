//! All types that an endpoint can be made from, in every place that accepts one.

#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "the test is that references are accepted"
)]

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

use fyke::{Address, BindOptions, ConnectOptions, Endpoint, Error, ListenOptions, Server, Socket};

/// Takes its argument as the methods do.
fn endpoint<E>(value: E) -> Endpoint
where
    E: TryInto<Endpoint>,
    Error: From<E::Error>,
{
    value.try_into().map_err(Error::from).unwrap()
}

#[test]
fn addresses_are_accepted_by_value_and_by_reference() {
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 1, 2);
    let either = SocketAddr::from(v4);
    for taken in [endpoint(v4), endpoint(&v4), endpoint(either), endpoint(&either)] {
        assert_eq!(taken, Endpoint::Ip(either));
    }
    for taken in [endpoint(v6), endpoint(&v6)] {
        assert_eq!(taken, Endpoint::Ip(v6.into()), "with flow label and scope");
    }
    let pairs = [endpoint((IpAddr::from(Ipv4Addr::LOCALHOST), 80)), endpoint((*v4.ip(), 80))];
    assert_eq!(pairs, [Endpoint::Ip(either), Endpoint::Ip(either)]);
    let address = Address::Ip(either);
    assert_eq!([endpoint(&address), endpoint(address)], pairs);
}

#[test]
fn text_is_accepted_in_each_of_its_types() {
    let text = String::from("example.org:80");
    let wanted = Endpoint::Host("example.org".to_owned(), 80);
    let os = OsString::from(&text);
    for taken in [
        endpoint(text.as_str()),
        endpoint(&text),
        endpoint(os.as_os_str()),
        endpoint(&os),
        endpoint(OsStr::new("example.org:80").to_owned()),
        endpoint(text),
    ] {
        assert_eq!(taken, wanted);
    }
    let host = String::from("example.org");
    assert_eq!(
        [endpoint(("example.org", 80)), endpoint((&host, 80)), endpoint((host, 80))],
        [wanted.clone(), wanted.clone(), wanted.clone()]
    );
    assert_eq!(endpoint(&wanted), wanted);
}

#[test]
fn paths_are_accepted_by_value_and_by_reference() {
    let path = PathBuf::from("/run/x.sock");
    let taken = [endpoint(&path), endpoint(Path::new("/run/x.sock")), endpoint(path.clone())];
    assert!(taken.iter().all(|taken| *taken == Endpoint::Path(path.clone())));
}

/// Regression: these were errors of `new`, so a chain of options needed `?` in the middle.
#[test]
fn options_accept_the_parts_of_an_endpoint_and_a_wrong_one_fails_the_call_that_uses_it() {
    let address: SocketAddr = ([127, 0, 0, 1], 0).into();
    fyke::run(|| {
        ConnectOptions::new(&address).no_delay(true).connect()?.destroy();
        let server = Server::new();
        ListenOptions::new(&String::from("127.0.0.1:0")).backlog(1).listen(&server)?;
        server.close();
        BindOptions::new(&address).ipv6_only(false).bind()?.close();
        let code = |refused: Error| refused.code().as_str().to_owned();
        let options = ConnectOptions::new(&String::from("no endpoint")).no_delay(true);
        let refused = options.clone().connect_then(|_| panic!("refused"));
        assert_eq!(code(refused.unwrap_err()), "ERR_INVALID_ARG_VALUE");
        let refused = Socket::new().connect_with_then(options, |_| panic!("refused"));
        assert_eq!(code(refused.unwrap_err()), "ERR_INVALID_ARG_VALUE");
        let refused = ListenOptions::new("host:99999").listen_then(&server, |_| panic!("refused"));
        assert_eq!(code(refused.unwrap_err()), "ERR_SOCKET_BAD_PORT");
        let refused = BindOptions::new("host:99999").ipv6_only(true).bind();
        assert_eq!(code(refused.unwrap_err()), "ERR_SOCKET_BAD_PORT");
        Ok::<(), Error>(())
    })
    .unwrap();
}
