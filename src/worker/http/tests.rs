use super::*;

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A handshake of the sample in RFC 6455, 1.3, with lines added behind.
fn handshake(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

fn answer(text: &str, service: Service, echo: Echo) -> Route {
    let origins = Origins::default();
    let site = Site {
        origins: &origins,
        local: LOCAL,
        service,
        echo,
    };
    match parse(text.as_bytes()) {
        Head::Whole(request, length) => {
            assert_eq!(length, text.len());
            route(&request, &site)
        }
        Head::Bad(refusal) => Route::Refuse(refusal),
        Head::Partial => panic!("not whole: {text}"),
    }
}

fn refused(text: &str) -> Refusal {
    match answer(text, Service::Open, Echo::Off) {
        Route::Refuse(refusal) => refusal,
        other => panic!("{other:?} to {text}"),
    }
}

fn status(text: &str) -> u16 {
    refused(text).status.as_u16()
}

#[test]
fn a_handshake_is_answered_with_the_accept_key_of_the_specification() {
    let Route::Session(response) = answer(&handshake("/ws", ""), Service::Open, Echo::Off) else {
        panic!("no session");
    };
    let text = String::from_utf8(switching(&response)).expect("ASCII");
    assert!(
        text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{text}"
    );
    assert!(text.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(text.ends_with("\r\n\r\n"));
    assert!(!text.contains("sec-websocket-protocol"));
}

#[test]
fn the_subprotocol_is_named_when_it_was_offered_among_others() {
    let offer = "Sec-WebSocket-Protocol: graphql-ws, pubsub.v1\r\n";
    let Route::Session(response) = answer(&handshake("/ws", offer), Service::Open, Echo::Off)
    else {
        panic!("no session");
    };
    assert_eq!(
        response.headers()[header::SEC_WEBSOCKET_PROTOCOL],
        SUBPROTOCOL
    );
}

#[test]
fn a_query_and_an_absolute_target_are_the_same_route() {
    for target in ["/ws?token=1", "http://example.com/ws"] {
        let answer = answer(&handshake(target, ""), Service::Open, Echo::Off);
        assert!(matches!(answer, Route::Session(_)), "{target}");
    }
}

#[test]
fn health_is_answered_without_a_handshake_and_in_http_1_0_without_host() {
    for text in [
        "GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
    ] {
        assert!(matches!(
            answer(text, Service::Open, Echo::Off),
            Route::Health
        ));
    }
}

#[test]
fn echo_exists_only_when_it_is_on() {
    assert_eq!(status(&handshake("/echo", "")), 404);
    let on = answer(&handshake("/echo", ""), Service::Open, Echo::On);
    assert!(matches!(on, Route::Echo(_)));
}

#[test]
fn each_wrong_request_gets_its_status() {
    let plain = "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(status(plain), 426);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
    assert_eq!(status("GET /wss HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
    assert_eq!(status("POST /ws HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
    assert_eq!(status("HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
    assert_eq!(status("GET /ws HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(
        status("GET /ws HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        400
    );
    assert_eq!(status("GET /ws HTTP/2.0\r\n\r\n"), 400);
    assert_eq!(status("\u{1}\u{2}\r\n\r\n"), 400);
    assert_eq!(status(&handshake("/ws", "Content-Length: 5\r\n")), 400);
    assert_eq!(
        status(&handshake("/ws", "Transfer-Encoding: chunked\r\n")),
        400
    );
    let key = handshake("/ws", "").replace("dGhlIHNhbXBsZSBub25jZQ==", "short");
    assert_eq!(status(&key), 400);
    let old = handshake("/ws", "").replace("Version: 13", "Version: 8");
    assert_eq!(status(&old), 426);
    assert_eq!(refused(&old).header.expect("a header").1, "13");
    let many = "X: 1\r\n".repeat(70);
    assert_eq!(status(&handshake("/ws", &many)), 431);
}

#[test]
fn a_foreign_origin_is_refused_and_counted_as_such() {
    let near = handshake("/ws", "Origin: http://127.0.0.1:3000\r\n");
    assert!(matches!(
        answer(&near, Service::Open, Echo::Off),
        Route::Session(_)
    ));
    for origin in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost\r\nOrigin: http://localhost\r\n",
    ] {
        let refusal = refused(&handshake("/ws", origin));
        assert_eq!(
            (refusal.status.as_u16(), refusal.why),
            (403, Rejected::Origin)
        );
    }
}

#[test]
fn while_draining_health_and_ws_are_unavailable_and_say_when_to_return() {
    let draining = Service::Draining { retry_after_s: 5 };
    for text in [
        handshake("/ws", ""),
        "GET /health HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
    ] {
        let Route::Refuse(refusal) = answer(&text, draining, Echo::Off) else {
            panic!("taken");
        };
        let bytes = String::from_utf8(refusal.to_bytes()).expect("ASCII");
        assert!(
            bytes.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{bytes}"
        );
        assert!(bytes.contains("retry-after: 5\r\n") && bytes.contains("connection: close\r\n"));
        assert!(bytes.ends_with("\r\n\r\nthis node is draining\n"));
    }
}

#[test]
fn a_head_is_partial_until_its_empty_line() {
    let text = handshake("/ws", "");
    for end in 0..text.len() {
        assert!(
            matches!(parse(&text.as_bytes()[..end]), Head::Partial),
            "{end}"
        );
    }
}

#[test]
fn bytes_behind_the_head_are_not_part_of_it() {
    let text = handshake("/ws", "");
    let Head::Whole(_, length) = parse(format!("{text}\u{1}\u{2}").as_bytes()) else {
        panic!("not whole");
    };
    assert_eq!(length, text.len());
}

#[test]
fn forwarding_headers_are_seen() {
    for (more, forwarded) in [
        ("", false),
        ("X-Forwarded-For: 192.0.2.1\r\n", true),
        ("Forwarded: for=192.0.2.1\r\n", true),
        ("X-Real-IP: 192.0.2.1\r\n", true),
    ] {
        let Head::Whole(request, _) = parse(handshake("/ws", more).as_bytes()) else {
            panic!("not whole");
        };
        assert_eq!(is_forwarded(&request), forwarded, "{more}");
    }
}
