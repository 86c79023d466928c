//! What `[[defaults]]` and `[[most]]` come to, and every refusal.

use std::path::Path;

use pubsub_wire::Limits;

use super::*;

fn read(text: &str) -> Result<(Vec<Defaults>, Vec<Most>), String> {
    let file = File::parse(Path::new("node.toml"), text).map_err(|error| error.to_string())?;
    let (limits, mut origins) = (Limits::default().bound, Origins::new());
    let most = most(&file, limits, &mut origins).map_err(|error| error.to_string())?;
    let defaults = defaults(&file, limits, &most, &mut origins);
    Ok((defaults.map_err(|error| error.to_string())?, most))
}

fn defaults_of(text: &str) -> Vec<Defaults> {
    read(text).unwrap().0
}

fn bound(messages: u64, bytes: u64, age_ms: u64) -> Bound {
    Bound {
        messages: Some(messages),
        bytes: Some(bytes),
        age_ms: Some(age_ms),
    }
}

/// An entry for each pattern with these lines.
fn list(name: &str, entries: &[(&str, &str)]) -> String {
    let entry =
        |(pattern, lines): &(&str, &str)| format!("[[{name}]]\npattern = '{pattern}'\n{lines}\n");
    entries.iter().map(entry).collect()
}

#[test]
fn quotes_conflate_and_every_bound_is_named_when_nobody_says() {
    let plain = defaults_of("");
    assert_eq!(
        (plain[0].pattern.as_str(), plain[0].overflow),
        (QUOTES, Some(Overflow::Conflate))
    );
    assert_eq!(
        (plain[1].pattern.as_str(), plain[1].bound),
        (ALL, bound(1024, 1 << 20, 30_000))
    );
    assert_eq!(plain.len(), 2);
}

#[test]
fn quotes_conflate_unless_an_entry_that_covers_them_says_otherwise() {
    for (pattern, otherwise) in [
        (">", true),
        ("quotes.>", true),
        ("*.>", true),
        ("quotes.*", false),
        ("news.>", false),
    ] {
        let entries = defaults_of(&list("defaults", &[(pattern, "overflow = 'spill'")]));
        let built_in = |entry: &Defaults| entry.overflow == Some(Overflow::Conflate);
        assert_eq!(!entries.iter().any(built_in), otherwise, "{pattern}");
    }
}

#[test]
fn what_is_built_in_stands_behind_the_entries_of_the_file_and_before_that_for_all() {
    let text = list(
        "defaults",
        &[
            ("news.>", "messages = 5"),
            (">", "messages = 7\nbytes = '2MiB'"),
        ],
    );
    let entries = defaults_of(&text);
    let patterns: Vec<&str> = entries.iter().map(|entry| entry.pattern.as_str()).collect();
    assert_eq!(patterns, ["news.>", QUOTES, ALL]);
    assert_eq!(entries[2].bound, bound(7, 2 << 20, 30_000));
}

#[test]
fn every_setting_can_have_a_default() {
    let text = list(
        "defaults",
        &[(
            "a.*",
            "messages = 3\nbytes = '1KiB'\nage_ms = '2s'\noverflow = 'drop_newest'\n\
             rate = { mode = 'debounce', ms = 100, max_wait_ms = '1s', when = 'behind' }\n\
             batch = { ms = '50ms', messages = 7, bytes = '64KiB' }",
        )],
    );
    let wanted = Defaults {
        pattern: "a.*".to_owned(),
        bound: bound(3, 1024, 2000),
        overflow: Some(Overflow::DropNewest),
        rate: Some(Rate {
            mode: RateMode::Debounce,
            ms: 100,
            max_wait_ms: Some(1000),
            when: When::Behind,
        }),
        batch: Some(Batch {
            ms: Some(50),
            messages: Some(7),
            bytes: Some(64 << 10),
        }),
    };
    assert_eq!(defaults_of(&text)[0], wanted);
}

#[test]
fn what_most_does_not_name_is_what_all_may_ask_for() {
    let (_, most) = read(&list(
        "most",
        &[
            ("a", ""),
            ("a.>", "messages = 10"),
            (">", "bytes = '2MiB'\nage_ms = 40000"),
        ],
    ))
    .unwrap();
    let all = Limits::default().bound;
    let messages = BoundLimits {
        messages: 10,
        ..all
    };
    let rest = BoundLimits {
        bytes: 2 << 20,
        age_ms: 40_000,
        ..all
    };
    let bounds: Vec<BoundLimits> = most.iter().map(|most| most.bound).collect();
    assert_eq!(bounds, [all, messages, rest]);
}

#[test]
fn a_built_in_bound_is_cut_to_what_all_may_ask_for() {
    let entries = defaults_of(&list("most", &[(">", "messages = 10\nage_ms = 20")]));
    assert_eq!(entries[1].bound, bound(10, 1 << 20, 20));
}

#[test]
fn a_default_may_be_more_than_some_of_its_subscriptions_may_ask_for() {
    let text =
        list("defaults", &[(">", "messages = 50")]) + &list("most", &[("a.>", "messages = 10")]);
    assert_eq!(defaults_of(&text)[1].bound.messages, Some(50));
}

