//! The texts of errors, and their conversions to and from the standard library.

use super::*;

fn refused() -> Error {
    Error::system("connect", io::ErrorKind::ConnectionRefused.into())
}

#[test]
fn con_07_the_text_of_a_refused_connection_is_nodes() {
    let error = refused().at(Address::Ip(([127, 0, 0, 1], 8888).into()), false);
    assert_eq!(error.to_string(), "connect ECONNREFUSED 127.0.0.1:8888");
    assert_eq!(error.port(), Some(8888));
    assert!(StdError::source(&error).is_some());
}

#[test]
fn con_09_port_zero_is_not_printed() {
    let error = refused().at(Address::Ip(([127, 0, 0, 1], 0).into()), false);
    assert_eq!(error.to_string(), "connect ECONNREFUSED 127.0.0.1");
    assert_eq!(error.port(), None);
}

#[test]
fn con_12_a_known_local_address_is_printed() {
    let error = refused()
        .at(Address::Ip(([127, 0, 0, 1], 80).into()), false)
        .with_local(Some(([127, 0, 0, 2], 4000).into()));
    let text = "connect ECONNREFUSED 127.0.0.1:80 - Local (127.0.0.2:4000)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn he_15_an_aggregate_has_the_code_of_its_first_error_and_lists_all() {
    let other = Error::named(ErrorCode::ETIMEDOUT, "connect");
    let error = Error::aggregate(vec![refused(), other]);
    assert_eq!(error.code(), ErrorCode::ECONNREFUSED);
    assert_eq!(error.attempts().len(), 2);
    // BEHAVIOUR 0.3: a combined error has no other fields; each attempt has its own.
    assert_eq!((error.syscall(), error.address(), error.message()), (None, None, None));
    let text = "all addresses failed: connect ECONNREFUSED, connect ETIMEDOUT";
    assert_eq!(error.to_string(), text);
}

/// Regression: every error that fyke made itself had the kind `Other`.
#[test]
fn every_code_has_a_kind_of_the_standard_library() {
    assert!(ErrorCode::ALL.len() > 40);
    for code in ErrorCode::ALL {
        let error = io::Error::from(Error::new(*code, "made by fyke"));
        assert_ne!(error.kind(), io::ErrorKind::Other, "{code}");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap();
        assert_eq!(inner.code(), *code);
    }
}

#[test]
fn an_error_is_one_pointer_and_can_cross_threads() {
    fn crosses_threads<T: Send + Sync + 'static>() {}
    crosses_threads::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn an_error_of_the_standard_library_keeps_its_kind_both_ways() {
    for kind in [
        io::ErrorKind::NotFound,
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::WriteZero,
        io::ErrorKind::WouldBlock,
        io::ErrorKind::Other,
    ] {
        let error = Error::from(io::Error::new(kind, "words of its own"));
        assert_eq!(error.message(), Some("words of its own"));
        assert_eq!(error.syscall(), None);
        assert!(StdError::source(&error).is_some());
        assert_eq!(io::Error::from(error).kind(), kind);
    }
}

#[test]
fn an_error_of_fyke_round_trips_through_io_error() {
    let error = refused().at(Address::Ip(([127, 0, 0, 1], 80).into()), false);
    let back = Error::from(io::Error::from(error.clone()));
    assert!(Arc::ptr_eq(&error.0, &back.0));
}

#[test]
fn debug_shows_each_field_that_is_known() {
    let source = io::Error::new(io::ErrorKind::ConnectionRefused, "not today");
    let error =
        Error::system("connect", source).at(Address::Ip(([127, 0, 0, 1], 80).into()), false);
    let text = "Error { code: ECONNREFUSED, syscall: \"connect\", address: 127.0.0.1:80, \
                source: Custom { kind: ConnectionRefused, error: \"not today\" } }";
    assert_eq!(format!("{error:?}"), text);
    let error = Error::aggregate(vec![Error::named(ErrorCode::ETIMEDOUT, "connect")]);
    let text =
        "Error { code: ETIMEDOUT, attempts: [Error { code: ETIMEDOUT, syscall: \"connect\" }] }";
    assert_eq!(format!("{error:?}"), text);
    assert_eq!(
        format!("{:?}", Error::new(ErrorCode::EPIPE, "gone")),
        "Error { code: EPIPE, message: \"gone\" }"
    );
}
