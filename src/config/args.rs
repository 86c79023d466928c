//! The command line as typed.
//!
//! Owns the flags, their help, and turning clap's refusals into one line. Must not contain: what a value means or its default's
//! source (every value stays text until `resolve`, so that flags, environment and file are refused in the same words). Driven by
//! `main`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use pubsub_sysctl::Asked;

use super::given::{ConfigError, Origin};
use super::setting::{SETTINGS, Typed};

const EXAMPLES: &str = "\
Every option but --config can also be given by the environment: PUBSUB_ and its name in capitals, PUBSUB_INTERVAL_MS for
--interval-ms (--workers also by MAX_THREADS, --rows by MAX_ROWS; several sources are separated by a semicolon there). In the file
it is a key of the same name; the file has further tables, [limits], [worker], [[retain]], [[defaults]] and [[most]]:
`check` prints them with their values. Flags win over the environment, the environment over the file, the file over defaults.

Examples:
  pubsub-server                                       a worker per core, quotes and executions made up
  pubsub-server --workers 10 --listen 0.0.0.0:8124    for clients on other machines
  pubsub-server --source replay:prices.csv.gz,loop --interval-ms 50
  pubsub-server --source none --publish anyone        a node that only passes on what clients publish
  pubsub-server check --config node.toml              is it right, and what does it amount to?
  pubsub-server check --system --connections 100000   does this machine have what they need?
  pubsub-server ctl status                            how is the node doing?
  pubsub-server ctl workers 4                         fewer workers, now
  pubsub-server ctl stop                              tell the clients, then stop

Exit codes: 0 stopped as asked; 64 usage or configuration; 69 a port, lock or directory is not to be had; 70 a fault of its own.";

const LOG_EXAMPLES: &str = "\
Examples:
  pubsub-server log inspect /var/lib/pubsub                     what is in it?
  pubsub-server log verify /var/lib/pubsub --json               is all of it readable?
  pubsub-server log export /var/lib/pubsub --topic 'quotes.*'   its records, one JSON object a line
  pubsub-server log export /var/lib/pubsub --from 120000 | jq .data

Exit codes: 0 whole; 64 usage; 65 damaged (each damage is named); 69 there is no log, or it cannot be read.";

/// Streams quotes and other live data to very many WebSocket subscribers
///
/// Runs a node in the foreground: prints one line `ready …` on stdout when it serves, logs to stderr, stops on SIGTERM and SIGINT.
#[derive(Debug, Clone, Parser)]
#[command(name = "pubsub-server", version, after_long_help = EXAMPLES, max_term_width = 120)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(allow_negative_numbers = true)]
pub struct CommandLine {
    /// Without a subcommand: run a node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Or something else.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of running a node.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Check the configuration and the files it names, print it resolved, exit 0 or 64; or check the machine, exit 0 or 69
    #[command(max_term_width = 120, allow_negative_numbers = true)]
    Check(Box<CheckArgs>),
    /// Ask a running node, or tell it what to do
    Ctl(CtlArgs),
    /// Look into the folder of a log: what is in it, is it whole, its records as JSON
    Log(LogArgs),
    /// One of a node's processes, started by its supervisor.
    #[command(hide = true)]
    Role(RoleArgs),
}

/// The options of a node.
#[allow(clippy::doc_markdown, reason = "these texts are read in a terminal")]
#[derive(Debug, Clone, Default, Args)]
pub struct NodeArgs {
    /// Worker processes, 1 to 1024 [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Processes")]
    workers: Option<String>,
    /// Control socket, lock and hub socket live here [default: pubsub-PORT under XDG_RUNTIME_DIR or the temp folder]
    #[arg(long, value_name = "DIR", help_heading = "Processes")]
    run_dir: Option<String>,
    /// Window of a graceful stop: all clients are told at once, closes are spread over it [default: 5s]
    #[arg(long, value_name = "TIME", help_heading = "Processes")]
    drain: Option<String>,
    /// Name of this node in welcome, logs and metrics [default: host name]
    #[arg(long, value_name = "NAME", help_heading = "Processes")]
    node: Option<String>,

