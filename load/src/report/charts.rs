//! Which plots a report has, and what of a run is in them. Pure.
use super::plot::{Axis, Chart, Form, Series, Spread, Stroke, Value};
use crate::number;
use crate::record::{Latency, Line, Percentiles, Run};
use std::collections::BTreeSet;

/// Bytes of the unit of memory per connection.
const KIB: f64 = 1024.0;

const TIME: Axis = Axis {
    name: "into the run",
    spread: Spread::Time,
    written: number::seconds,
};

const CLIENTS: Axis = Axis {
    name: "connections",
    spread: Spread::Exact,
    written: number::short,
};

const LATENCY: Axis = Axis {
    name: "latency",
    spread: Spread::Log,
    written: number::ms,
};

/// All plots, in the order of the page.
pub(super) fn charts(run: &Run) -> Vec<Chart> {
    let lines = &run.lines;
    vec![
        latency_over_time(lines),
        latency_over_connections(lines),
        delivered(lines),
        connections(lines),
        cores(lines),
        memory(lines),
        losses(lines),
        generator(lines),
    ]
}

type Percentile = (&'static str, fn(&Percentiles) -> Option<Latency>);

const PERCENTILES: [Percentile; 5] = [
    ("p50", |of| of.p50),
    ("p90", |of| of.p90),
    ("p99", |of| of.p99),
    ("p99.9", |of| of.p99_9),
    ("max", |of| of.max),
];

fn latency_over_time(lines: &[Line]) -> Chart {
    let of = |(name, get): &Percentile| series(name, lines, |line| ms(get(&line.latency_ms)));
    Chart {
        shaded: shaded(lines),
        nothing: "No message was expected.",
        ..over_time(
            "Latency over time",
            LATENCY,
            lines,
            PERCENTILES.iter().map(of).collect(),
        )
    }
}

fn latency_over_connections(lines: &[Line]) -> Chart {
    let shown = [
        PERCENTILES[0],
        PERCENTILES[1],
        PERCENTILES[2],
        PERCENTILES[3],
    ];
    let of = |(name, get): &Percentile| series(name, lines, |line| ms(get(&line.latency_ms)));
    Chart {
        x: CLIENTS,
        places: lines
            .iter()
            .map(|line| line.connections.subscribed as f64)
            .collect(),
        form: Form::Dots,
        nothing: "No message was expected.",
        ..over_time(
            "Latency over connections",
            LATENCY,
            lines,
            shown.iter().map(of).collect(),
        )
    }
}

fn delivered(lines: &[Line]) -> Chart {
    let y = linear("messages a second", number::short);
    let delivered = series("delivered", lines, |line| Some(line.messages.per_s));
    Chart {
        form: Form::Area,
        ..over_time("Delivered", y, lines, vec![delivered])
    }
}

fn connections(lines: &[Line]) -> Chart {
    let y = linear("connections", number::short);
    let subscribed = |line: &Line| Some(line.connections.subscribed as f64);
    let asked = series("asked for", lines, |line| Some(line.clients as f64));
    let mut shown = vec![series("subscribed", lines, subscribed), asked.dashed(5)];
    if lines.iter().any(|line| line.connections.slow > 0) {
        let slow = |line: &Line| Some(line.connections.slow as f64);
        shown.push(series("of these slow", lines, slow));
    }
    over_time("Connections", y, lines, shown)
}

fn cores(lines: &[Line]) -> Chart {
    let y = linear("cores", number::digits);
    let server =
        |get: fn(&crate::record::Server) -> f64| move |line: &Line| line.server.as_ref().map(get);
    let waiting = server(|server| server.starved_cores);
    let own_waiting = |line: &Line| Some(line.own.starved_cores);
    let shown = vec![
        series("server", lines, server(|server| server.cores)),
        series("generator", lines, |line| Some(line.own.cores)),
        series("server, waiting for a core", lines, waiting).dashed(0),
        series("generator, waiting for a core", lines, own_waiting).dashed(1),
    ];
    over_time("CPU", y, lines, shown)
}

fn memory(lines: &[Line]) -> Chart {
    let y = Axis {
        name: "KiB for each connection",
        spread: Spread::Log,
        written: number::digits,
    };
    let per_connection = |line: &Line, bytes: Option<u64>| {
        let connections = line.connections.subscribed;
        let each = bytes? as f64 / connections as f64 / KIB;
        (connections > 0).then_some(each)
    };
    let server = |line: &Line| per_connection(line, line.server.as_ref().map(|of| of.pss_bytes));
    let own = |line: &Line| per_connection(line, line.own.pss_bytes);
    let kernel = |line: &Line| per_connection(line, line.machine.tcp_bytes);
    let shown = vec![
        series("server, PSS", lines, server),
        series("generator, PSS", lines, own),
        series("kernel, all TCP sockets", lines, kernel),
    ];
    over_time("Memory by connection", y, lines, shown)
}

fn losses(lines: &[Line]) -> Chart {
    let y = linear("messages a second", number::short);
    let reasons: BTreeSet<&String> = lines.iter().flat_map(|line| line.lost.keys()).collect();
    let of = |reason: &&String| {
        let reason = reason.as_str();
        series(reason, lines, |line| {
            let lost = line.lost.get(reason).copied().unwrap_or(0);
            (line.seconds > 0.0).then(|| lost as f64 / line.seconds)
        })
    };
    Chart {
        form: Form::Columns,
        nothing: "Nothing was lost.",
        ..over_time(
            "Lost, by reason",
            y,
            lines,
            reasons.iter().map(of).collect(),
        )
    }
}

fn generator(lines: &[Line]) -> Chart {
    let lag = |line: &Line| Some(line.own.loop_lag_p99_ms);
    let late = |line: &Line| Some(line.own.step_late_ms);
    let shown = vec![
        series("own loop lag, p99", lines, lag),
        series("step late", lines, late),
    ];
    let y = linear("milliseconds", number::digits);
    Chart {
        shaded: shaded(lines),
        ..over_time("The generator itself", y, lines, shown)
    }
}

fn over_time(title: &str, y: Axis, lines: &[Line], mut series: Vec<Series>) -> Chart {
    let solid = |series: &&mut Series| series.stroke == Stroke::Solid;
    for (tone, series) in series.iter_mut().filter(solid).enumerate() {
        series.tone = tone;
    }
    Chart {
        title: title.to_owned(),
        x: TIME,
        places: lines.iter().map(|line| line.at_s).collect(),
        y,
        series,
        form: Form::Lines,
        shaded: Vec::new(),
        nothing: "Not known.",
    }
}

fn linear(name: &'static str, written: fn(f64) -> String) -> Axis {
    Axis {
        name,
        spread: Spread::Linear,
        written,
    }
}

fn series(name: &str, lines: &[Line], value: impl Fn(&Line) -> Option<f64>) -> Series {
    Series {
        name: name.to_owned(),
        tone: 0,
        stroke: Stroke::Solid,
        values: lines.iter().map(|line| Value::maybe(value(line))).collect(),
    }
}

impl Series {
    /// Dashed, in the colour of the solid one of this number.
    fn dashed(self, tone: usize) -> Self {
        Self {
            tone,
            stroke: Stroke::Dashed,
            ..self
        }
    }
}

fn ms(latency: Option<Latency>) -> Option<f64> {
    latency.map(|Latency(ms)| ms)
}

/// Stretches of invalid lines, neighbours joined.
fn shaded(lines: &[Line]) -> Vec<(f64, f64)> {
    let runs = lines.chunk_by(|one, other| one.valid == other.valid);
    runs.filter(|run| !run[0].valid)
        .map(|run| (run[0].at_s - run[0].seconds, run[run.len() - 1].at_s))
        .collect()
}
