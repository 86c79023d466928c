//! Calls of clients: what is answered here, and what is sent on to the hub.
//!
//! Owns which is which: what needs no memory of the node is answered at once, and what is wrong never reaches the hub. Must not contain:
//! what a method does. Driven by the worker's loop.
use crate::orders::desk::Call;
use crate::orders::echo::{self, echo};
use pubsub_stream::hub::Refusal;
use pubsub_stream::{Answer, Called, Engine, Now};
use pubsub_wire::ErrorCode;

/// Carries out what has been called since the last time, as far as that is done here.
pub(super) fn run(engine: &mut Engine, now: Now) {
    while let Some(called) = engine.poll_call() {
        call(engine, now, &called);
    }
}

fn call(engine: &mut Engine, now: Now, called: &Called) {
    let Called {
        request,
        method,
        params,
        ..
    } = called;
    let request = *request;
    if **method == *echo::METHOD {
        match echo(params) {
            Ok(result) => engine.handle_answer(now, request, Answer::Result(&result)),
            Err(wrong) => engine.handle_answer(now, request, Answer::Wrong(&wrong)),
        }
        return;
    }
    match Call::read(method, params) {
        Some(Ok(call)) => engine.forward_call(now, called, call.pack()),
        Some(Err(wrong)) => engine.handle_answer(now, request, Answer::Wrong(&wrong)),
        None => {
            let message = format!("there is no method {method:.64}");
            let why = Refusal {
                code: ErrorCode::UnknownMethod,
                message: &message,
                retry_after_ms: None,
            };
            engine.handle_answer(now, request, Answer::Failed(why));
        }
    }
}
