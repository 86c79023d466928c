//! `--topic` and `--settings`: what the connections subscribe to, checked before there is one. Pure.
use crate::failure::Failure;
use crate::swarm::Subscription;
use pubsub_wire::Limits;
use pubsub_wire::topic::check_subscription;
use serde_json::{Map, Value};

/// Different settings in one run at most.
const SETTINGS_MAX: usize = 64;

/// One subscription for each of the settings, or one with the server's defaults.
pub(super) fn subscriptions(
    topic: &str,
    settings: &[String],
) -> Result<Vec<Subscription>, Failure> {
    check_subscription(topic, &Limits::default())
        .map_err(|error| Failure::usage(format!("--topic {topic:?}: {error}")))?;
    match settings.len() {
        0 => Ok(vec![Subscription::plain(topic)]),
        1..=SETTINGS_MAX => settings
            .iter()
            .map(|settings| subscription(topic, settings))
            .collect(),
        n => Err(Failure::usage(format!(
            "--settings: {n} times, expected at most {SETTINGS_MAX}"
        ))),
    }
}

fn subscription(topic: &str, settings: &str) -> Result<Subscription, Failure> {
    let subscription = Subscription {
        topic: topic.to_owned(),
        settings: object(settings)?,
    };
    // The server would say the same; said here, it costs no connection.
    pubsub_wire::command::parse(&subscription.command(), &Limits::default()).map_err(|error| {
        let field = error
            .field
            .map(|field| format!("{field}: "))
            .unwrap_or_default();
        Failure::usage(format!("--settings: {field}{}", error.message))
    })?;
    Ok(subscription)
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    const EXPECTED: &str = "expected a JSON object, as in '{\"overflow\":\"conflate\"}'";
    let settings = match serde_json::from_str(text) {
        Ok(Value::Object(settings)) => settings,
        Ok(_) => return Err(Failure::usage(format!("--settings: {EXPECTED}"))),
        Err(error) => {
            return Err(Failure::usage(format!(
                "--settings: {EXPECTED}, and this is no JSON: {error}"
            )));
        }
    };
    match ["op", "id", "topic"]
        .into_iter()
        .find(|name| settings.contains_key(*name))
    {
        Some("topic") => Err(Failure::usage(
            "--settings: the topic is not one of them: give it with --topic",
        )),
        Some(own) => Err(Failure::usage(format!(
            "--settings: {own:?} is set by the load client itself: leave it out"
        ))),
        None => Ok(settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[&str]) -> Result<Vec<Subscription>, String> {
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
        subscriptions("t", &settings).map_err(|failure| failure.to_string())
    }

    #[test]
    fn without_settings_the_servers_defaults_hold() {
        assert_eq!(with(&[]), Ok(vec![Subscription::plain("t")]));
    }

    #[test]
    fn every_settings_makes_a_subscription_of_its_own() {
        let all = with(&[
            r#"{"overflow":"spill","credit":5}"#,
            r#"{"rate":{"mode":"sample","ms":100},"batch":{"ms":50},"from":"last"}"#,
        ])
        .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].settings["credit"], 5);
    }

    #[test]
    fn what_cannot_be_meant_says_what_would_be_right() {
        for (settings, part) in [
            ("[]", "expected a JSON object"),
            ("{", "expected a JSON object"),
            ("overflow=spill", "expected a JSON object"),
            (r#"{"topic":"x"}"#, "give it with --topic"),
            (r#"{"op":"x"}"#, "leave it out"),
            (r#"{"id":1}"#, "leave it out"),
            (r#"{"overflow":"drop"}"#, "overflow"),
            (r#"{"bond":{}}"#, "bond"),
            (r#"{"bound":{"messages":0}}"#, "bound.messages"),
            (r#"{"rate":{"mode":"sample"}}"#, "rate.ms"),
            (r#"{"credit":-1}"#, "credit"),
        ] {
            let error = with(&["{}", settings]).unwrap_err();
            assert!(error.contains(part), "{settings}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
