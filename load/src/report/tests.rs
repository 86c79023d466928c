//! The page as a reader's program sees it: parsed, and compared with the record it is of.
use super::html;
use crate::failure::exit;
use crate::ramp::row::Row;
use crate::record::{
    Beside, Books, Calls, Cause, Condition, End, Group, Kind, Latency, Limits, Line, Machine, Role,
    Run, SCHEMA, Subscription, Verdict, Versions,
};
use crate::threshold::Unit;
use proptest::prelude::*;
use pubsub_wire::value::GapReason;
use roxmltree::{Document, Node, ParsingOptions};

/// A line at the end of a stretch of ten seconds, with latencies around this one.
fn line(number: u64, ms: Option<f64>) -> Line {
    let row = Row {
        clients: number as usize * 100,
        connected: number as usize * 100,
        p50_ms: ms,
        p90_ms: ms.map(|ms| ms * 2.0),
        p99_ms: ms.map(|ms| ms * 3.0),
        p999_ms: ms.map(|_| f64::INFINITY),
        max_ms: ms.map(|ms| ms * 5.0),
        delivered_per_s: 1000.0 * number as f64,
        cpu_time_s: Some(1.0),
        server_cores: Some(0.1),
        server_starved: Some(0.0),
        server_pss_m: Some(20.0),
        own_pss_m: Some(5.0),
        ..Row::default()
    };
    let mut beside = Beside {
        at_s: 10.0 * number as f64,
        seconds: 10.0,
        roles: vec![Role {
            role: "worker".to_owned(),
            processes: 2,
            ..Role::default()
        }],
        ..Beside::default()
    };
    beside.lost.add(GapReason::DropOldest, 5 * number);
    beside.lost.add(GapReason::Memory, number % 2);
    Line::new(&row, beside)
}

fn run(lines: Vec<Line>) -> Run {
    Run {
        schema: SCHEMA.to_owned(),
        command: vec!["pubsub-load".to_owned(), "ramp".to_owned()],
        begun: "2026-11-21T10:09:02.321Z".to_owned(),
        duration_s: lines.last().map_or(0.0, |line| line.at_s),
        end: End::Planned,
        asked: crate::record::Asked {
            urls: vec!["ws://127.0.0.1:8124/ws".to_owned()],
            subscriptions: vec![Subscription {
                topic: "quotes.*".to_owned(),
                ..Subscription::default()
            }],
            method: None,
            clients: 300,
            duration_s: 30.0,
        },
        machine: Machine::default(),
        limits: Limits::default(),
        versions: Versions::default(),
        lines,
        groups: vec![Group {
            name: "healthy".to_owned(),
            ..Group::default()
        }],
        errors: Vec::new(),
        verdict: Verdict {
            valid: true,
            ..Verdict::default()
        },
    }
}

fn usual() -> Run {
    run(vec![
        line(1, Some(1.5)),
        line(2, None),
        line(3, Some(40.0)),
        line(4, Some(f64::INFINITY)),
    ])
}

/// Has the page parsed and looked at.
fn look<T>(run: &Run, at: impl FnOnce(&Document<'_>) -> T) -> T {
    let page = html(run);
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    at(&Document::parse_with_options(&page, options).expect("a well-formed page"))
}

fn has_class(node: Node<'_, '_>, class: &str) -> bool {
    let classes = node.attribute("class").unwrap_or_default();
    classes.split(' ').any(|one| one == class)
}

fn of_class<'a, 'd: 'a>(
    node: Node<'a, 'd>,
    class: &'a str,
) -> impl Iterator<Item = Node<'a, 'd>> + 'a {
    node.descendants()
        .filter(move |node| has_class(*node, class))
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter(Node::is_text)
        .filter_map(|node| node.text())
        .collect()
}

fn figure<'a, 'd>(page: &'a Document<'d>, title: &str) -> Node<'a, 'd> {
    let is_it = |node: &Node<'_, '_>| node.has_tag_name("figure") && text(*node).starts_with(title);
    let found = page.descendants().find(is_it);
    found.unwrap_or_else(|| panic!("no figure {title}"))
}

/// Series of a figure with how many marks each has.
fn marks(page: &Document<'_>, title: &str) -> Vec<(String, usize)> {
    of_class(figure(page, title), "series")
        .map(|series| {
            let name = series.attribute("data-name").unwrap_or_default();
            (name.to_owned(), of_class(series, "m").count())
        })
        .collect()
}

fn named(series: &[(&str, usize)]) -> Vec<(String, usize)> {
    let owned = |(name, marks): &(&str, usize)| ((*name).to_owned(), *marks);
    series.iter().map(owned).collect()
}

