//! From one connection to the next, by hand.
use super::*;
use pubsub_wire::command::{BoundPatch, Patch};

impl Played {
    /// Of the frames sent, the one of that op.
    fn sent_one(&mut self, op: &str) -> Value {
        let sent = self.sent();
        let mut of_op = sent.iter().filter(|command| command["op"] == op);
        match (of_op.next(), of_op.next()) {
            (Some(one), None) => one.clone(),
            other => panic!("{other:?} of {sent:?}"),
        }
    }

    fn answer_subscribe(&mut self, command: &Value, offset: i64) {
        let id = Id::number(command["id"].as_u64().unwrap());
        let topic = command["topic"].as_str().unwrap().to_owned();
        self.hear(|out| {
            server_side::subscribed(out, Some(&id), &topic, "e", offset, &settings());
        })
        .unwrap();
    }

    fn events(&mut self) -> Vec<Event> {
        let event = |output| match output {
            Output::Event(_, event) => Some(event),
            _ => None,
        };
        self.outputs().into_iter().filter_map(event).collect()
    }

    fn answers(&mut self) -> Vec<(RequestId, Result<Answer, RequestError>)> {
        let answer = |output| match output {
            Output::Answer(request, answer) => Some((request, answer)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(answer).collect()
    }

    fn call(&mut self, repeat: Repeat, time: Duration) -> RequestId {
        let call = Call {
            method: "order.submit".into(),
            params: "{}".into(),
            repeat,
        };
        self.ask(Ask::Call(Box::new(call), self.now + time))
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn publication(data: &str) -> Publication {
    Publication {
        topic: "t".into(),
        key: None,
        data: data.into(),
    }
}

#[test]
fn a_subscription_goes_on_after_the_last_thing_that_came() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    played.msg(None, "t", 7);
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    assert_eq!(
        command["from"],
        json!({"epoch": "e", "offset": 7, "else": "last"})
    );
    played.outputs();
    played.answer_subscribe(&command, 7);
    assert!(matches!(
        played.events().as_slice(),
        [Event::Resumed {
            from: Position::One { offset: 7, .. },
            lost: false
        }]
    ));
    played.msg(None, "t", 8);
    assert_eq!(played.offsets(), [(subscription, 8)]);
}

#[test]
fn what_is_lost_is_said_and_told_again_if_the_gap_is_cut_off() {
    let mut played = Played::open();
    played.subscribe("t");
    for _ in 0..2 {
        played.lose();
        played.connect();
        let command = played.sent_one("subscribe");
        assert_eq!(command["from"]["offset"], 0);
        played.answer_subscribe(&command, 5);
        assert!(matches!(
            played.events().as_slice(),
            [Event::Resumed { lost: true, .. }]
        ));
    }
    let gap = Gap {
        from: Some(1),
        to: Some(5),
        count: Some(5),
        reason: GapReason::Retention,
        epoch: "f",
        offset: 5,
    };
    played.hear(|out| server_side::gap(out, "t", &gap)).unwrap();
    played.msg(None, "t", 6);
    played.lose();
    played.connect();
    let from = &played.sent_one("subscribe")["from"];
    assert_eq!((&from["epoch"], &from["offset"]), (&json!("f"), &json!(6)));
}

#[test]
fn settings_go_along_as_they_were_changed() {
    let mut played = Played::open();
    let request = played.ask(ask_for(Subscribe {
        topic: "t".into(),
        overflow: Some(Overflow::Conflate),
        bound: Bound {
            messages: Some(9),
            ..Bound::default()
        },
        ..Subscribe::default()
    }));
    let id = played.subscribed(request, "t");
    let bound = BoundPatch {
        messages: Patch::Set(5),
        ..BoundPatch::default()
    };
    let change = Reconfigure {
        bound: Patch::Set(bound),
        ..Reconfigure::default()
    };
    let answered = played.ask(Ask::Reconfigure(id, Box::new(change.clone())));
    let bound = BoundPatch {
        bytes: Patch::Set(700),
        ..BoundPatch::default()
    };
    let change = Reconfigure {
        bound: Patch::Set(bound),
        ..change
    };
    let unanswered = played.ask(Ask::Reconfigure(id, Box::new(change)));
    played
        .hear(|out| {
            let id = Id::number(answered.0);
            server_side::reconfigured(out, Some(&id), "t", &settings());
        })
        .unwrap();
    played.sent();
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    assert_eq!(command["bound"], json!({"messages": 5}));
    assert_eq!(command["overflow"], "conflate");
    assert_eq!(command.get("rate"), None, "never named");
    played.answer_subscribe(&command, 0);
    let again = played.sent_one("reconfigure");
    assert_eq!(again["id"], unanswered.0, "its answer was lost");
    assert_eq!(again["bound"], json!({"bytes": 700}));
}

#[test]
fn credit_is_what_was_granted_and_not_yet_used() {
    let mut played = Played::open();
    let request = played.ask(ask_for(Subscribe {
        topic: "t".into(),
        credit: Some(3),
        ..Subscribe::default()
    }));
    played.sent();
    let with_credit = |credit| Settings {
        credit: Some(credit),
        ..settings()
    };
    played
        .hear(|out| {
            server_side::subscribed(out, Some(&id(request)), "t", "e", 0, &with_credit(3));
        })
        .unwrap();
    let Some((_, Ok(Answer::Subscribed(subscription, _)))) = played.answers().pop() else {
        panic!()
    };
    played.msg(None, "t", 1);
    played.msg(None, "t", 2);
    played
        .session
        .handle_ask(Ask::Credit(subscription, 10))
        .unwrap();
    played.sent();
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    assert_eq!(command["credit"], 11);
    played
        .session
        .handle_ask(Ask::Credit(subscription, 4))
        .unwrap();
    assert!(played.sent().is_empty(), "until the server has it");
    let id = Id::number(command["id"].as_u64().unwrap());
    played
        .hear(|out| server_side::subscribed(out, Some(&id), "t", "e", 2, &with_credit(11)))
        .unwrap();
    assert_eq!(played.sent_one("credit")["n"], 4);
    played.lose();
    played.connect();
    assert_eq!(played.sent_one("subscribe")["credit"], 15);
    let all = Ask::Credit(subscription, u64::MAX);
    played.session.handle_ask(all).unwrap();
    played.lose();
    played.connect();
    let most = &played.sent_one("subscribe")["credit"];
    assert_eq!(*most, 1_u64 << 53, "the most a command can say");
}

#[test]
fn one_that_drains_resumes_and_drains_and_one_that_discards_ends() {
    let mut played = Played::open();
    let drained = played.subscribe("drained");
    let finished = played.subscribe("finished");
    let left = played.subscribe("left");
    let drain = played.ask(Ask::Unsubscribe(drained, Unsent::Deliver, AnswerTo::Stream));
    played.ask(Ask::Unsubscribe(
        finished,
        Unsent::Discard,
        AnswerTo::Stream,
    ));
    let leave = played.ask(Ask::Unsubscribe(left, Unsent::Discard, AnswerTo::Caller));
    played.sent();
    played.lose();
    let outputs = played.outputs();
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Event(id, Event::Closed(Closed::Lost { .. })) if *id == finished
    )));
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Answer(id, Err(RequestError::Closed(_))) if *id == leave
    )));
    let ended = |wanted| {
        outputs
            .iter()
            .any(|output| matches!(output, Output::Ended(id) if *id == wanted))
    };
    assert!(ended(finished) && ended(left) && !ended(drained));
    played.connect();
    let command = played.sent_one("subscribe");
    assert_eq!(command["topic"], "drained");
    played.answer_subscribe(&command, 0);
    let again = played.sent_one("unsubscribe");
    assert_eq!(
        (&again["id"], &again["drain"]),
        (&json!(drain.0), &json!(true))
    );
    played.msg(None, "drained", 1);
    played.unsubscribed(drain.0, "drained");
    assert!(matches!(
        played.events().as_slice(),
        [
            Event::Resumed { .. },
            Event::Message(_),
            Event::Unsubscribed(_)
        ]
    ));
}

