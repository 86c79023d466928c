//! Connections that call.
use crate::support::{Answer, Script, serve};
use crate::{cells, fails_with, ran, url};
use std::process::Output;

/// A tenth of a second of calls, each connection every ten milliseconds.
fn orders(calls: Answer, further: &[&str]) -> Output {
    let url = url(serve(Script {
        calls,
        ..Script::honest(0)
    }));
    let arguments = [
        "orders",
        "--url",
        &url,
        "--connections",
        "3",
        "--every",
        "5..15ms",
        "--duration",
        "100ms",
        "--line",
        "100ms",
    ];
    ran(&[&arguments, further].concat())
}

#[test]
fn orders_are_called_and_every_answer_is_counted() {
    for method in ["order.echo", "order.submit"] {
        let output = orders(Answer::Right, &["--method", method, "--processes", "2"]);
        let summary = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{summary}");
        let counts = cells(
            &summary.replace(": ", "  ").replace(", ", "  "),
            "calls due ",
        );
        let due = &counts[0];
        assert_eq!(counts[1], format!("answered {due}"), "{summary}");
        assert!(due.parse::<u64>().unwrap() > 3, "{summary}");
    }
}

#[test]
fn an_answer_that_is_not_the_one_to_its_call_fails_the_run() {
    let output = orders(Answer::Wrong, &[]);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains("answers are not the answer to their call"),
        "{summary}"
    );
    assert_eq!(output.status.code(), Some(1), "{summary}");
}

#[test]
fn calls_that_are_refused_are_told_by_their_code() {
    let output = orders(Answer::Error("limit"), &["--threshold", "errors==0"]);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains("(limit ") && summary.contains("answered 0"),
        "{summary}"
    );
    assert_eq!(output.status.code(), Some(99), "{summary}");
    let line = fails_with(
        &orders(Answer::Error("unknown_method"), &["--csv", "/dev/null"]),
        69,
    );
    assert!(
        line.contains("the server refuses the calls: unknown_method: no"),
        "{line}"
    );
}