#[test]
fn every_value_of_every_line_has_one_mark() {
    look(&usual(), |page| {
        let percentiles = ["p50", "p90", "p99", "p99.9", "max"].map(|name| (name, 3));
        assert_eq!(marks(page, "Latency over time"), named(&percentiles));
        assert_eq!(
            marks(page, "Latency over connections"),
            named(&percentiles[..4])
        );
        assert_eq!(marks(page, "Delivered"), named(&[("delivered", 4)]));
        assert_eq!(
            marks(page, "Connections"),
            named(&[("subscribed", 4), ("asked for", 4)])
        );
        let cpu = marks(page, "CPU");
        assert!(
            cpu.len() == 4 && cpu.iter().all(|(_, marks)| *marks == 4),
            "{cpu:?}"
        );
        assert_eq!(
            marks(page, "Memory by connection"),
            named(&[
                ("server, PSS", 4),
                ("generator, PSS", 4),
                ("kernel, all TCP sockets", 0)
            ])
        );
        assert_eq!(
            marks(page, "Lost, by reason"),
            named(&[("drop_oldest", 4), ("memory", 4)])
        );
        let never = of_class(figure(page, "Latency over time"), "never").count();
        assert_eq!(
            never,
            5 + 2,
            "all of the last line, and p99.9 of the others"
        );
    });
}

/// Texts of the cells of a table, row by row, without its head.
fn cells(page: &Document<'_>, class: &str) -> Vec<Vec<String>> {
    let body = of_class(page.root(), class)
        .next()
        .and_then(|table| table.descendants().find(|node| node.has_tag_name("tbody")));
    let rows = body.into_iter().flat_map(|body| body.children());
    rows.filter(Node::is_element)
        .map(|row| row.children().filter(Node::is_element).map(text).collect())
        .collect()
}

#[test]
fn thresholds_say_whether_they_were_met_and_are_left_out_where_nobody_asked() {
    let condition = |condition: &str, met, got: Option<f64>, unit| Condition {
        condition: condition.to_owned(),
        met,
        got: got.map(Latency),
        unit,
    };
    let mut run = usual();
    look(&run, |page| assert!(cells(page, "thresholds").is_empty()));
    run.verdict.thresholds = vec![
        condition("p99<1h", false, Some(f64::INFINITY), Unit::Time),
        condition("rate>5/s", true, Some(7000.0), Unit::PerSecond),
        condition("lost==0", false, Some(12345.0), Unit::Count),
        condition("mean<1s", false, None, Unit::Time),
    ];
    look(&run, |page| {
        let rows = cells(page, "thresholds");
        let had: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
        let met: Vec<&str> = rows.iter().map(|row| row[1].as_str()).collect();
        assert_eq!(met, ["no", "yes", "no", "no"]);
        assert!(had[0] == "never" && had[1].ends_with("/s"), "{had:?}");
        assert!(had[2].ends_with("345"), "{had:?}");
    });
}

#[test]
fn connections_that_call_have_calls_where_others_have_books() {
    let mut run = usual();
    look(&run, |page| assert!(cells(page, "calls").is_empty()));
    run.verdict.calls = Some(Calls {
        due: 9,
        answered: 5,
        failed: 4,
        refused: [("limit".to_owned(), 3)].into(),
        skipped: 1,
        ..Calls::default()
    });
    look(&run, |page| {
        let rows = cells(page, "calls");
        assert!(
            rows.contains(&vec!["refused: limit".to_owned(), "3".to_owned()]),
            "{rows:?}"
        );
        assert!(cells(page, "groups").is_empty());
        let page = text(page.root_element());
        assert!(page.contains("5 of 9 calls were answered"), "{page}");
        assert!(!page.contains("ledgers"), "{page}");
    });
}

#[test]
fn a_line_of_the_run_is_a_row_of_the_table_and_a_strip_in_a_plot() {
    look(&usual(), |page| {
        let table = of_class(page.root(), "lines").next().unwrap();
        let rows = table.descendants().filter(|node| node.has_tag_name("tr"));
        let cells: Vec<usize> = rows
            .map(|row| row.children().filter(Node::is_element).count())
            .collect();
        assert_eq!(cells.len(), 1 + 4);
        assert!(cells.iter().all(|count| *count == cells[0]), "{cells:?}");
        let strips: Vec<String> = of_class(figure(page, "Latency over time"), "band")
            .map(text)
            .collect();
        assert_eq!(strips.len(), 4);
        assert!(
            strips[0].starts_with("10s into the run\np50 1.5 ms"),
            "{strips:?}"
        );
        assert!(strips[3].contains("p99 never"), "{strips:?}");
    });
}

#[test]
fn nothing_in_the_page_leads_out_of_it() {
    let page = html(&usual());
    for outside in [
        "http:", "https:", "//cdn", "@import", "url(", "src=", "srcset", "fetch(",
    ] {
        let found = page.matches(outside).count();
        assert_eq!(found, 0, "{outside}");
    }
    look(&usual(), |page| {
        let links: Vec<&str> = page
            .descendants()
            .filter_map(|node| node.attribute("href"))
            .collect();
        assert_eq!(links, ["data:,"]);
        let policy = page.descendants().find_map(|node| {
            node.attribute("content")
                .filter(|text| text.contains("src"))
        });
        assert!(policy.unwrap().starts_with("default-src 'none';"));
    });
}