#[test]
fn one_that_nobody_reads_is_not_asked_for_again_and_the_next_of_its_text_is() {
    let mut played = Played::open();
    let old = played.subscribe("t");
    played.session.handle_release(old);
    let request = played.ask(subscribe("t"));
    played.sent();
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    assert_eq!(
        (&command["id"], command.get("from")),
        (&json!(request.0), None)
    );
    played.outputs();
    assert_ne!(played.subscribed(request, "t"), old);
}

#[test]
fn a_server_that_does_not_take_it_yet_is_asked_again_so_many_times() {
    let mut played = Played::open();
    played.subscribe("t");
    played.lose();
    played.connect();
    for attempt in 0..3 {
        let command = played.sent_one("subscribe");
        assert_eq!(played.session.poll_timeout(), None);
        let id = Id::number(command["id"].as_u64().unwrap());
        played.error(Some(&id), ErrorCode::Unavailable);
        if attempt < 2 {
            let due = played.session.poll_timeout().unwrap();
            assert_eq!(due, played.now + Duration::from_millis(30));
            played.now = due;
            played.session.handle_timeout(due);
        }
    }
    assert_eq!(played.session.poll_timeout(), None);
    let outputs = played.outputs();
    let [
        ..,
        Output::Event(_, Event::NotResumed(refusal)),
        Output::Ended(_),
    ] = outputs.as_slice()
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(refusal.code, ErrorCode::Unavailable);
}