    /// Where clients connect: WebSocket on /ws, /health; port 0 is chosen and printed [default: 127.0.0.1:8124]
    #[arg(long, value_name = "ADDR", help_heading = "Clients")]
    listen: Option<String>,
    /// Who may publish and call: loopback, anyone or nobody [default: loopback when --listen is, else nobody]
    #[arg(long, value_name = "WHO", help_heading = "Clients")]
    publish: Option<String>,
    /// Other origins that browsers may come from, separated by commas [default: loopback and the address itself]
    #[arg(long, value_name = "LIST", help_heading = "Clients")]
    origins: Option<String>,
    /// Nothing received for this long: ping; nothing for two more: close [default: 25s]
    #[arg(long, value_name = "TIME", help_heading = "Clients")]
    heartbeat: Option<String>,
    /// Nothing taken by the kernel for this long though something waits: close [default: 120s]
    #[arg(long, value_name = "TIME", help_heading = "Clients")]
    write_stall: Option<String>,
    /// Add /echo, a plain WebSocket echo for conformance suites
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Clients")]
    echo: Option<String>,

    /// What publishes inside the node: synthetic, replay:FILE[,loop] or none; repeatable [default: synthetic]
    #[arg(long, value_name = "SPEC", help_heading = "Data")]
    source: Vec<String>,
    /// Pause between two pushes of a source, drawn anew each time; 0..0 is as fast as it goes [default: 10..100]
    #[arg(long, value_name = "MIN..MAX", help_heading = "Data")]
    interval_ms: Option<String>,
    /// Executions in one `execs` payload [default: 2]
    #[arg(long, value_name = "N", help_heading = "Data")]
    rows: Option<String>,
    /// Where orders are filled: paper, at the node's own quotes, or none [default: paper]
    #[arg(long, value_name = "WHICH", help_heading = "Data")]
    venue: Option<String>,
    /// Where publications are kept: memory, or disk:FOLDER, which lasts [default: memory]
    #[arg(long, value_name = "SPEC", help_heading = "Data")]
    log: Option<String>,
    /// When a log on disk is synced: none, always or interval:TIME [default: interval:100ms]
    #[arg(long, value_name = "WHEN", help_heading = "Data")]
    log_sync: Option<String>,
    /// What the log keeps: SIZE[,AGE][,COUNT], such as 1GiB,24h [default: 64MiB, on disk 1GiB]
    #[arg(long, value_name = "SPEC", help_heading = "Data")]
    retain: Option<String>,

    /// Metrics, health and status over HTTP; none switches it off [default: 127.0.0.1:8125]
    #[arg(long, value_name = "ADDR", help_heading = "Seeing it")]
    admin: Option<String>,
    /// Log lines on stderr as text or json; RUST_LOG filters them [default: text]
    #[arg(long, value_name = "FORM", help_heading = "Seeing it")]
    log_format: Option<String>,
    /// Show the resolved configuration and where each value comes from, and exit
    #[arg(long, help_heading = "Seeing it")]
    pub print_config: bool,
    /// Read settings from this TOML file (environment: PUBSUB_CONFIG)
    #[arg(long, value_name = "FILE", help_heading = "Seeing it")]
    pub config: Option<PathBuf>,

    // Known, so that they are refused in so many words; not shown, since no value of theirs can be used yet.
    #[arg(long, hide = true)]
    partitions: Option<String>,
}

/// The options of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The configuration in question.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Instead of printing the configuration, hold the limits of this machine against what so many connections to it need
    #[arg(long, help_heading = "This machine")]
    system: bool,
    #[command(flatten, next_help_heading = "This machine")]
    asked: Asked,
}

impl CheckArgs {
    /// How the machine is to be looked at; `None`: only the configuration is in question.
    pub fn system(&self) -> Result<Option<&Asked>, ConfigError> {
        if !self.system && self.asked != Asked::default() {
            let alone = "--connections, --ends and --json are about this machine: expected --system beside them";
            return Err(ConfigError::Usage(format!(
                "{alone} (see pubsub-server check --help)"
            )));
        }
        Ok(self.system.then_some(&self.asked))
    }
}

/// The options of `ctl`.
#[derive(Debug, Clone, Args)]
#[command(max_term_width = 120, arg_required_else_help = false)]
pub struct CtlArgs {
    /// The node's run dir [default: that of the only node running here]
    #[arg(
        id = "ctl-run-dir",
        long = "run-dir",
        value_name = "DIR",
        global = true
    )]
    pub run_dir: Option<PathBuf>,
    /// What to ask or tell.
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What `ctl` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum CtlCommand {
    /// How the node, its hub and its workers are doing
    Status {
        /// The whole of it, as /status has it
        #[arg(long)]
        json: bool,
    },
    /// Have so many workers from now on, 1 to 1024
    Workers {
        /// How many
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
        n: u32,
    },
    /// Tell the clients to go, close them over the drain window, then stop
    Stop,
    /// Tell the clients to go and answer 503 from now on, until stop
    Drain,
    /// The subscriptions that are furthest behind
    Slow {
        /// How many, 1 to 100
        #[arg(value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        n: u32,
    },
}

