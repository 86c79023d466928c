//! Bad input of every kind. Each is answered as the protocol says, and a bystander on the same worker never notices.
mod harness;

use harness::{Node, Raw, Socket, http_request, masked_frame, pid_of, upgrade_request, worker};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// First byte of a frame: FIN with text, binary, ping; then the same without FIN, and continuations.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

/// A node of one worker and somebody on it who must see every payload of `execs`.
struct Scene {
    node: Node,
    bystander: Socket,
    worker_pid: u32,
}

impl Scene {
    async fn set(arguments: &[&str]) -> Scene {
        let node =
            Node::start(&[&["--workers", "1", "--interval-ms", "1..3"], arguments].concat()).await;
        let mut bystander = Socket::open(node.listen).await;
        bystander
            .subscribe(
                "execs",
                json!({"bound": {"messages": 100_000, "bytes": 64 << 20}}),
            )
            .await;
        bystander.messages(1).await;
        let worker_pid = node.worker_pid(0).await;
        Scene {
            node,
            bystander,
            worker_pid,
        }
    }

    async fn socket(&self) -> Socket {
        Socket::open(self.node.listen).await
    }

    async fn raw(&self) -> Raw {
        Raw::upgraded(self.node.listen).await
    }

    /// Nobody else noticed: the worker is the one it was and the bystander's payloads have no hole.
    async fn stays_undisturbed(mut self) {
        let mut before = None;
        for message in self.bystander.messages(20).await {
            let request = message["data"]["request"].as_u64().expect("a count");
            assert_eq!(
                before.map_or(request, |before: u64| before + 1),
                request,
                "the bystander misses a payload"
            );
            before = Some(request);
        }
        assert_eq!(self.node.worker_pid(0).await, self.worker_pid);
        let mut newcomer = self.socket().await;
        newcomer.subscribe("execs", json!({})).await;
        newcomer.messages(1).await;
    }
}

/// The code of an `error`.
fn code(answer: &Value) -> &str {
    assert_eq!(answer["op"], "error", "{answer}");
    assert!(
        !answer["message"].as_str().expect("a message").is_empty(),
        "{answer}"
    );
    answer["code"].as_str().expect("a code")
}

/// Sends text and gives the error that comes back; the connection has to live on.
async fn refused(socket: &mut Socket, text: &str) -> Value {
    socket.send_text(text.to_owned()).await;
    let answer = socket.next_op_or_error().await;
    code(&answer);
    assert_eq!(
        socket.ask(json!({"op": "ping"})).await["op"],
        "pong",
        "the connection lives after {text:.100}"
    );
    answer
}

