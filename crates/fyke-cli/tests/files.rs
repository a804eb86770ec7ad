//! The files that the command writes: `--record`, `--histogram`, `--hgrm`.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::Command;

use support::{Folder, Running, fyke, output, reach};

fn mode(path: &str) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// Everything that a relay records for one short connection.
fn record(folder: &Folder, file: &str, more: &[&str]) -> String {
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let path = folder.path("s");
    let arguments = [&["relay", "-v", &path, &target, "--record", file], more].concat();
    let mut relay = Running::start(&arguments);
    round_trip(&mut reach(&path), b"secret");
    relay.note("client 1 disconnected");
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(0));
    fs::read_to_string(file).expect("it is there")
}

fn round_trip(stream: &mut UnixStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("it is read");
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert!(answer == bytes);
}

/// The output of a relay that cannot record.
fn refused(folder: &Folder, file: &str, more: &[&str]) -> String {
    let path = folder.path("never");
    let (code, _, errors) = output(&[&["relay", &path, "80", "--record", file], more].concat());
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.starts_with(&format!("fyke: cannot write {file}: ")), "{errors}");
    errors
}

#[test]
fn a_recording_is_readable_by_its_owner_only_and_replaces_no_file_without_overwrite() {
    let folder = Folder::new();
    let file = folder.path("recording");
    assert!(record(&folder, &file, &[]).contains("secret"));
    assert_eq!(mode(&file), 0o600);
    let errors = refused(&folder, &file, &[]);
    assert!(errors.contains("the file exists; --overwrite replaces it"), "{errors}");
    assert!(fs::read_to_string(&file).unwrap().contains("secret"));
}

#[test]
fn overwriting_creates_a_new_file_that_no_other_process_has_open_and_no_other_user_can_read() {
    let folder = Folder::new();
    let (file, other) = (folder.path("recording"), folder.path("other-name"));
    fs::write(&file, "what was there").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::hard_link(&file, &other).unwrap();
    let mut reader = File::open(&file).unwrap();
    assert!(record(&folder, &file, &["--overwrite"]).contains("secret"));
    assert_eq!(mode(&file), 0o600);
    let mut seen = String::new();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "what was there");
    assert_eq!(fs::read_to_string(&other).unwrap(), "what was there");
}

#[test]
fn links_folders_and_pipes_are_refused_even_with_overwrite() {
    let folder = Folder::new();
    let (victim, link, nowhere) =
        (folder.path("victim"), folder.path("link"), folder.path("nowhere"));
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, &link).unwrap();
    symlink(folder.path("not-there"), &nowhere).unwrap();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let inner = folder.path("inner");
    fs::create_dir(&inner).unwrap();
    for more in [&[][..], &["--overwrite"]] {
        for path in [&link, &nowhere] {
            let errors = refused(&folder, path, more);
            assert!(errors.contains("symbolic link"), "{errors}");
        }
        refused(&folder, &pipe, more);
        refused(&folder, &inner, more);
        for option in ["--histogram", "--hgrm"] {
            let (code, text, errors) =
                output(&[&["load", "-n", "1", option, &link], more].concat());
            assert_eq!((code, text.as_str()), (Some(1), ""));
            assert!(errors.contains("symbolic link"), "{errors}");
        }
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert!(!fs::exists(folder.path("not-there")).unwrap());
}