/// The options of `log`.
#[derive(Debug, Clone, Args)]
#[command(max_term_width = 120, arg_required_else_help = false, after_help = LOG_EXAMPLES)]
pub struct LogArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: LogCommand,
}

/// What `log` can do. None of it writes to the folder or needs the node to be stopped.
#[derive(Debug, Clone, Subcommand)]
pub enum LogCommand {
    /// Its classes, segments and topics, with their first and last offsets
    #[command(after_help = LOG_EXAMPLES)]
    Inspect {
        /// The log's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Only topics that match
        #[arg(long, value_name = "PATTERN")]
        topic: Option<String>,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read everything and name each damage: file, bytes, offsets around it; exit 0 or 65
    #[command(after_help = LOG_EXAMPLES)]
    Verify {
        /// The log's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print records, one JSON object a line: topic, key, offset, ts, data
    #[command(after_help = LOG_EXAMPLES)]
    Export {
        /// The log's folder
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Only topics that match
        #[arg(long, value_name = "PATTERN")]
        topic: Option<String>,
        /// Only from this offset on
        #[arg(long, value_name = "OFFSET", default_value_t = 0)]
        from: i64,
    },
}

/// The options of a node's process.
#[derive(Debug, Clone, Args)]
#[command(arg_required_else_help = false)]
pub struct RoleArgs {
    /// Which.
    #[command(subcommand)]
    pub role: RoleCommand,
}

/// The processes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum RoleCommand {
    /// Holds clients' connections
    Worker {
        /// Its place on the scoreboard
        #[arg(long)]
        slot: u32,
        /// Which process in that place
        #[arg(long)]
        generation: u32,
    },
    /// Numbers publications
    Hub {
        /// Which hub since the node started
        #[arg(long)]
        generation: u32,
    },
    /// Serves metrics and status
    Admin,
}

/// What the command line came to.
#[derive(Debug)]
pub enum Parsed {
    /// Something to do.
    Run(Box<CommandLine>),
    /// Help or version, to be printed on stdout; exit 0.
    Show(String),
}

/// Reads a command line; the first word is the program's name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, ConfigError> {
    match CommandLine::try_parse_from(words) {
        Ok(typed) => Ok(Parsed::Run(Box::new(typed))),
        Err(shown)
            if matches!(
                shown.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            Ok(Parsed::Show(shown.render().to_string()))
        }
        Err(refused) => Err(ConfigError::Usage(refusal(&refused))),
    }
}

impl NodeArgs {
    /// What the flags give.
    pub fn typed(&self) -> Typed {
        let mut typed = Typed::default();
        for setting in SETTINGS {
            for text in self.texts(setting.name) {
                typed.add(setting, text, &Origin::Flag(setting.name));
            }
        }
        typed
    }

    fn texts(&self, name: &str) -> &[String] {
        let one = match name {
            "source" => return &self.source,
            "workers" => &self.workers,
            "run-dir" => &self.run_dir,
            "drain" => &self.drain,
            "node" => &self.node,
            "listen" => &self.listen,
            "publish" => &self.publish,
            "origins" => &self.origins,
            "heartbeat" => &self.heartbeat,
            "write-stall" => &self.write_stall,
            "echo" => &self.echo,
            "interval-ms" => &self.interval_ms,
            "rows" => &self.rows,
            "log" => &self.log,
            "retain" => &self.retain,
            "admin" => &self.admin,
            "log-format" => &self.log_format,
            "log-sync" => &self.log_sync,
            "partitions" => &self.partitions,
            "venue" => &self.venue,
            _ => &None,
        };
        one.as_slice()
    }
}

