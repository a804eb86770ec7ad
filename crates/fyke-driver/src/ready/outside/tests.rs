//! Tests that need a descriptor that is known only by its number.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::Ready;
use crate::backend::{Backend, Properties};
use crate::reading::Reading;
use crate::{Adopted, Completion, Open, Transport};

/// Returns a second owner of a descriptor, which is a bug that a program may have.
#[allow(unsafe_code, reason = "the test needs two owners of one descriptor")]
fn owned_again(fd: &impl AsRawFd) -> OwnedFd {
    // SAFETY: the driver must detect the second owner and not close the descriptor.
    unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) }
}

fn is_open(fd: &impl AsRawFd) -> bool {
    std::fs::exists(format!("/dev/fd/{}", fd.as_raw_fd())).unwrap()
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn fd_07_descriptor_of_another_socket_of_the_driver_is_refused_and_stays_open() {
    let driver = Ready::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let again = [owned_again(&ours), owned_again(&listener)];
    let (socket, _) = driver.adopt(ours.into()).unwrap();
    let (server, _) = driver.adopt(listener.into()).unwrap();
    for (again, known) in again.into_iter().zip([socket, server]) {
        let error = driver.adopt(again).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(driver.local_address(known).is_ok(), "the first socket still works");
    }
    drop(theirs);
    driver.receive_start(socket).unwrap();
    let mut ended = false;
    while !ended {
        driver
            .turn(None, &mut |completion| {
                ended |= matches!(completion, Completion::EndOfStream { .. });
            })
            .unwrap();
    }
}

#[test]
fn socket_with_an_undelivered_error_is_not_detached() {
    let driver = Ready::new().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (socket, _) = driver.adopt(ours.into()).unwrap();
    driver.table.sockets.borrow_mut().get_mut(socket).unwrap().flags.reading = Reading::broken();
    assert_eq!(driver.detach(socket).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    driver.table.sockets.borrow_mut().get_mut(socket).unwrap().flags.reading = Reading::default();
    assert!(driver.detach(socket).is_ok());
}

#[test]
fn fd_10_standard_descriptors_are_never_closed() {
    let (stdin, other) = UnixStream::pair().unwrap();
    let before = rustix::io::dup(io::stdin()).unwrap();
    let driver = Ready::new().unwrap();
    // It also stays open if it is refused.
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null").unwrap()).unwrap();
    assert!(driver.adopt(owned_again(&io::stdin())).is_err());
    assert!(is_open(&io::stdin()), "a refused standard descriptor was closed");
    rustix::stdio::dup2_stdin(&stdin).unwrap();
    let (socket, found) = driver.adopt(owned_again(&io::stdin())).unwrap();
    assert_eq!(found, Adopted::Connection { peer: crate::Address::Unnamed, writable: true });
    driver.receive_start(socket).unwrap();
    driver.close(socket);
    assert!(is_open(&io::stdin()), "the next opened file would become standard input");

    // It does not disturb a server that listens later.
    let mut request = Open::new(Transport::Unix);
    request.bind = Some(crate::Address::Unnamed);
    if cfg!(target_os = "linux") {
        let server = driver.open(&request).unwrap();
        driver.listen(server, 1).unwrap();
        driver.accept_start(server).unwrap();
        let client = driver.open(&Open::new(Transport::Unix)).unwrap();
        driver.connect(client, &driver.local_address(server).unwrap());
        let mut accepted = false;
        while !accepted {
            driver
                .turn(None, &mut |completion| {
                    accepted |= matches!(completion, Completion::Accepted { .. });
                })
                .unwrap();
        }
    }
    rustix::stdio::dup2_stdin(&before).unwrap();
    drop((stdin, other));
}

/// Such a name has no terminating NUL byte.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn name_that_fills_the_whole_address_field_is_read_correctly() {
    let mut path =
        std::env::temp_dir().join(format!("fyke-{}-", std::process::id())).into_os_string();
    path.push("x".repeat(108 - path.len()));
    let name = crate::Address::Path(path.into());
    let driver = Ready::new().unwrap();
    let mut request = Open::new(Transport::Unix);
    request.bind = Some(name.clone());
    let server = driver.open(&request).unwrap();
    assert_eq!(driver.local_address(server).unwrap(), name);
    driver.listen(server, 1).unwrap();
    let client = driver.open(&Open::new(Transport::Unix)).unwrap();
    driver.connect(client, &name);
    let client = driver.duplicate(client).unwrap();
    let (_, found) = driver.adopt(client).unwrap();
    assert_eq!(found, Adopted::Connection { peer: name, writable: true });
    driver.close(server);
}

/// Otherwise events of a closed socket would wake the driver needlessly.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn shared_descriptor_is_no_longer_watched_after_it_is_closed() {
    let driver = Ready::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let kept = ours.try_clone().unwrap();
    let (socket, _) = driver.adopt(ours.into()).unwrap();
    driver.close(socket);
    drop(theirs);
    let mut ready = [rustix::event::PollFd::from_borrowed_fd(
        driver.as_fd().unwrap(),
        rustix::event::PollFlags::IN,
    )];
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ready, Some(&timeout)).unwrap(), 0);
    drop(kept);
}