#[tokio::test]
async fn what_is_no_json_object_is_bad_json() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    for text in [
        "",
        "hello",
        "{",
        r#"{"op":"ping""#,
        r#"{"op":"ping"}}"#,
        "{'op':'ping'}",
        "NaN",
        "\u{0}",
    ] {
        assert_eq!(
            code(&refused(&mut socket, text).await),
            "bad_json",
            "{text:?}"
        );
    }
    for text in ["[]", "1", "null", "\"ping\"", "[{\"op\":\"ping\"}]"] {
        let answer = refused(&mut socket, text).await;
        assert!(
            ["bad_json", "bad_field"].contains(&code(&answer)),
            "{text}: {answer}"
        );
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn an_unknown_op_is_named_and_the_id_comes_back() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    let answer = refused(&mut socket, r#"{"op":"subscrbe","id":"mine","topic":"a"}"#).await;
    assert_eq!(
        (code(&answer), &answer["id"]),
        ("unknown_op", &json!("mine"))
    );
    let answer = refused(&mut socket, r#"{"id":7}"#).await;
    assert_eq!(answer["id"], 7, "{answer}");
    assert_eq!(answer["field"], "op", "{answer}");
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn a_wrong_or_unknown_field_is_named() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    for (command, field) in [
        (r#"{"op":"subscribe"}"#, "topic"),
        (r#"{"op":"subscribe","topic":5}"#, "topic"),
        (r#"{"op":"subscribe","topic":null}"#, "topic"),
        (r#"{"op":"subscribe","topic":"a","topc":"b"}"#, "topc"),
        (
            r#"{"op":"subscribe","topic":"a","from":"yesterday"}"#,
            "from",
        ),
        (
            r#"{"op":"subscribe","topic":"a","from":{"recent":-1}}"#,
            "from.recent",
        ),
        (
            r#"{"op":"subscribe","topic":"a","from":{"offset":1}}"#,
            "from.epoch",
        ),
        (
            r#"{"op":"subscribe","topic":"a","bound":{"messages":"many"}}"#,
            "bound.messages",
        ),
        (
            r#"{"op":"subscribe","topic":"a","bound":{"messages":0}}"#,
            "bound.messages",
        ),
        (
            r#"{"op":"subscribe","topic":"a","bound":{"letters":1}}"#,
            "bound.letters",
        ),
        (
            r#"{"op":"subscribe","topic":"a","overflow":"drop"}"#,
            "overflow",
        ),
        (r#"{"op":"unsubscribe","topic":"a","drain":"yes"}"#, "drain"),
        (r#"{"op":"publish","topic":"a"}"#, "data"),
        (r#"{"op":"publish","topic":"a","key":5,"data":1}"#, "key"),
        (r#"{"op":"publish","topic":"a.*","data":1}"#, "topic"),
        (r#"{"op":"ping","id":[]}"#, "id"),
        (r#"{"op":"ping","id":1.5}"#, "id"),
    ] {
        let answer = refused(&mut socket, command).await;
        assert_eq!(
            (code(&answer), answer["field"].as_str()),
            ("bad_field", Some(field)),
            "{command}: {answer}"
        );
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_by_field_and_nobody_notices() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    for (settings, field) in [
        (
            r#""from":{"positions":[{"part":0,"epoch":"e","offset":1}]}"#,
            "from.positions",
        ),
        (r#""rate":{"mode":"debounce","ms":100}"#, "rate.max_wait_ms"),
        (r#""rate":{"mode":"sample","ms":0}"#, "rate.ms"),
        (r#""batch":{}"#, "batch"),
        (r#""credit":-1"#, "credit"),
        (r#""bound":{"age_ms":0}"#, "bound.age_ms"),
        (r#""overflow":"drop_all""#, "overflow"),
    ] {
        let command = format!(r#"{{"op":"subscribe","topic":"a",{settings}}}"#);
        let answer = refused(&mut socket, &command).await;
        assert_eq!(
            (code(&answer), answer["field"].as_str()),
            ("bad_field", Some(field)),
            "{command}: {answer}"
        );
    }
    for command in [
        r#"{"op":"credit","topic":"a","n":1}"#,
        r#"{"op":"reconfigure","topic":"a","bound":{"messages":1}}"#,
    ] {
        let answer = refused(&mut socket, command).await;
        assert_eq!(code(&answer), "not_subscribed");
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn a_bad_topic_is_refused_wherever_it_comes() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    let long = "x".repeat(256);
    let many = vec!["t"; 17].join(".");
    for topic in [
        "", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\u{a0}b", "a\u{7}b", "a\"b", "a\\b", &long,
        &many, ">.a", "a.>.b", "a*", "a.b>",
    ] {
        for op in ["subscribe", "publish"] {
            let mut command = json!({"op": op, "topic": topic});
            if op == "publish" {
                command["data"] = json!(1);
            }
            let answer = socket.ask(command).await;
            assert_eq!(
                (code(&answer), &answer["field"]),
                ("bad_field", &json!("topic")),
                "{op} {topic:?}: {answer}"
            );
        }
    }
    for topic in ["*", ">", "a.*"] {
        let answer = socket
            .ask(json!({"op": "publish", "topic": topic, "data": 1}))
            .await;
        assert_eq!(
            (code(&answer), &answer["field"]),
            ("bad_field", &json!("topic")),
            "publish {topic:?}"
        );
    }
    let longest = "ä".repeat(127) + "x";
    for topic in ["a-b_c", "ä.日本", &longest, &vec!["t"; 16].join(".")] {
        socket.subscribe(topic, json!({})).await;
        socket.publish(topic, None, json!(1)).await;
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn deep_nesting_is_answered_and_breaks_no_stack() {
    let scene = Scene::set(&[]).await;
    for depth in [200, 20_000, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let inner = if open == "[" { "" } else { "1" };
            let deep = open.repeat(depth) + inner + &close.repeat(depth);
            if deep.len() > 200_000 {
                continue; // over the frame's limit, which is another test
            }
            let mut socket = scene.socket().await;
            for command in [
                deep.clone(),
                format!(r#"{{"op":{deep}}}"#),
                format!(r#"{{"op":"ping","id":{deep}}}"#),
                format!(r#"{{"op":"subscribe","topic":"a","from":{deep}}}"#),
                open.repeat(depth),
            ] {
                refused(&mut socket, &command).await;
            }
            // As a payload it is either carried or refused, but answered.
            socket
                .send_text(format!(
                    r#"{{"op":"publish","id":"deep","topic":"a","data":{deep}}}"#
                ))
                .await;
            let answer = socket.answer_or_error(&json!("deep")).await;
            assert!(
                ["published", "error"].contains(&answer["op"].as_str().expect("an op")),
                "{answer}"
            );
        }
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn an_oversized_message_is_closed_with_1009_whole_or_in_fragments() {
    let scene = Scene::set(&[]).await;
    let limit = scene.bystander.welcome["limits"]["frame_bytes"]
        .as_u64()
        .expect("a limit");
    let limit = usize::try_from(limit).expect("it fits");

    let mut whole = scene.raw().await;
    whole
        .write(&masked_frame(TEXT, &vec![b'x'; limit + 1]))
        .await;
    assert_eq!(whole.close_code().await, Some(1009));

    let mut announced = scene.raw().await;
    announced
        .write(&[
            TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
        ])
        .await;
    assert_eq!(
        announced.close_code().await,
        Some(1009),
        "the announced length is enough"
    );

    let mut fragments = scene.raw().await;
    fragments.write(&masked_frame(TEXT_BEGINS, b"{")).await;
    for _ in 0..=limit / 60_000 {
        fragments
            .write(&masked_frame(GOES_ON, &vec![b' '; 60_000]))
            .await;
    }
    assert_eq!(fragments.close_code().await, Some(1009));

    let mut fits = scene.socket().await;
    let data = "x".repeat(limit - 100);
    fits.publish("a", None, json!(data)).await;
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn fragments_without_end_are_stopped_at_the_limit() {
    /// Each brings one byte of the message; few, so that not much is sent after the end.
    const FRAMES_AT_ONCE: usize = 4096;
    let scene = Scene::set(&[]).await;
    let mut endless = scene.raw().await;
    endless.write(&masked_frame(TEXT_BEGINS, b"{")).await;
    let limit = scene.bystander.welcome["limits"]["frame_bytes"]
        .as_u64()
        .expect("a limit");
    let run: Vec<u8> = masked_frame(GOES_ON, b" ").repeat(FRAMES_AT_ONCE);
    for _ in 0..=limit / FRAMES_AT_ONCE as u64 {
        endless.write(&run).await;
    }
    assert_eq!(endless.close_code().await, Some(1009));

    // In fragments that do end, with a ping between them, a command is a command.
    let mut patient = scene.raw().await;
    patient
        .write(&masked_frame(TEXT_BEGINS, br#"{"op":"#))
        .await;
    patient.write(&masked_frame(0x89, b"still there?")).await;
    assert_eq!(patient.frame().await, Some((10, b"still there?".to_vec())));
    patient.write(&masked_frame(GOES_ON, b"")).await;
    patient
        .write(&masked_frame(ENDS, br#""ping","id":"z"}"#))
        .await;
    let (_, pong) = patient.frame().await.expect("a pong");
    assert!(
        pong.starts_with(br#"{"op":"pong","id":"z""#),
        "{}",
        String::from_utf8_lossy(&pong)
    );
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn frames_that_break_the_rules_close_with_their_code() {
    let scene = Scene::set(&[]).await;
    let unmasked = [&[TEXT, 13][..], br#"{"op":"ping"}"#].concat();
    let long_ping = masked_frame(0x89, &[0; 126]);
    for (bytes, expected, what) in [
        (masked_frame(BINARY, b"\x00\x01"), 1003, "a binary frame"),
        (masked_frame(TEXT, b"{\"op\":\"\xff\"}"), 1007, "bad UTF-8"),
        (masked_frame(TEXT, b"\xed\xa0\x80"), 1007, "a surrogate"),
        (unmasked, 1002, "an unmasked frame"),
        (masked_frame(0xc1, b"{}"), 1002, "a reserved bit"),
        (masked_frame(0x83, b"{}"), 1002, "a reserved opcode"),
        (masked_frame(ENDS, b"{}"), 1002, "a continuation of nothing"),
        (masked_frame(0x09, b"x"), 1002, "a fragmented ping"),
        (long_ping, 1002, "a ping too long"),
        (masked_frame(0x88, &[3]), 1002, "a close of one byte"),
        (
            masked_frame(0x88, &999_u16.to_be_bytes()),
            1002,
            "a close code that doesn't exist",
        ),
        (
            [masked_frame(TEXT_BEGINS, b"{"), masked_frame(TEXT, b"}")].concat(),
            1002,
            "a message within a message",
        ),
    ] {
        let mut raw = scene.raw().await;
        raw.write(&bytes).await;
        assert_eq!(raw.close_code().await, Some(expected), "{what}");
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn keys_and_ids_have_limits() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    let answer = socket
        .ask(json!({"op": "publish", "topic": "a", "key": "k".repeat(256), "data": 1}))
        .await;
    assert_eq!(code(&answer), "too_large");
    socket.publish("a", Some(&"k".repeat(255)), json!(1)).await;
    let answer = refused(
        &mut socket,
        &json!({"op": "ping", "id": "i".repeat(100)}).to_string(),
    )
    .await;
    assert_eq!(code(&answer), "too_large");
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn a_full_table_of_subscriptions_is_a_limit_and_has_room_again() {
    let scene = Scene::set(&[]).await;
    let mut socket = scene.socket().await;
    let most = socket.welcome["limits"]["subscriptions"]
        .as_u64()
        .expect("a limit");
    for number in 0..most {
        socket.subscribe(&format!("s.{number}"), json!({})).await;
    }
    let over = socket
        .ask(json!({"op": "subscribe", "topic": "one.more"}))
        .await;
    assert_eq!(code(&over), "limit");
    assert_eq!(
        socket
            .ask(json!({"op": "unsubscribe", "topic": "s.0"}))
            .await["op"],
        "unsubscribed"
    );
    socket.subscribe("one.more", json!({})).await;
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn commands_beyond_the_rate_are_refused_and_one_that_goes_on_is_closed() {
    /// So few that their answers wait for nobody.
    const COMMANDS_AT_ONCE: u64 = 500;
    /// Ten times the burst.
    const MOST_ROUNDS: u64 = 40;
    let scene = Scene::set(&[]).await;
    let mut hasty = scene.socket().await;
    let mut limited = 0;
    for round in 0..MOST_ROUNDS {
        for number in 0..COMMANDS_AT_ONCE {
            let id = round * COMMANDS_AT_ONCE + number;
            hasty
                .feed_text(json!({"op": "ping", "id": id}).to_string())
                .await;
        }
        hasty.flush().await;
        for _ in 0..COMMANDS_AT_ONCE {
            limited += u64::from(hasty.next_op_or_error().await["code"] == "rate_limited");
        }
        if limited > 0 {
            break;
        }
    }
    assert!(
        limited > 0,
        "all of {} commands passed",
        MOST_ROUNDS * COMMANDS_AT_ONCE
    );

    let mut deaf = scene.raw().await;
    let burst = masked_frame(TEXT, br#"{"op":"ping"}"#).repeat(COMMANDS_AT_ONCE as usize);
    let mut closed = None;
    'rounds: for _ in 0..MOST_ROUNDS {
        deaf.write(&burst).await;
        for _ in 0..COMMANDS_AT_ONCE {
            let (opcode, payload) = deaf.frame().await.expect("an answer or a close");
            if opcode == 8 {
                closed = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                break 'rounds;
            }
        }
    }
    assert_eq!(closed, Some(1008), "policy: don't come back");
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_the_answers_is_let_go() {
    let scene = Scene::set(&[]).await;
    let mut rude = scene.raw().await;
    let questions = masked_frame(
        TEXT,
        br#"{"op":"no such thing, and a long name for it, so that answers are long too"}"#,
    )
    .repeat(50);
    for _ in 0..2000 {
        rude.write(&questions).await;
    }
    let status = scene
        .node
        .until("it is gone", |status| worker(status, 0)["connections"] == 1)
        .await;
    assert_eq!(pid_of(worker(&status, 0)), scene.worker_pid);
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn requests_that_are_no_upgrade_get_their_status() {
    let scene = Scene::set(&[]).await;
    let listen = scene.node.listen;
    let upgrade = upgrade_request(listen, "Connection: close\r\n");
    for (request, expected) in [
        (upgrade.replace("GET ", "POST "), vec![405, 400]),
        (upgrade.replace("/ws", "/elsewhere"), vec![404]),
        (
            upgrade.replace("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"),
            vec![426],
        ),
        (
            upgrade.replace("Upgrade: websocket\r\n", ""),
            vec![426, 400],
        ),
        (
            upgrade.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            vec![400],
        ),
        (
            upgrade.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
            vec![400],
        ),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), vec![400, 505]),
        ("\u{16}\u{3}\u{1} this is TLS\r\n\r\n".to_owned(), vec![400]),
        (
            format!(
                "GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
                "x".repeat(200_000)
            ),
            vec![431, 400],
        ),
    ] {
        let response = http_request(listen, &request)
            .await
            .unwrap_or_else(|error| panic!("{request:.80}: {error}"));
        assert!(
            expected.contains(&response.code),
            "{request:.80}: {response:?}"
        );
        if request.contains("Version: 8") {
            assert_eq!(
                response.header("sec-websocket-version"),
                Some("13"),
                "{response:?}"
            );
        }
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn a_header_that_never_ends_is_given_up() {
    let scene = Scene::set(&[]).await;
    let mut long = Raw::connect(scene.node.listen).await;
    long.write(b"GET /ws HTTP/1.1\r\n").await;
    let line = b"X-And-Another: header that goes on and on and on\r\n".repeat(1000);
    for _ in 0..100 {
        long.write(&line).await;
    }
    long.read_to_end().await;

    let mut slow = Raw::connect(scene.node.listen).await;
    slow.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n").await;
    slow.read_to_end().await; // the handshake's time is up
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn a_thousand_half_open_handshakes_keep_nobody_out() {
    let scene = Scene::set(&[]).await;
    let mut half_open = Vec::new();
    for number in 0..1000 {
        let mut raw = Raw::connect(scene.node.listen).await;
        if number % 2 == 0 {
            raw.write(b"GET /ws HTTP/1.1\r\nHost:").await;
        }
        half_open.push(raw);
    }
    let mut socket = scene.socket().await;
    socket.subscribe("execs", json!({})).await;
    socket.messages(3).await;
    for raw in &mut half_open {
        raw.read_to_end().await;
    }
    scene.stays_undisturbed().await;
}

#[tokio::test]
async fn clients_that_vanish_in_the_middle_of_everything_are_ordinary() {
    let scene = Scene::set(&[]).await;
    for _ in 0..100 {
        let mut socket = scene.socket().await;
        socket.subscribe("execs", json!({})).await;
        socket.messages(1).await;
        drop(socket);
        let stream = TcpStream::connect(scene.node.listen)
            .await
            .expect("a connection");
        stream
            .set_zero_linger()
            .expect("a reset instead of a close");
        let mut reset = Socket::try_upgrade(stream, scene.node.listen)
            .await
            .expect("an upgrade");
        reset.subscribe("quotes.>", json!({})).await;
        drop(reset);
    }
    scene
        .node
        .until("the bystander alone is left", |status| {
            worker(status, 0)["connections"] == 1
        })
        .await;
    let complaints = scene
        .node
        .log()
        .lines()
        .filter(|line| line.contains("ERROR"))
        .count();
    assert_eq!(complaints, 0, "{}", scene.node.log());
    scene.stays_undisturbed().await;
}

/// A configuration file with `text` in it.
fn file_with(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("a file can be written");
    file
}

#[tokio::test]
async fn a_full_table_of_connections_refuses_and_has_room_again() {
    for (table, most) in [
        ("connections = 4", 4),
        ("node_connections = 4", 4),
        ("per_address = 4", 4),
    ] {
        let file = file_with(&format!("[worker]\n{table}\n"));
        let scene = Scene::set(&["--config", file.path().to_str().expect("UTF-8")]).await;
        let mut held = Vec::new();
        for _ in 1..most {
            held.push(scene.socket().await); // the bystander is one more
        }
        let request = upgrade_request(scene.node.listen, "");
        let refused = http_request(scene.node.listen, &request)
            .await
            .expect("an answer");
        assert!([429, 503].contains(&refused.code), "{table}: {refused:?}");
        assert!(
            refused.header("retry-after").is_some(),
            "{table}: {refused:?}"
        );
        held.clear();
        scene
            .node
            .until("they are gone", |status| {
                worker(status, 0)["connections"] == 1
            })
            .await;
        scene.stays_undisturbed().await;
    }
}

#[tokio::test]
async fn a_full_table_of_topics_is_a_limit_for_new_ones_only() {
    let file = file_with("[limits]\ntopics = 3\n");
    let arguments = [
        "--workers",
        "1",
        "--source",
        "none",
        "--config",
        file.path().to_str().expect("UTF-8"),
    ];
    let node = Node::start(&arguments).await;
    let mut socket = Socket::open(node.listen).await;
    for topic in ["a", "b", "c"] {
        socket.publish(topic, None, json!(1)).await;
    }
    let over = socket
        .ask(json!({"op": "publish", "topic": "d", "data": 1}))
        .await;
    assert_eq!(code(&over), "limit");
    socket.subscribe("d", json!({})).await;
    socket.publish("a", None, json!(2)).await;
    assert!(socket.is_quiet().await, "what was refused isn't delivered");
}

#[tokio::test]
async fn a_full_table_of_keys_loses_the_one_longest_unchanged() {
    let file = file_with("[limits]\nkeys = 3\n");
    let arguments = [
        "--workers",
        "1",
        "--source",
        "none",
        "--config",
        file.path().to_str().expect("UTF-8"),
    ];
    let node = Node::start(&arguments).await;
    let mut socket = Socket::open(node.listen).await;
    for key in ["a", "b", "c", "a", "d"] {
        socket.publish("t", Some(key), json!(key)).await;
    }
    socket.subscribe("t", json!({"from": "last"})).await;
    let mut keys = Vec::new();
    while keys.last() != Some(&json!("d")) {
        let frame = socket.next().await;
        match frame["op"].as_str() {
            Some("msg") => keys.push(frame["key"].clone()),
            Some("gap") => assert_eq!(frame["reason"], "memory", "{frame}"),
            _ => {}
        }
    }
    assert_eq!(keys, ["c", "a", "d"], "b is the one longest unchanged");
}