/// clap's many lines as one: what is wrong, its tips, where to read on.
fn refusal(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let told = rendered
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut parts = Vec::new();
    // The roles are nobody's to start, so that none is ever what somebody meant.
    for line in told
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains("'role'"))
    {
        let line = line
            .strip_prefix("error: ")
            .or(line.strip_prefix("tip: "))
            .unwrap_or(line);
        parts.push(line.trim_end_matches('.').to_owned());
    }
    format!("{} (see pubsub-server --help)", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use pubsub_sysctl::Ends;

    fn read(words: &[&str]) -> Result<CommandLine, String> {
        let words = std::iter::once("pubsub-server")
            .chain(words.iter().copied())
            .map(OsString::from);
        match parse(words) {
            Ok(Parsed::Run(typed)) => Ok(*typed),
            Ok(Parsed::Show(text)) => Err(text),
            Err(refused) => Err(refused.to_string()),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_and_every_flag_of_a_node_is_a_setting() {
        let command = CommandLine::command();
        let mut flags: Vec<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        flags.retain(|flag| !["config", "print-config", "help", "version"].contains(flag));
        flags.sort_unstable();
        let mut settings: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        settings.sort_unstable();
        assert_eq!(flags, settings);
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        for setting in SETTINGS {
            let typed = read(&[&format!("--{}=true", setting.name)])
                .unwrap()
                .node
                .typed();
            let given = typed
                .get(setting.name)
                .unwrap_or_else(|| panic!("--{} is lost", setting.name));
            assert_eq!(
                (given[0].text.as_str(), &given[0].origin),
                ("true", &Origin::Flag(setting.name))
            );
        }
    }

    #[test]
    fn a_switch_may_stand_alone_and_be_taken_back() {
        let text = |words: &[&str]| {
            read(words).unwrap().node.typed().get("echo").unwrap()[0]
                .text
                .clone()
        };
        assert_eq!(text(&["--echo"]), "true");
        assert_eq!(text(&["--echo=false"]), "false");
    }

    #[test]
    fn help_shows_all_that_can_be_used_and_nothing_else() {
        let help = read(&["--help"]).unwrap_err();
        for shown in [
            "--workers",
            "Examples:",
            "PUBSUB_",
            "check",
            "ctl",
            "Exit codes",
        ] {
            assert!(help.contains(shown), "{shown} is not in\n{help}");
        }
        for hidden in ["role", "kafka", "partitions", "--top", "roll"] {
            assert!(!help.contains(hidden), "{hidden} is in\n{help}");
        }
        assert!(
            help.lines().all(|line| line.chars().count() <= 140),
            "{help}"
        );
    }

    #[test]
    fn refusals_are_one_line_that_says_what_would_be_right() {
        let wrong: [(&[&str], &str); 7] = [
            (&["--wrokers", "3"], "--workers"),
            (&["--workers"], "a value is required for '--workers <N>'"),
            (&["dance"], "unrecognized subcommand 'dance' (see"),
            (&["roll"], "unrecognized subcommand 'roll' (see"),
            (&["ctl", "workers", "0"], "0 is not in 1..=1024"),
            (&["ctl"], "requires a subcommand"),
            (
                &["--workers", "1", "--workers", "2"],
                "cannot be used multiple times",
            ),
        ];
        for (words, part) in wrong {
            let line = read(words).unwrap_err();
            assert!(line.contains(part), "{part:?} is not in {line:?}");
            assert!(
                !line.contains('\n') && line.ends_with("(see pubsub-server --help)"),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_negative_number_is_a_value_to_be_refused_and_not_a_flag() {
        for words in [&["--rows", "-1"][..], &["check", "--rows", "-1"]] {
            let typed = read(words).unwrap();
            let node = match &typed.command {
                Some(Command::Check(check)) => &check.node,
                _ => &typed.node,
            };
            assert_eq!(node.typed().get("rows").unwrap()[0].text, "-1");
        }
    }

    #[test]
    fn the_machine_is_looked_at_for_a_number_of_connections() {
        let asked = |words: &[&str]| match read(words).map(|typed| typed.command) {
            Ok(Some(Command::Check(check))) => {
                let system = check.system().map(Option::<&Asked>::copied);
                system.map_err(|refused| refused.to_string())
            }
            other => Err(format!("{other:?}")),
        };
        assert_eq!(asked(&["check"]), Ok(None));
        let system = asked(&["check", "--system", "--connections", "5", "--workers", "2"]);
        assert_eq!(system.unwrap().unwrap().connections(), 5);
        let usual = asked(&["check", "--system"]).unwrap().unwrap();
        assert_eq!((usual.connections(), usual.ends()), (10_000, Ends::Both));
        for (words, part) in [
            (&["check", "--connections", "5"][..], "--system"),
            (&["check", "--json"], "--system"),
            (
                &["check", "--system", "--connections", "0"],
                "--connections",
            ),
            (
                &["check", "--system", "--connections", "5", "--ends", "none"],
                "both",
            ),
        ] {
            let line = asked(words).unwrap_err();
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }

    #[test]
    fn the_run_dir_of_ctl_may_stand_before_or_behind_its_command() {
        for words in [
            ["ctl", "--run-dir", "/r", "stop"],
            ["ctl", "stop", "--run-dir", "/r"],
        ] {
            let Some(Command::Ctl(ctl)) = read(&words).unwrap().command else {
                panic!("{words:?}")
            };
            assert_eq!(ctl.run_dir, Some(PathBuf::from("/r")));
        }
    }
}
