//! If io_uring is forbidden or has no memory, the readiness driver is used, and one line is logged. Each case
//! runs in a separate process, because the probe runs once per process.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "the filter and the limits are raw system calls")]

use std::process::Command;
use std::time::Duration;

use fyke_driver::{Completion, Driver, DriverKind};

const ROLE: &str = "FYKE_TEST_ROLE";

/// Runs this test program again with only the test `child`, and returns its output.
fn in_role(role: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{role}: {said}{complained}");
    said
}

#[test]
fn readiness_is_used_if_seccomp_forbids_io_uring_as_in_containers() {
    for role in ["EPERM", "ENOSYS"] {
        assert!(in_role(role).contains("driver ready"), "{role}");
    }
}

#[test]
fn driver_works_with_a_low_limit_of_locked_memory() {
    assert!(in_role("memory").contains("driver "));
}

#[test]
fn lack_of_descriptors_for_a_ring_is_an_error_or_selects_readiness_and_never_panics() {
    assert!(in_role("descriptors").contains("done"));
}

/// Regression: the failure was remembered for the life of the process.
#[test]
fn driver_that_lacked_descriptors_does_not_prevent_later_drivers_from_using_io_uring() {
    assert_eq!(in_role("lack").lines().last(), in_role("plain").lines().last());
}

#[test]
#[ignore = "run by the other tests, each in a separate process"]
fn child() {
    match std::env::var(ROLE).as_deref() {
        Ok("EPERM") => forbid(libc::EPERM),
        Ok("ENOSYS") => forbid(libc::ENOSYS),
        Ok("memory") => limit(libc::RLIMIT_MEMLOCK, 0),
        Ok("descriptors") => return without_descriptors(),
        Ok("lack") => lack_of_descriptors(),
        Ok("plain") => {}
        _ => return,
    }
    let driver = Driver::new(&DriverKind::Uring).unwrap();
    println!("driver {}", driver.name());
    works(&driver);
}

/// Checks that the driver can be woken, which is the minimum that it must support.
fn works(driver: &Driver) {
    driver.waker().wake();
    let mut woken = false;
    driver
        .turn(Some(driver.now() + Duration::from_secs(10)), &mut |completion| {
            woken |= matches!(completion, Completion::Woken);
        })
        .unwrap();
    assert!(woken);
}

fn without_descriptors() {
    // The probe gets its ring. After that, fewer and fewer descriptors are available.
    drop(Driver::new(&DriverKind::Uring).unwrap());
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    for room in (0..8).rev() {
        limit(libc::RLIMIT_NOFILE, used + room);
        if let Ok(driver) = Driver::new(&DriverKind::Uring) {
            works(&driver);
        }
    }
    println!("done");
}

/// Makes each step of the probe fail once.
fn lack_of_descriptors() {
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    for room in 0..16 {
        limit(libc::RLIMIT_NOFILE, used + room);
        drop(Driver::new(&DriverKind::Uring));
    }
    limit(libc::RLIMIT_NOFILE, 1024);
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the struct lives across the call. Root has no limit on locked memory, so the process gives up
    // its rights; the condition skips that for other users.
    unsafe {
        let limit = if resource == libc::RLIMIT_MEMLOCK {
            limit
        } else {
            libc::rlimit { rlim_max: 4096, ..limit }
        };
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
        if resource == libc::RLIMIT_MEMLOCK && libc::getuid() == 0 {
            assert_eq!(libc::setuid(65534), 0);
        }
    }
}

/// Makes `io_uring_setup` fail with `errno`, whatever the kernel supports.
fn forbid(errno: i32) {
    const SETUP: u32 = libc::SYS_io_uring_setup as u32;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let ret = libc::BPF_RET | libc::BPF_K;
    let mut filter = [
        // The number of the system call is the first field of `seccomp_data`.
        statement(load, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, SETUP)
        },
        statement(ret, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(ret, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its statements live across the calls, and the kernel copies them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}