#[test]
fn every_wrong_value_is_refused_with_its_line_and_what_would_be_right() {
    let one = |lines: &str| list("defaults", &[("a", lines)]);
    for (text, line) in [
        (
            one(""),
            r#"defaults.1.pattern = "a" (from node.toml:2): expected beside it at least one of messages, bytes, age_ms, overflow, rate, batch"#,
        ),
        (
            one("messages = 0"),
            r#"defaults.1.messages = "0" (from node.toml:3): expected a whole number from 1 to 100000000"#,
        ),
        (
            one("bytes = 'much'"),
            r#"defaults.1.bytes = "much" (from node.toml:3): expected a size from 1 to 1TiB"#,
        ),
        (
            one("age_ms = '2d'"),
            r#"defaults.1.age_ms = "2d" (from node.toml:3): expected milliseconds from 1 to 86400000, or a time such as 10s"#,
        ),
        (
            one("overflow = 'drop'"),
            r#"defaults.1.overflow = "drop" (from node.toml:3): expected one of drop_oldest, drop_newest, conflate, spill, disconnect"#,
        ),
        (
            one("rate = {}"),
            r#"defaults.1.rate.mode = "" (from node.toml:3): expected a value: it is needed"#,
        ),
        (
            one("rate = { mode = 'sometimes' }"),
            r#"defaults.1.rate.mode = "sometimes" (from node.toml:3): expected one of all, sample, throttle, throttle_first, debounce"#,
        ),
        (
            one("rate = { mode = 'sample' }"),
            r#"defaults.1.rate.ms = "" (from node.toml:3): expected a value: it is needed with mode sample"#,
        ),
        (
            one("rate = { mode = 'sample', ms = 0 }"),
            r#"defaults.1.rate.ms = "0" (from node.toml:3): expected milliseconds from 1 to 31622400000, or a time such as 10s"#,
        ),
        (
            one("rate = { mode = 'debounce', ms = 5 }"),
            r#"defaults.1.rate.max_wait_ms = "" (from node.toml:3): expected a value: it is needed with mode debounce"#,
        ),
        (
            one("[defaults.rate]\nmode = 'sample'\nms = 5\nmax_wait_ms = 5"),
            r#"defaults.1.rate.max_wait_ms = "5" (from node.toml:6): expected nothing here: it has a meaning with mode debounce only"#,
        ),
        (
            one("rate = { mode = 'all', ms = 5 }"),
            r#"defaults.1.rate.ms = "5" (from node.toml:3): expected nothing here: it has no meaning with mode all"#,
        ),
        (
            one("rate = { mode = 'sample', ms = 5, when = 'late' }"),
            r#"defaults.1.rate.when = "late" (from node.toml:3): expected one of always, behind"#,
        ),
        (
            one("batch = {}"),
            r#"defaults.1.batch = "" (from node.toml:3): expected at least one of ms, messages, bytes in it"#,
        ),
        (
            one("batch = { messages = 0 }"),
            r#"defaults.1.batch.messages = "0" (from node.toml:3): expected a whole number from 1 to 100000000"#,
        ),
        (
            list("most", &[("a..b", "")]),
            r#"most.1.pattern = "a..b" (from node.toml:2): expected a topic or pattern such as quotes.>: no token of a topic may be empty"#,
        ),
    ] {
        assert_eq!(read(&text).unwrap_err(), line);
    }
}

#[test]
fn what_could_never_act_is_refused_with_what_takes_its_place() {
    for (name, entries, part) in [
        (
            "defaults",
            [(">", "messages = 1"), ("a", "bytes = 1")],
            r#"defaults.2.pattern = "a" (from node.toml:5): expected it before the pattern ">""#,
        ),
        (
            "defaults",
            [
                ("a.>", "rate = { mode = 'all' }"),
                ("a.*", "rate = { mode = 'all' }"),
            ],
            r#"defaults.2.rate = "" (from node.toml:6): expected it before defaults.1.rate: the first match counts, and "a.>" covers "a.*""#,
        ),
        (
            "most",
            [("*.a", "messages = 1"), ("b.a", "bytes = 1")],
            r#"most.2.pattern = "b.a" (from node.toml:5): expected it before most.1: the first match counts, and "*.a" covers it"#,
        ),
    ] {
        let line = read(&list(name, &entries)).unwrap_err();
        assert!(line.starts_with(part), "{line}");
    }
}

#[test]
fn an_entry_that_names_another_setting_than_an_earlier_one_acts() {
    let text = list("defaults", &[("a.>", "messages = 1"), ("a.b", "bytes = 1")]);
    assert_eq!(defaults_of(&text)[1].bound.bytes, Some(1));
}

#[test]
fn more_than_is_allowed_is_refused_with_what_allows_it() {
    let most = list("most", &[("a.>", "messages = 10"), ("b", "age_ms = 1000")]);
    for (text, part) in [
        (
            list("most", &[("a", "messages = 100001")]),
            r#"most.1.messages = "100001" (from node.toml:3): expected at most limits.bound.messages, which is 100000"#,
        ),
        (
            list("defaults", &[(">", "bytes = '1GiB'")]),
            r#"defaults.1.bytes = "1GiB" (from node.toml:3): expected at most limits.bound.bytes, which is 64MiB"#,
        ),
        (
            list("defaults", &[("a.*", "messages = 11")]) + &most,
            r#"defaults.1.messages = "11" (from node.toml:3): expected at most most.1.messages of "a.>", which is 10"#,
        ),
        (
            list("defaults", &[("b", "age_ms = '2s'")]) + &most,
            r#"defaults.1.age_ms = "2s" (from node.toml:3): expected at most most.2.age_ms of "b", which is 1s"#,
        ),
    ] {
        assert_eq!(read(&text).unwrap_err(), part);
    }
}