#[test]
fn a_server_that_will_not_take_it_ends_it_and_what_was_asked_about_it() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    let ledger = played.ask(Ask::Ledger(subscription, AnswerTo::Caller));
    let id = Id::number(command["id"].as_u64().unwrap());
    played.error(Some(&id), ErrorCode::Forbidden);
    let outputs = played.outputs();
    assert!(outputs.iter().any(
        |output| matches!(output, Output::Event(_, Event::NotResumed(no)) if no.code == ErrorCode::Forbidden)
    ));
    assert!(outputs.iter().any(
        |output| matches!(output, Output::Answer(id, Err(RequestError::Refused(_))) if *id == ledger)
    ));
    assert_eq!(
        played.refused(Ask::Ledger(subscription, AnswerTo::Caller)),
        ErrorCode::NotSubscribed
    );
}

#[test]
fn what_may_have_been_carried_out_is_not_sent_again() {
    let mut played = Played::open();
    let publish = played.ask(Ask::Publish(publication("1"), Acknowledgement::Wanted));
    let call = played.call(Repeat::Never, SECOND);
    assert_eq!(played.sent().len(), 2);
    played.lose();
    let unknown: Vec<RequestId> = played
        .answers()
        .into_iter()
        .filter(|(_, answer)| matches!(answer, Err(RequestError::UnknownOutcome(_))))
        .map(|(request, _)| request)
        .collect();
    assert_eq!(unknown, [publish, call]);
    played.connect();
    assert!(played.sent().is_empty());
}

#[test]
fn what_never_left_goes_with_the_next_connection() {
    let mut played = Played::open();
    let publish = played.ask(Ask::Publish(publication("1"), Acknowledgement::Wanted));
    let silent = Ask::Publish(publication("2"), Acknowledgement::Unwanted);
    played.session.handle_ask(silent).unwrap();
    let call = played.call(Repeat::Never, SECOND);
    played.lose();
    assert!(played.answers().is_empty());
    played.now += SECOND / 4;
    played.connect();
    let sent = played.sent();
    assert_eq!(
        (&sent[0]["id"], &sent[0]["data"]),
        (&json!(publish.0), &json!(1))
    );
    assert_eq!((sent[1].get("id"), &sent[1]["data"]), (None, &json!(2)));
    assert_eq!(
        (&sent[2]["id"], &sent[2]["deadline_ms"]),
        (&json!(call.0), &json!(750))
    );
}

