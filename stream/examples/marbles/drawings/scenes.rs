//! What is drawn: who publishes what when, which socket takes nothing when, and what is asked for. Times are milliseconds.

/// What all subscribe to.
pub(crate) const TOPIC: &str = "prices";

/// One drawing.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// What it shows, for those who don't see it.
    pub(crate) title: &'static str,
    pub(crate) ms: u64,
    /// Distance of the marks of the time axis.
    pub(crate) tick_ms: u64,
    /// When, and the key.
    pub(crate) published: Vec<(u64, &'static str)>,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Who has the same topic, keeps up, and is not drawn.
    pub(crate) beside: Vec<Subscriber>,
}

/// One who receives.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) label: &'static str,
    /// Fields of `subscribe` behind `topic`.
    pub(crate) settings: &'static str,
    /// From when to when its socket takes nothing.
    pub(crate) stalls: Vec<(u64, u64)>,
    pub(crate) says: Vec<Say>,
    /// What it says then, in a word.
    pub(crate) saying: &'static str,
}

/// A command of a subscriber in the course of the scene.
#[derive(Debug)]
pub(crate) struct Say {
    pub(crate) ms: u64,
    pub(crate) command: String,
    /// What the drawing says of it.
    pub(crate) label: String,
}

impl Scene {
    pub(crate) fn file(&self) -> String {
        format!("{}.svg", self.name)
    }
}

impl Subscriber {
    fn of(settings: &'static str) -> Self {
        Self {
            label: "received",
            settings,
            stalls: Vec::new(),
            says: Vec::new(),
            saying: "",
        }
    }

    fn stalls(mut self, from: u64, to: u64) -> Self {
        self.stalls.push((from, to));
        self
    }

