//! `elbo serve` and `elbo train --serve`: the real binary, asked over a socket.

#![cfg(unix)]

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Folder, Running};

/// The address that a command printed, once it has.
pub fn address(running: &mut Running, told: impl Fn(&Running) -> String) -> String {
    let found = |text: &str| Some(text.split("http://").nth(1)?.split_once('/')?.0.to_owned());
    running.wait_until(|running| found(&told(running)).is_some());
    found(&told(running)).unwrap_or_else(|| panic!("no address: {}", running.stderr()))
}

pub fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // An answer may be of bytes.
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_run_is_served_until_a_signal() {
    let folder = Folder::new();
    folder.train("runs/a", "").done();
    let mut service = folder.start(&mut folder.command("serve --port 0"));
    let address = address(&mut service, Running::stdout);
    assert!(ask(&address, "GET", "/api/runs", "").contains("\"id\":\"a\""));
    let decoded = ask(&address, "POST", "/api/runs/a/decode", r#"{"z": [[0, 0, 0]]}"#);
    assert!(decoded.starts_with("HTTP/1.1 200") && decoded.contains("\"shape\":[1,1,28,28]"), "{decoded:.300}");
    service.signal("TERM");
    service.finish().done();
}

#[test]
fn a_run_in_training_is_stopped_over_the_service_and_keeps_its_checkpoint() {
    let folder = Folder::new();
    let line = "train --set data.count=300 --set network.hidden=[16] --epochs 100000 --out r --serve 0";
    let mut training = folder.start(&mut folder.command(line));
    let address = address(&mut training, Running::stderr);
    training.wait_until(|_| folder.path("r/checkpoints/last/manifest.json").exists());
    let stopped = ask(&address, "POST", "/api/runs/r/stop", "");
    assert!(stopped.starts_with("HTTP/1.1 202"), "{stopped}");
    assert_eq!(training.finish().code, Some(143), "as if SIGTERM had come from a terminal");
    folder.run("eval r").done();
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = Folder::new();
    folder.run("serve nowhere --port 0").refused(5, &["nowhere", "cannot read", "No such file"]);
    std::fs::write(folder.path("file"), "").unwrap();
    folder.run("serve file --port 0").refused(5, &["file", "cannot read"]);
    folder.run("serve --host 0.0.0.0 --port 0").refused(2, &["--token"]);
    folder.run("serve --port 70000").refused(2, &["70000"]);
}