#[test]
fn a_relay_that_cannot_start_creates_no_recording_and_replaces_none() {
    let folder = Folder::new();
    let (_server, taken) = Running::listen_at(&folder.path("taken"), &["--echo"]);
    let (new, old) = (folder.path("new"), folder.path("old"));
    fs::write(&old, "a recording").unwrap();
    let free = folder.path("s");
    for more in [&[&taken[..], "80"][..], &[&free, "80", "--metrics", &taken]] {
        for record in [&["--record", &new[..]][..], &["--record", &old, "--overwrite"]] {
            let (code, _, errors) = output(&[&["relay"], more, record].concat());
            assert_eq!(code, Some(1), "{errors}");
            assert!(errors.contains("EADDRINUSE"), "{errors}");
        }
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "a recording");
    let left: Vec<_> = fs::read_dir(folder.path(".")).unwrap().map(|name| name.unwrap()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_run_that_fails_does_not_replace_the_result_of_an_earlier_one() {
    let folder = Folder::new();
    let file = folder.path("a.svg");
    fs::write(&file, "earlier").unwrap();
    let arguments = ["load", "-n", "1", "127.0.0.1:1", "--histogram", &file, "--overwrite"];
    assert_eq!(output(&arguments).0, Some(3));
    assert_eq!(fs::read_to_string(&file).unwrap(), "earlier");
    fs::remove_file(&file).unwrap();
    assert!(folder.is_empty());
}

#[test]
fn a_recording_that_runs_out_of_space_ends_with_a_complete_line_and_the_relay_continues() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let (path, file) = (folder.path("s"), folder.path("recording"));
    // Blocks of 512 bytes, or of 1024.
    let script = format!(
        "ulimit -f 100; exec {} relay -v \"$1\" \"$2\" --record \"$3\" --interval 1ms",
        env!("CARGO_BIN_EXE_fyke")
    );
    let mut relay =
        Running::of(Command::new("sh").args(["-c", &script, "sh", &path, &target, &file]));
    let mut client = reach(&path);
    // Each recording is a line of more than a kilobyte.
    (0..200).for_each(|_| round_trip(&mut client, &[b'x'; 1000]));
    let reported = relay.note("cannot continue the recording");
    assert!(reported.contains(&file), "{reported}");
    round_trip(&mut client, b"still there");
    round_trip(&mut reach(&path), b"others too");
    drop(client);
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(1));
    relay.note("cannot continue the recording");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.len() > 20_000 && text.ends_with("}\n"), "{} bytes", text.len());
    let (code, _, errors) = output(&["replay", &file, &target, "--speed", "0", "--no-compare"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_recording_on_a_full_disk_is_reported_and_the_relay_continues() {
    let folder = Folder::new();
    let (_server, target) = Running::listen_at(&folder.path("t"), &["--echo"]);
    let path = folder.path("s");
    let arguments = ["relay", "-v", &path, &target, "--record", "/dev/full", "--interval", "1ms"];
    let mut relay = Running::start(&arguments);
    let mut client = reach(&path);
    round_trip(&mut client, b"one");
    relay.note("cannot continue the recording /dev/full: No space left on device");
    round_trip(&mut client, b"two");
    drop(client);
    relay.signal("TERM");
    assert_eq!(relay.wait().code(), Some(1));
}

#[test]
fn an_incomplete_line_is_skipped_at_the_end_of_a_recording_and_refused_elsewhere() {
    let folder = Folder::new();
    let file = folder.path("recording");
    let text = record(&folder, &file, &[]);
    let (_server, target) = Running::listen_at(&folder.path("u"), &["--echo"]);
    let lines: Vec<_> = text.lines().collect();
    let cut = text.len() - lines.last().unwrap().len() / 2 - 1;
    fs::write(&file, &text[..cut]).unwrap();
    let (code, _, errors) = output(&["replay", &file, &target, "--speed", "0"]);
    assert_eq!(code, Some(0), "{errors}");
    let expected = format!("fyke: {file}:{}: skipping an incomplete line\n", lines.len());
    assert_eq!(errors, expected);
    fs::write(&file, [&text[..cut], "\n", &text].concat()).unwrap();
    let (code, _, errors) = output(&["replay", &file, &target, "--speed", "0"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("is not part of a recording"), "{errors}");
}

#[test]
fn a_result_file_that_cannot_be_written_is_reported_before_the_run() {
    let folder = Folder::new();
    let old = folder.path("old");
    fs::write(&old, "old").unwrap();
    for option in ["--histogram", "--hgrm"] {
        for path in ["/no/such/folder/a", &old] {
            let arguments = ["load", "-d", "1h", option, path];
            let (code, text, errors) = output(&arguments);
            assert_eq!((code, text.as_str()), (Some(1), ""), "{errors}");
            assert!(errors.starts_with(&format!("fyke: cannot write {path}: ")), "{errors}");
        }
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        let (code, _, errors) = output(&["load", "-n", "5", option, &old, "--overwrite"]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(fs::read_to_string(&old).unwrap().len() > 100);
        fs::write(&old, "old").unwrap();
    }
}

#[test]
fn a_run_without_a_result_leaves_no_file() {
    let folder = Folder::new();
    let file = folder.path("a.svg");
    let (code, _, errors) = output(&["load", "-n", "1", "127.0.0.1:1", "--histogram", &file]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(folder.is_empty());
    let (code, _, errors) =
        output(&["load", "-n", "1", "-c", "1", "--histogram", &file, "--hgrm", &file]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(folder.is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_on_a_full_disk_names_its_file() {
    let output =
        fyke(&["load", "-n", "1", "-c", "1", "--histogram", "/dev/full"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("fyke: cannot write /dev/full: No space left"), "{errors}");
}