    fn named(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    fn asks(mut self, ms: u64, n: u64) -> Self {
        self.says.push(Say {
            ms,
            command: format!(r#"{{"op":"credit","topic":"{TOPIC}","n":{n}}}"#),
            label: format!(r#""n":{n}"#),
        });
        self.saying = "credit";
        self
    }

    fn changes(mut self, ms: u64, change: &str) -> Self {
        self.says.push(Say {
            ms,
            command: format!(r#"{{"op":"reconfigure","topic":"{TOPIC}",{change}}}"#),
            label: change.to_owned(),
        });
        self.saying = "reconfigure";
        self
    }

    /// The command with which it begins.
    pub(crate) fn subscribe(&self) -> String {
        format!(
            r#"{{"op":"subscribe","topic":"{TOPIC}",{}}}"#,
            self.settings
        )
    }
}

/// A burst of two keys, and one of one: what all rates are shown with.
fn bursts() -> Vec<(u64, &'static str)> {
    vec![
        (50, "A"),
        (110, "A"),
        (170, "B"),
        (230, "A"),
        (290, "A"),
        (380, "B"),
        (640, "A"),
        (700, "A"),
        (760, "A"),
    ]
}

/// A steady flow of three keys, and one message long after.
fn flow() -> Vec<(u64, &'static str)> {
    vec![
        (100, "A"),
        (240, "B"),
        (380, "A"),
        (520, "B"),
        (660, "A"),
        (800, "C"),
        (940, "A"),
        (1080, "B"),
        (1220, "A"),
        (1360, "A"),
        (2520, "B"),
    ]
}

fn rate(name: &'static str, title: &'static str, settings: &'static str) -> Scene {
    Scene {
        name,
        title,
        ms: 1200,
        tick_ms: 200,
        published: bursts(),
        subscribers: vec![Subscriber::of(settings)],
        beside: Vec::new(),
    }
}

fn overflow(name: &'static str, title: &'static str, settings: &'static str) -> Scene {
    Scene {
        name,
        title,
        ms: 2700,
        tick_ms: 500,
        published: flow(),
        subscribers: vec![Subscriber::of(settings).stalls(300, 1400)],
        beside: vec![patient()],
    }
}

/// Has a larger bound than all who are drawn, so that the ring keeps more than theirs.
fn patient() -> Subscriber {
    Subscriber::of(r#""bound":{"messages":1000}"#)
}

/// All drawings.
pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        adaptive(),
        rate(
            "sample",
            "sample: at each tick of a grid the newest of each key that came since the last",
            r#""rate":{"mode":"sample","ms":200}"#,
        ),
        rate(
            "throttle",
            "throttle: of each key the first at once, then at each interval the newest",
            r#""rate":{"mode":"throttle","ms":200}"#,
        ),
        rate(
            "throttle_first",
            "throttle_first: of each key the first at once, and nothing else for the interval",
            r#""rate":{"mode":"throttle_first","ms":200}"#,
        ),
        rate(
            "debounce",
            "debounce: of each key the newest, once the key has been quiet or one has waited for the longest time",
            r#""rate":{"mode":"debounce","ms":100,"max_wait_ms":200}"#,
        ),
        rate(
            "batch",
            "batch: all messages, several in one frame",
            r#""batch":{"ms":200,"messages":4}"#,
        ),
        rate_and_batch(),
        overflow(
            "drop_oldest",
            "drop_oldest: the newest four are kept",
            r#""bound":{"messages":4},"overflow":"drop_oldest""#,
        ),
        overflow(
            "expired",
            "bound by age: what waited longer is gone",
            r#""bound":{"age_ms":400},"overflow":"drop_oldest""#,
        ),
        overflow(
            "drop_newest",
            "drop_newest: the first four that waited are kept",
            r#""bound":{"messages":4},"overflow":"drop_newest""#,
        ),
        overflow(
            "conflate",
            "conflate: the newest of each key is kept",
            r#""bound":{"messages":4},"overflow":"conflate""#,
        ),
        Scene {
            // The ring lets go of what is past the bound: it reads that from the hub's log.
            beside: Vec::new(),
            ..overflow(
                "spill",
                "spill: everything comes, later",
                r#""bound":{"messages":4},"overflow":"spill""#,
            )
        },
        overflow(
            "disconnect",
            "disconnect: the fifth that waits closes the connection",
            r#""bound":{"messages":4},"overflow":"disconnect""#,
        ),
        credit(),
        when_behind(),
        reconfigure(),
    ]
}

fn adaptive() -> Scene {
    let settings = r#""bound":{"messages":4},"overflow":"conflate""#;
    Scene {
        name: "adaptive",
        title: "two subscribers with the same settings: the one that keeps up gets everything, the slow one the newest of each key",
        ms: 2700,
        tick_ms: 500,
        published: flow(),
        subscribers: vec![
            Subscriber::of(settings).named("keeps up"),
            Subscriber::of(settings).named("stalls").stalls(300, 1400),
        ],
        beside: Vec::new(),
    }
}

fn rate_and_batch() -> Scene {
    Scene {
        name: "debounce_batch",
        title: "debounce and batch: each burst becomes one frame with the newest of each key",
        published: vec![
            (50, "A"),
            (100, "B"),
            (148, "A"),
            (200, "C"),
            (700, "B"),
            (750, "C"),
            (800, "C"),
        ],
        ..rate(
            "",
            "",
            r#""rate":{"mode":"debounce","ms":100,"max_wait_ms":500},"batch":{"ms":150}"#,
        )
    }
}

fn credit() -> Scene {
    let settings = r#""credit":2,"bound":{"messages":3},"overflow":"drop_oldest""#;
    Scene {
        name: "credit",
        title: "credit: as many messages as were asked for; what waits for credit is bounded",
        ms: 2400,
        tick_ms: 500,
        published: vec![
            (100, "A"),
            (220, "B"),
            (340, "A"),
            (460, "B"),
            (580, "A"),
            (700, "B"),
            (820, "A"),
            (1700, "B"),
        ],
        subscribers: vec![Subscriber::of(settings).asks(1100, 2).asks(1500, 5)],
        beside: vec![patient()],
    }
}

fn when_behind() -> Scene {
    let settings = concat!(
        r#""rate":{"mode":"sample","ms":500,"when":"behind"},"#,
        r#""bound":{"messages":4},"overflow":"drop_oldest""#
    );
    Scene {
        name: "when_behind",
        title: "a rate that acts only while the subscriber is behind",
        ms: 2200,
        tick_ms: 500,
        published: vec![
            (100, "A"),
            (220, "B"),
            (340, "A"),
            (460, "A"),
            (580, "B"),
            (700, "A"),
            (820, "A"),
            (940, "B"),
            (1100, "A"),
            (1200, "A"),
            (1300, "A"),
            (1750, "A"),
            (1870, "B"),
            (1990, "A"),
        ],
        subscribers: vec![Subscriber::of(settings).stalls(400, 1050)],
        beside: Vec::new(),
    }
}

fn reconfigure() -> Scene {
    let times = [
        60, 180, 300, 420, 540, 660, 780, 900, 1020, 1140, 1260, 1380, 1480, 1600, 1800, 1920, 2040,
    ];
    Scene {
        name: "reconfigure",
        title: "reconfigure: a rate is switched on and off while messages flow",
        ms: 2200,
        tick_ms: 500,
        published: times
            .into_iter()
            .zip(["A", "B"].into_iter().cycle())
            .collect(),
        subscribers: vec![
            Subscriber::of(r#""rate":null"#)
                .changes(600, r#""rate":{"mode":"sample","ms":500}"#)
                .changes(1690, r#""rate":null"#),
        ],
        beside: Vec::new(),
    }
}
