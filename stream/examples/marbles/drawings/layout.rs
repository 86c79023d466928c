//! Finds a place for everything in a drawing: time goes from left to right, what happened at one moment stands side by side.
//!
//! Law: nothing stands further left than its time, and nothing is pushed right by what came at another time; a scene for which that
//! does not work out is refused.

use super::scenes::{Scene, Subscriber};
use super::stage::{Came, Record};
use super::svg::{Anchor, BLUE, Face, GREY, INK, Look, RADIUS, RED, Svg, width_of};

/// Width of a drawing; what a README shows without scaling it down.
const WIDTH: i64 = 720;
/// Where time begins and ends.
const LEFT: i64 = 92;
const RIGHT: i64 = 688;
/// Height of a line of text.
const LINE: i64 = 16;
/// Characters of a line of settings.
const CAPTION: usize = 84;
const ROW: &str = r##"stroke="#9ca3af" stroke-width="1.5""##;
const LINK: &str = r##"stroke="#cbd5e1" stroke-width="1""##;

/// A drawing being laid out, from above.
struct Page<'a> {
    scene: &'a Scene,
    svg: Svg,
    y: i64,
}

/// A text below a row: where, in which colour.
type Label = (i64, &'static str, String);

/// Something in a row: a message, or a bar with a text below it.
enum Spot {
    Marble(i64),
    Bar(&'static str, String),
    End(String),
}

/// Draws what was recorded of a scene.
pub(crate) fn drawing(scene: &Scene, records: &[Record]) -> String {
    let mut page = Page {
        scene,
        svg: Svg::default(),
        y: 24,
    };
    if let Some(first) = scene.subscribers.first() {
        page.caption(first.settings);
    }
    page.y += 20;
    let top = page.y - RADIUS - 8;
    let published_y = page.y;
    page.published(records);
    for (subscriber, record) in scene.subscribers.iter().zip(records) {
        page.subscriber(subscriber, record, published_y);
    }
    page.axis(top);
    let story = story(scene, records);
    page.svg.finish((WIDTH, page.y), scene.title, &story)
}

impl Page<'_> {
    fn x(&self, ms: u64) -> i64 {
        LEFT + (RIGHT - LEFT) * ms as i64 / self.scene.ms as i64
    }

    /// The settings, in lines that fit.
    fn caption(&mut self, settings: &str) {
        let mut line = String::new();
        for part in settings.split_inclusive("},") {
            if !line.is_empty() && line.len() + part.len() > CAPTION {
                self.caption_line(&std::mem::take(&mut line));
            }
            line += part;
        }
        self.caption_line(&line);
    }

    fn caption_line(&mut self, line: &str) {
        let at = (12, self.y);
        self.svg.text(at, (Face::Mono, Anchor::Start), INK, line);
        self.y += LINE;
    }

    fn row(&mut self, label: &str) {
        let y = self.y;
        self.svg
            .text((12, y + 4), (Face::Plain, Anchor::Start), GREY, label);
        self.svg.line((LEFT - 14, y), (RIGHT + 8, y), ROW);
    }

    fn published(&mut self, records: &[Record]) {
        self.row("published");
        let mut free = LEFT - RADIUS;
        for (index, (ms, key)) in self.scene.published.iter().enumerate() {
            let offset = index as i64 + 1;
            let x = self.x(*ms);
            assert!(
                x - RADIUS >= free,
                "{}: {offset} has no room",
                self.scene.name
            );
            free = x + RADIUS + 1;
            let look = match records {
                [only] => look(offset, only),
                _ => Look::Full,
            };
            self.svg.marble((x, self.y), key, &offset.to_string(), look);
        }
        self.y += 16;
    }

    fn subscriber(&mut self, subscriber: &Subscriber, record: &Record, published_y: i64) {
        if !subscriber.says.is_empty() {
            self.says(subscriber);
        }
        self.y += 46;
        self.stalls(subscriber);
        self.row(subscriber.label);
        let is_only = self.scene.subscribers.len() == 1;
        let labels = self.received(record, is_only.then_some(published_y));
        self.y += RADIUS + 4;
        self.labels(&labels);
        self.ledger(record);
    }

    fn says(&mut self, subscriber: &Subscriber) {
        self.y += 30;
        self.svg.text(
            (12, self.y + 4),
            (Face::Plain, Anchor::Start),
            GREY,
            subscriber.saying,
        );
        for say in &subscriber.says {
            let x = self.x(say.ms);
            let down = (x, self.y + 46 + RADIUS);
            self.svg.line(
                (x, self.y - 8),
                down,
                &format!(r#"stroke="{BLUE}" stroke-width="1.5" stroke-dasharray="3 3""#),
            );
            self.svg.text(
                (x + 5, self.y + 2),
                (Face::Mono, Anchor::Start),
                BLUE,
                &say.label,
            );
        }
    }

    fn stalls(&mut self, subscriber: &Subscriber) {
        for (from, to) in &subscriber.stalls {
            let (left, right) = (self.x(*from), self.x(*to));
            let top = self.y - RADIUS - 8;
            let height = 2 * (RADIUS + 8);
            self.svg
                .rect((left, top), (right - left, height), r##"fill="#e5e7eb""##);
            let text = "socket takes nothing";
            let at = (left + 8, self.y - 6);
            self.svg.text(at, (Face::Plain, Anchor::Start), GREY, text);
        }
    }

    /// The row of what came; returns the texts that belong below it.
    fn received(&mut self, record: &Record, published_y: Option<i64>) -> Vec<Label> {
        let mut labels = Vec::new();
        let (mut free, mut then) = (LEFT - 2 * RADIUS, 0);
        for (ms, came) in &record.came {
            let (spots, batched) = spots(came);
            let first = free;
            for spot in spots {
                let half = if matches!(spot, Spot::Marble(_)) {
                    RADIUS
                } else {
                    4
                };
                let x = (free + half + 1).max(self.x(*ms));
                let pushed = x > self.x(*ms) && then != *ms;
                assert!(
                    !pushed,
                    "{}: what came at {ms} ms has no room",
                    self.scene.name
                );
                (free, then) = (x + half + 1, *ms);
                match spot {
                    Spot::Marble(offset) => self.marble(offset, x, published_y),
                    Spot::Bar(fill, text) => {
                        self.svg.bar((x, self.y), fill);
                        labels.push((x, fill, text));
                    }
                    Spot::End(text) => {
                        self.svg.cross((x, self.y));
                        labels.push((x, RED, text));
                    }
                }
            }
            if batched {
                let left = first.max(self.x(*ms) - RADIUS - 1) - 2;
                let top = self.y - RADIUS - 5;
                let size = (free - left + 2, 2 * (RADIUS + 5));
                let style = format!(r##"rx="8" fill="#f8fafc" stroke="{INK}" stroke-width="1.5""##);
                self.svg.rect((left, top), size, &style);
                free += 6;
            }
        }
        labels
    }

    fn marble(&mut self, offset: i64, x: i64, published_y: Option<i64>) {
        let (ms, key) = self.scene.published[offset as usize - 1];
        self.svg
            .marble((x, self.y), key, &offset.to_string(), Look::Full);
        if let Some(y) = published_y {
            let from = (self.x(ms), y + RADIUS);
            self.svg.line(from, (x, self.y - RADIUS), LINK);
        }
    }

    /// Texts below their bars: one further left stands lower, so that no text is crossed.
    fn labels(&mut self, labels: &[Label]) {
        let mut lanes: Vec<i64> = Vec::new();
        for (x, fill, text) in labels.iter().rev() {
            let width = width_of(text);
            let from = (x + 4).min(RIGHT + 12 - width);
            let lane = lanes.iter().rposition(|begin| from + width + 8 > *begin);
            let lane = lane.map_or(0, |l| l + 1);
            if lane == lanes.len() {
                lanes.push(from);
            }
            lanes[lane] = from;
            let y = self.y + LINE * lane as i64;
            let style = format!(r#"stroke="{fill}" stroke-width="1""#);
            self.svg.line((*x, self.y - 4), (*x, y + 10), &style);
            self.svg
                .text((from, y + 11), (Face::Plain, Anchor::Start), fill, text);
        }
        self.y += LINE * lanes.len() as i64;
    }

    fn ledger(&mut self, record: &Record) {
        let Some(ledger) = &record.ledger else {
            return;
        };
        self.y += 16;
        let count = |path: &str| ledger.pointer(path).and_then(serde_json::Value::as_u64);
        let parts = [
            ("/delivered", "delivered"),
            ("/filtered_by_rate", "filtered_by_rate"),
            ("/conflated", "conflated"),
            ("/dropped/drop_oldest", "drop_oldest"),
            ("/dropped/drop_newest", "drop_newest"),
            ("/expired", "expired"),
            ("/pending/memory", "pending"),
        ];
        let named = parts.iter().filter_map(|(path, name)| {
            let n = count(path).filter(|n| *n > 0 || *name == "delivered")?;
            Some(format!("{n} {name}"))
        });
        let sum = named.collect::<Vec<_>>().join(" + ");
        let published = count("/published").unwrap_or(0);
        self.svg.text(
            (LEFT - 14, self.y),
            (Face::Plain, Anchor::Start),
            GREY,
            &format!("ledger: {published} published = {sum}"),
        );
        self.y += 2;
    }

    fn axis(&mut self, top: i64) {
        self.y += 12;
        let mut ms = 0;
        while ms <= self.scene.ms {
            let x = self.x(ms);
            self.svg.rule((x, top), (x, self.y));
            let text = if self.scene.tick_ms < 500 {
                format!("{ms} ms")
            } else {
                format!("{}.{} s", ms / 1000, ms % 1000 / 100)
            };
            self.svg
                .text((x, self.y + 13), (Face::Plain, Anchor::Middle), GREY, &text);
            ms += self.scene.tick_ms;
        }
        self.y += 24;
    }
}

fn spots(came: &Came) -> (Vec<Spot>, bool) {
    match came {
        Came::Messages { offsets, batched } => {
            (offsets.iter().map(|o| Spot::Marble(*o)).collect(), *batched)
        }
        Came::Gap {
            span,
            count,
            reason,
        } => {
            let range = span.map_or(String::new(), |(from, to)| format!(" {from}..{to}"));
            let text = format!("gap{range}, {count} lost: {reason}");
            (vec![Spot::Bar(RED, text)], false)
        }
        Came::Mode(mode) => (vec![Spot::Bar(BLUE, format!("mode {mode}"))], false),
        Came::Closed(code) => (vec![Spot::End(format!("closed, {code}"))], false),
    }
}

/// What became of a publication.
fn look(offset: i64, record: &Record) -> Look {
    let is_lost = |came: &Came| match came {
        Came::Gap {
            span: Some((from, to)),
            ..
        } => (*from..=*to).contains(&offset),
        _ => false,
    };
    let came = |came: &Came| match came {
        Came::Messages { offsets, .. } => offsets.contains(&offset),
        _ => false,
    };
    if record.came.iter().any(|(_, c)| came(c)) {
        Look::Full
    } else if record.came.iter().any(|(_, c)| is_lost(c)) {
        Look::Lost
    } else {
        Look::Pale
    }
}

/// The same in words.
fn story(scene: &Scene, records: &[Record]) -> String {
    let published = scene.published.iter().enumerate();
    let published: Vec<String> = published
        .map(|(i, (ms, key))| format!("{}{key} at {ms}", i + 1))
        .collect();
    let mut story = vec![format!("Published, in ms: {}.", published.join(", "))];
    for (subscriber, record) in scene.subscribers.iter().zip(records) {
        let stalls = subscriber.stalls.iter();
        story.extend(
            stalls.map(|(from, to)| format!("Its socket takes nothing from {from} to {to}.")),
        );
        let saying = subscriber.saying;
        let says = subscriber.says.iter();
        story.extend(says.map(|s| format!("At {} it says {saying} {}.", s.ms, s.label)));
        let came: Vec<String> = record.came.iter().map(|(ms, c)| told(*ms, c)).collect();
        story.push(format!("{}: {}.", subscriber.label, came.join(", ")));
    }
    story.join(" ")
}

fn told(ms: u64, came: &Came) -> String {
    let what = match came {
        Came::Messages { offsets, batched } => {
            let list: Vec<String> = offsets.iter().map(i64::to_string).collect();
            let kind = if *batched { "batch " } else { "" };
            format!("{kind}{}", list.join(" "))
        }
        other => {
            let (spots, _) = spots(other);
            let texts = spots.into_iter().filter_map(|s| match s {
                Spot::Bar(_, text) | Spot::End(text) => Some(text),
                Spot::Marble(_) => None,
            });
            texts.collect()
        }
    };
    format!("{what} at {ms}")
}
