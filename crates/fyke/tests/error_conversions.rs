//! Errors of other types inside `run`, and how they are converted.

use std::error::Error as StdError;
use std::io;

use fyke::{Error, ErrorCode};

/// A port that nothing can listen on, because it is not a valid port.
const BAD_ENDPOINT: &str = "127.0.0.1:99999";

#[test]
fn run_accepts_fykes_error_and_the_question_mark_on_io_errors() {
    let result: fyke::Result<()> = fyke::run(|| {
        std::fs::read("/does/not/exist")?;
        Ok(())
    });
    let error = result.unwrap_err();
    assert_eq!((error.code(), error.syscall()), (ErrorCode::ENOENT, None));
    assert_eq!(error.to_string(), "ENOENT: no such file or directory");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
}

#[test]
fn run_accepts_an_error_of_the_standard_library() {
    let result: io::Result<()> = fyke::run(|| {
        fyke::connect(BAD_ENDPOINT)?;
        Err(io::ErrorKind::UnexpectedEof.into())
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(Error::from(error).code(), ErrorCode::ERR_SOCKET_BAD_PORT);
}

#[test]
fn run_accepts_an_anyhow_error() {
    use anyhow::Context;

    fn fail(endpoint: &str) -> anyhow::Result<()> {
        fyke::run(|| {
            let _: u16 = "7".parse()?;
            fyke::connect(endpoint).context("first of all")?;
            anyhow::bail!("not reached")
        })
    }

    let error = fail(BAD_ENDPOINT).unwrap_err();
    assert_eq!(error.to_string(), "first of all");
    let cause = error.root_cause().downcast_ref::<Error>().map(Error::code);
    assert_eq!(cause, Some(ErrorCode::ERR_SOCKET_BAD_PORT));
}

#[test]
fn run_accepts_a_boxed_error() {
    fn fail(number: &str) -> Result<(), Box<dyn StdError>> {
        fyke::run(|| {
            let _: u16 = number.parse()?;
            fyke::connect(BAD_ENDPOINT)?;
            Ok(())
        })
    }

    assert!(fail("many").unwrap_err().is::<std::num::ParseIntError>());
    assert!(fail("7").unwrap_err().is::<Error>());

    let threads: Result<(), Box<dyn StdError + Send + Sync>> =
        fyke::run(|| Err("words alone".into()));
    assert_eq!(threads.unwrap_err().to_string(), "words alone");
}

/// The errors of the loop itself are converted the same way.
#[test]
fn an_error_that_ends_the_loop_is_converted() {
    let result: Result<(), Box<dyn StdError>> = fyke::run(|| {
        let first = fyke::create_server(|_| {});
        first.listen_then(("127.0.0.1", 0), |first| {
            let second = fyke::create_server(|_| {});
            second.listen(first.endpoint().unwrap()).unwrap();
            first.unref_loop();
        })?;
        Ok(())
    });
    let error = result.unwrap_err();
    assert_eq!(error.downcast_ref().map(Error::code), Some(ErrorCode::EADDRINUSE));
    let shown = format!("{error:?}");
    let source = "source: Os { code: ";
    for part in ["code: EADDRINUSE", "syscall: \"listen\"", "address: 127.0.0.1:", source] {
        assert!(shown.contains(part), "{shown}");
    }
}
