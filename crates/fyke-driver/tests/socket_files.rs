//! The mode of a Unix socket's file applies to no other file, even in a folder where others can create
//! links.

#![cfg(any(target_os = "linux", target_os = "android"))]

use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use fyke_driver::{Address, Driver, DriverKind, Open, Transport};

/// A new folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fyke-files-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A killed process with the same process id may have left it behind.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn on_every_system(test: impl Fn(&Driver, &Path)) {
    for kind in [DriverKind::Ready, DriverKind::Uring] {
        let folder = Folder::new();
        test(&Driver::new(&kind).unwrap(), &folder.0);
    }
}

fn request(path: &Path) -> Open {
    let mut request = Open::new(Transport::Unix);
    request.bind = Some(Address::Path(path.to_owned()));
    request.closed_to_all = true;
    request
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn ipc_08_no_client_can_connect_before_the_mode_is_set() {
    on_every_system(|driver, folder| {
        let path = folder.join("s");
        let socket = driver.open(&request(&path)).unwrap();
        assert_eq!(mode(&path), 0);
        // This mode has more rights than any umask leaves.
        driver.set_mode(socket, 0o777).unwrap();
        assert_eq!(mode(&path), 0o777);
        driver.close(socket);
        assert!(!path.exists());
    });
}

#[test]
fn ipc_08_another_file_at_that_path_never_gets_the_mode() {
    on_every_system(|driver, folder| {
        let other = folder.join("other");
        std::fs::write(&other, "not a socket").unwrap();
        std::fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
        let replace: [fn(&Path, &Path); 3] = [
            |other, path| symlink(other, path).unwrap(),
            |other, path| std::fs::hard_link(other, path).unwrap(),
            |_, path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        ];
        for replace in replace {
            let path = folder.join("s");
            let socket = driver.open(&request(&path)).unwrap();
            std::fs::rename(&path, folder.join("moved")).unwrap();
            replace(&other, &path);
            let before = mode(&path);
            let error = driver.set_mode(socket, 0o777).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!((mode(&path), mode(&other)), (before, 0o600));
            driver.close(socket);
            assert!(std::fs::symlink_metadata(&path).is_ok(), "the driver removed another file");
            std::fs::remove_file(&path).unwrap();
        }
    });
}
