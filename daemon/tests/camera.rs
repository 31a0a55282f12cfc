//! The camera's process as systemd starts it, without systemd: a listening socket as its standard input.
#![cfg(feature = "camera")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;
use vaktd::camera::elements::needed;
use vaktd::camera::wire::Answer;
use vaktd::camera::wire::REQUEST_MAX;
use vaktd::camera::wire::inventory;

struct Process {
    folder: TempDir,
    listener: UnixListener,
    child: Child,
}

fn program(idle: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vakt-camera"));
    command.args(["--idle", idle]);
    command
}

impl Process {
    fn started(idle: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("camera.sock")).unwrap();
        let child = Self::start(&listener, &folder, idle);
        Self { folder, listener, child }
    }

    fn start(listener: &UnixListener, folder: &TempDir, idle: &str) -> Child {
        let given: OwnedFd = listener.try_clone().unwrap().into();
        let mut command = program(idle);
        command.env("GST_REGISTRY", folder.path().join("registry.bin")).stdin(Stdio::from(given));
        command.spawn().unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("camera.sock")
    }

    /// What it answers to these bytes, to the end of the connection.
    fn answers(&self, bytes: &[u8]) -> Vec<String> {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        // It may close before it has read all: that ends the lines too.
        BufReader::new(stream).lines().map_while(Result::ok).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_what_gstreamer_can_do_refuses_the_rest_and_stays() {
    let mut process = Process::started("3600");
    let refusal = |process: &Process, bytes: &[u8]| {
        let lines = process.answers(bytes);
        let [line] = &lines[..] else { panic!("one line, then the end: {lines:?}") };
        match serde_json::from_str(line).unwrap() {
            Answer::Refused { refused, .. } => refused,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal(&process, b"rubbish\n"), "bad_request");
    assert_eq!(refusal(&process, b"{\"command\":\"unlock\"}\nand more\n"), "bad_request");
    assert_eq!(refusal(&process, &[b'['; REQUEST_MAX + 1]), "too_long");
    drop(UnixStream::connect(process.socket()).unwrap()); // one that says nothing
    let lines = process.answers(b"{\"command\":\"elements\"}\n");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let told = inventory(line.as_bytes()).unwrap();
    assert!(told.version.starts_with("1."), "{}", told.version);
    let Answer::Elements { elements, .. } = serde_json::from_str(line).unwrap() else { panic!("{line}") };
    assert!(elements.iter().map(|found| found.name.as_str()).eq(needed().map(|element| element.name)), "{line}");
    assert!(process.child.try_wait().unwrap().is_none(), "it goes on");
}

#[test]
fn it_goes_when_nobody_asks_and_who_came_meanwhile_is_answered_by_the_next() {
    let mut process = Process::started("1");
    assert!(process.child.wait().unwrap().success());
    let mut waiting = UnixStream::connect(process.socket()).unwrap();
    waiting.write_all(b"hello\n").unwrap();
    process.child = Process::start(&process.listener, &process.folder, "1");
    let mut line = String::new();
    BufReader::new(waiting).read_line(&mut line).unwrap();
    assert!(line.contains("bad_request"), "{line}");
    assert!(process.child.wait().unwrap().success());
}

#[test]
fn it_tells_who_starts_it_by_hand_how_it_is_started() {
    let connected = || Stdio::from(OwnedFd::from(UnixStream::pair().unwrap().0));
    for stdin in [Stdio::null(), connected()] {
        let output = program("1").stdin(stdin).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("let vakt-camera.socket start this"), "{said}");
    }
    assert_eq!(program("0").stderr(Stdio::null()).status().unwrap().code(), Some(64));
}
