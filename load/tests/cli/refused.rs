//! What is no run: arguments, machines and servers that it cannot be made with, each in one line.
use crate::support::{Script, serve};
use crate::{fails_with, load, quick_ramp, ran, url};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

#[test]
fn arguments_that_cannot_be_meant_are_one_line_and_sixty_four() {
    let line = fails_with(&ran(&["ramp", "--url", "localhost"]), 64);
    assert!(line.contains("--url localhost"), "{line}");
    fails_with(&ran(&["--every", "soon"]), 64);
    fails_with(&ran(&["dance"]), 64);
    let output = load(&["member"]).stdin(Stdio::null()).output().unwrap();
    let line = fails_with(&output, 64);
    assert!(line.contains("for pubsub-load itself"), "{line}");
    let line = fails_with(&ran(&["--slow", "5%:sleep"]), 64);
    assert!(line.contains("expected stall, read=RATE"), "{line}");
    let line = fails_with(&ran(&["--settings", "{\"topic\":\"x\"}"]), 64);
    assert!(line.contains("give it with --topic"), "{line}");
}

#[test]
fn the_doctor_names_what_is_short_in_one_line_and_sixty_nine() {
    let looked = ran(&["doctor", "--connections", "4000000000", "--workers", "7"]);
    let line = fails_with(&looked, 69);
    let table = String::from_utf8(looked.stdout).unwrap();
    assert!(line.contains("memory"), "{line}");
    assert!(
        table.contains("node, 7 workers") && table.contains("load generator"),
        "{table}"
    );
    fails_with(&ran(&["doctor", "--connections", "0"]), 64);
}

/// Answers every connection with these bytes.
fn answers(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            if socket.read(&mut request).is_ok() {
                let _ = socket.write_all(bytes);
            }
        }
    });
    addr
}

#[test]
fn nobody_there_is_one_line_and_sixty_nine() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let line = fails_with(&quick_ramp(unused), 69);
    assert!(line.contains("connection refused"), "{line}");
    let line = fails_with(
        &ran(&["publish", "--topic", "t", "--url", &url(unused)]),
        69,
    );
    assert!(line.contains("connection refused"), "{line}");
}

#[test]
fn a_status_instead_of_an_upgrade_is_shown() {
    let addr = answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let line = fails_with(&quick_ramp(addr), 69);
    assert!(line.contains("HTTP 404 Not Found instead of 101"), "{line}");
}

#[test]
fn a_server_that_is_none_of_ours_is_told_by_what_it_answers() {
    let cases: [(&'static [u8], &str); 5] = [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP 200 OK instead of 101: is this a WebSocket address?",
        ),
        (
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\n\r\n",
            "it redirects",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            "it does not let this client in",
        ),
        (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS"),
        (b"", "closed the connection before it answered the upgrade"),
    ];
    for (answer, part) in cases {
        let line = fails_with(&quick_ramp(answers(answer)), 69);
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn what_speaks_no_http_is_no_websocket() {
    let line = fails_with(&quick_ramp(answers(b"-ERR unknown command\r\n")), 69);
    assert!(line.contains("does not speak WebSocket"), "{line}");
}

#[test]
fn a_subscription_that_is_refused_ends_the_run_with_its_reason() {
    let addr = serve(Script {
        refuses: true,
        ..Script::honest(0)
    });
    let line = fails_with(&quick_ramp(addr), 69);
    assert!(line.contains("limit: no room for t"), "{line}");
}

#[test]
fn more_connections_than_files_says_how_many_are_possible() {
    let line = fails_with(&ran(&["--max", "99999999", "--topic", "t"]), 69);
    assert!(line.contains("ask for at most"), "{line}");
}

#[test]
fn a_report_that_cannot_be_written_is_one_line_that_names_it() {
    let url = url(serve(Script::honest(1)));
    let quick = [
        "--url", &url, "--topic", "t", "--max", "1", "--every", "100ms", "--hold", "0s",
    ];
    for flag in ["--csv", "--hdr", "--json"] {
        let line = fails_with(
            &ran(&[quick.as_slice(), &[flag, "/nowhere/a"]].concat()),
            69,
        );
        assert!(
            line.contains(&format!("{flag} /nowhere/a: No such file")),
            "{line}"
        );
    }
    for flag in ["--csv", "--hdr"] {
        let line = fails_with(&ran(&[quick.as_slice(), &[flag, "/dev/full"]].concat()), 69);
        assert!(
            line.contains(&format!("{flag} /dev/full: No space left")),
            "{line}"
        );
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = load(&quick).stdout(full).output().unwrap();
    let line = fails_with(&output, 69);
    assert!(line.contains("standard output: No space left"), "{line}");
}