#[test]
fn a_call_that_may_be_repeated_is_within_its_time() {
    let mut played = Played::open();
    let soon = played.call(Repeat::Allowed, SECOND / 2);
    let later = played.call(Repeat::Allowed, SECOND * 2);
    played.sent();
    played.lose();
    played.now += SECOND;
    played.connect();
    let again = played.sent_one("call");
    assert_eq!(
        (&again["id"], &again["deadline_ms"]),
        (&json!(later.0), &json!(1000))
    );
    let answers = played.answers();
    let [(request, Err(RequestError::Refused(refusal)))] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!((*request, refusal.code), (soon, ErrorCode::Deadline));
    played
        .hear(|out| server_side::reply(out, Some(&id(later)), r#"{"a": 1}"#))
        .unwrap();
    let answers = played.answers();
    assert!(matches!(
        answers.as_slice(),
        [(request, Ok(Answer::Reply(result)))] if *request == later && result.get() == r#"{"a": 1}"#
    ));
}

#[test]
fn what_the_server_would_close_for_is_refused_here() {
    let mut played = Played::open();
    let frame_bytes = welcome().limits.frame_bytes;
    let data = format!("\"{}\"", "x".repeat(frame_bytes));
    let ask = Ask::Publish(publication(&data), Acknowledgement::Wanted);
    assert_eq!(played.refused(ask), ErrorCode::TooLarge);
    let call = Call {
        method: "m".into(),
        params: data,
        repeat: Repeat::Never,
    };
    let until = played.now + SECOND;
    assert_eq!(
        played.refused(Ask::Call(Box::new(call), until)),
        ErrorCode::TooLarge
    );
    assert!(played.sent().is_empty());
}

#[test]
fn what_is_let_go_while_there_is_no_connection_is_not_spoken_of_on_the_next() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    played.lose();
    played.session.handle_release(subscription);
    let outputs = played.outputs();
    assert!(matches!(outputs.as_slice(), [Output::Ended(id)] if *id == subscription));
    played.connect();
    assert!(played.sent().is_empty());
}

#[test]
fn an_unsubscribe_from_what_the_server_does_not_have_is_the_end() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let request = played.ask(Ask::Unsubscribe(
        subscription,
        Unsent::Discard,
        AnswerTo::Stream,
    ));
    played.error(Some(&id(request)), ErrorCode::NotSubscribed);
    let outputs = played.outputs();
    assert!(matches!(outputs.last(), Some(Output::Ended(id)) if *id == subscription));
    played.sent();
    played.subscribe("t");
}

#[test]
fn a_gap_at_the_very_start_is_told_again_if_it_is_cut_off() {
    let mut played = Played::open();
    let after = From::After {
        epoch: "e".into(),
        offset: 3,
        otherwise: Else::Earliest,
    };
    let request = played.ask(ask_for(Subscribe {
        topic: "t".into(),
        from: Some(after),
        ..Subscribe::default()
    }));
    let command = played.sent_one("subscribe");
    assert_eq!(command["id"], request.0);
    played.answer_subscribe(&command, 9);
    played.lose();
    played.connect();
    assert_eq!(played.sent_one("subscribe")["from"]["offset"], 3);
}

/// A subscription with so much credit.
fn with_credit(played: &mut Played, credit: u64) -> SubscriptionId {
    let request = played.ask(ask_for(Subscribe {
        topic: "t".into(),
        credit: Some(credit),
        ..Subscribe::default()
    }));
    played.sent();
    let settings = left(credit);
    played
        .hear(|out| server_side::subscribed(out, Some(&id(request)), "t", "e", 0, &settings))
        .unwrap();
    match played.answers().pop() {
        Some((_, Ok(Answer::Subscribed(subscription, _)))) => subscription,
        other => panic!("{other:?}"),
    }
}

fn left(credit: u64) -> Settings {
    Settings {
        credit: Some(credit),
        ..settings()
    }
}

