//! Detaching a descriptor while completions are pending either fails or loses nothing.

#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use fyke_driver::{Completion, Driver, DriverKind, Moment, SocketId};

fn pair(driver: &Driver) -> (SocketId, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = driver.adopt(ours.into()).unwrap();
    driver.receive_start(socket).unwrap();
    (socket, listener.accept().unwrap().0)
}

/// Regression: a ring had received the error, and the new owner saw a connection that ended normally.
#[test]
fn reset_that_arrived_in_the_same_turn_is_reported_to_the_old_or_the_new_owner() {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let driver = Driver::new(&kind).unwrap();
        let (talks, mut talking) = pair(&driver);
        let (breaks, breaking) = pair(&driver);
        driver.turn(Some(Moment::ZERO), &mut |_| {}).unwrap();
        talking.write_all(b"x").unwrap();
        rustix::net::sockopt::set_socket_linger(&breaking, Some(Duration::ZERO)).unwrap();
        drop(breaking);
        let (mut handed_out, mut reported) = (None, false);
        let mut asked = false;
        while !asked || !reported && handed_out.is_none() {
            driver
                .turn(Some(driver.now() + Duration::from_secs(1)), &mut |completion| {
                    match completion {
                        Completion::Received { socket, .. } if socket == talks => {
                            asked = true;
                            handed_out = driver.detach(breaks).ok();
                        }
                        Completion::Failed { socket, error, .. } if socket == breaks => {
                            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                            reported = true;
                        }
                        _ => {}
                    }
                })
                .unwrap();
        }
        if let Some(fd) = handed_out.filter(|_| !reported) {
            let error = TcpStream::from(fd).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{kind:?}");
        }
    }
}