#[test]
fn what_others_wrote_is_text_wherever_it_stands() {
    let evil = "</pre></title></script><script>alert('1')</script>\"&\u{7}";
    let mut run = usual();
    let e = || evil.to_owned();
    run.asked.method = Some(e());
    run.command.push(e());
    (run.begun, run.schema) = (e(), e());
    run.asked.urls = vec![e()];
    run.asked.subscriptions[0].topic = e();
    (run.machine.cpu, run.machine.kernel) = (Some(e()), e());
    (run.versions.server, run.versions.node) = (Some(e()), Some(e()));
    run.groups[0].name = e();
    run.errors.push(Cause {
        kind: Kind::Refused,
        cause: e(),
        count: 1,
    });
    run.verdict.valid = false;
    (run.verdict.reasons, run.verdict.summary) = (vec![e()], vec![e()]);
    for line in &mut run.lines {
        line.lost.insert(e(), 1);
        if let Some(server) = &mut line.server {
            server.roles[0].role = e();
        }
    }
    let page = html(&run);
    assert!(!page.contains("alert('1')"));
    look(&run, |page| {
        let scripts = page
            .descendants()
            .filter(|node| node.has_tag_name("script"));
        assert_eq!(scripts.count(), 1);
        let shown = evil.replace('\u{7}', "\u{fffd}");
        let table = of_class(page.root(), "errors").next().unwrap();
        assert!(text(table).contains(&shown));
    });
}

#[test]
fn a_run_that_ended_before_its_first_line_has_a_page() {
    look(&run(Vec::new()), |page| {
        assert!(text(figure(page, "Latency over time")).contains("No message was expected."));
        assert!(text(figure(page, "Lost, by reason")).contains("Nothing was lost."));
    });
}

#[test]
fn the_headline_says_what_the_run_is_worth() {
    let said = |run: &Run| {
        look(run, |page| {
            text(of_class(page.root(), "verdict").next().unwrap())
        })
    };
    assert!(said(&usual()).starts_with("Valid"));
    let mut doubtful = usual();
    doubtful.verdict.valid = false;
    doubtful.verdict.reasons = vec!["the generator was the limit".to_owned()];
    let text = said(&doubtful);
    assert!(
        text.starts_with("Not valid") && text.contains("The generator was the limit."),
        "{text}"
    );
    let mut missed = doubtful.clone();
    missed.verdict.code = exit::MISSED;
    assert!(said(&missed).starts_with("A threshold was missed"));
    let mut failed = doubtful;
    failed.verdict.code = 1;
    failed.verdict.books = Books {
        residual: 3,
        ..Books::default()
    };
    failed.verdict.summary = vec!["residual 3 (…)".to_owned()];
    let text = said(&failed);
    assert!(
        text.starts_with("Failed: the books do not close") && text.contains("residual 3"),
        "{text}"
    );
}

#[test]
fn a_stretch_in_which_the_generator_was_the_limit_is_shaded() {
    let mut run = usual();
    run.lines[1].valid = false;
    run.lines[2].valid = false;
    look(&run, |page| {
        let plot = figure(page, "Latency over time");
        let shades: Vec<Node<'_, '_>> = of_class(plot, "shade")
            .filter(|node| node.has_tag_name("rect"))
            .collect();
        assert_eq!(shades.len(), 1, "neighbours are one");
        let width = shades[0]
            .attribute("width")
            .unwrap()
            .parse::<f64>()
            .unwrap();
        assert!(
            (width - 186.0).abs() < 0.2,
            "from 10 s to 30 s of 40 s: {width}"
        );
    });
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn marks_lie_in_their_plot_and_names_at_an_axis_do_not_overlap(
        latencies in proptest::collection::vec(proptest::option::weighted(0.9, 0.001f64..1e6), 1..40),
    ) {
        let lines = latencies.iter().zip(1..).map(|(ms, number)| line(number, *ms));
        let run = run(lines.collect());
        look(&run, |page| {
            for mark in of_class(page.root(), "m").filter(|node| node.has_tag_name("circle")) {
                let (x, y) = (number(mark, "cx"), number(mark, "cy"));
                assert!((56.0..=428.0).contains(&x) && (24.0..=202.0).contains(&y), "{x} {y}");
            }
            for plot in page.descendants().filter(|node| node.has_tag_name("svg")) {
                let ys: Vec<f64> = of_class(plot, "y").map(|node| number(node, "y")).collect();
                assert!(ys.windows(2).all(|pair| pair[0] - pair[1] >= 13.0), "{ys:?}");
                let x = |node| (number(node, "x"), text(node).chars().count());
                let xs: Vec<(f64, usize)> = of_class(plot, "x").map(x).collect();
                // A character is about half as wide as it is high.
                let apart = |pair: &[(f64, usize)]| {
                    pair[1].0 - pair[0].0 >= 3.3 * (pair[0].1 + pair[1].1) as f64
                };
                assert!(xs.windows(2).all(apart), "{xs:?}");
            }
        });
    }
}

#[test]
fn a_latency_that_is_never_is_not_a_number_on_an_axis() {
    let run = run(vec![line(1, Some(f64::INFINITY))]);
    assert_eq!(run.lines[0].latency_ms.p50, Some(Latency(f64::INFINITY)));
    let page = html(&run);
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "no number of a plot"
    );
}