#[test]
fn credit_granted_behind_a_reconfigure_is_not_in_its_answer() {
    let mut played = Played::open();
    let subscription = with_credit(&mut played, 1);
    let change = Box::new(Reconfigure {
        credit: Patch::Set(5),
        ..Reconfigure::default()
    });
    let request = played.ask(Ask::Reconfigure(subscription, change));
    let more = Ask::Credit(subscription, 7);
    played.session.handle_ask(more).unwrap();
    let settings = left(5);
    played
        .hear(|out| server_side::reconfigured(out, Some(&id(request)), "t", &settings))
        .unwrap();
    played.sent();
    played.lose();
    played.connect();
    assert_eq!(played.sent_one("subscribe")["credit"], 12);
}

#[test]
fn credit_granted_before_a_reconfigure_is_asked_again_is_in_its_answer() {
    let mut played = Played::open();
    let subscription = with_credit(&mut played, 1);
    let request = played.ask(Ask::Reconfigure(subscription, Box::default()));
    let more = Ask::Credit(subscription, 7);
    played.session.handle_ask(more).unwrap();
    played.sent();
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    assert_eq!(command["credit"], 8);
    played.answer_subscribe(&command, 0);
    assert_eq!(played.sent_one("reconfigure")["id"], request.0);
    let settings = left(8);
    played
        .hear(|out| server_side::reconfigured(out, Some(&id(request)), "t", &settings))
        .unwrap();
    played.lose();
    played.connect();
    assert_eq!(played.sent_one("subscribe")["credit"], 8);
}

#[test]
fn what_only_the_lost_connection_could_be_told_is_told_to_none() {
    let mut played = Played::open();
    let subscription = with_credit(&mut played, 1);
    played
        .session
        .handle_ask(Ask::Credit(subscription, 2))
        .unwrap();
    played.ask(Ask::Ledger(subscription, AnswerTo::Caller));
    played.lose();
    played.connect();
    let sent = played.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(
        (&sent[0]["op"], &sent[0]["credit"]),
        (&json!("subscribe"), &json!(3))
    );
}

#[test]
fn a_question_behind_the_end_of_its_subscription_is_answered_when_its_answer_is_cut_off() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let finish = played.ask(Ask::Unsubscribe(
        subscription,
        Unsent::Discard,
        AnswerTo::Stream,
    ));
    let ledger = played.ask(Ask::Ledger(subscription, AnswerTo::Caller));
    played.unsubscribed(finish.0, "t");
    played.outputs();
    played.lose();
    assert!(matches!(
        played.answers().as_slice(),
        [(request, Err(RequestError::Refused(_)))] if *request == ledger
    ));
}

/// A subscription that is to be asked for again later.
fn put_off(played: &mut Played) -> SubscriptionId {
    let subscription = played.subscribe("t");
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    let id = Id::number(command["id"].as_u64().unwrap());
    played.error(Some(&id), ErrorCode::Limit);
    played.outputs();
    assert!(played.session.poll_timeout().is_some());
    subscription
}

#[test]
fn what_was_put_off_is_forgotten_with_its_connection_or_its_reader() {
    let mut played = Played::open();
    put_off(&mut played);
    played.lose();
    assert_eq!(played.session.poll_timeout(), None);
    played.connect();
    assert_eq!(played.sent_one("subscribe")["topic"], "t");

    let mut played = Played::open();
    let subscription = put_off(&mut played);
    played.session.handle_release(subscription);
    assert_eq!(played.session.poll_timeout(), None);
    assert!(played.sent().is_empty());
}

#[test]
fn a_question_about_one_that_is_let_go_and_then_refused_is_answered() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    played.lose();
    played.connect();
    let command = played.sent_one("subscribe");
    let ledger = played.ask(Ask::Ledger(subscription, AnswerTo::Caller));
    played.session.handle_release(subscription);
    let id = Id::number(command["id"].as_u64().unwrap());
    played.error(Some(&id), ErrorCode::Limit);
    assert!(matches!(
        played.answers().as_slice(),
        [(request, Err(RequestError::Refused(_)))] if *request == ledger
    ));
    assert!(played.sent().is_empty());
}
