//! Every metric's name, kind and meaning, in one place.
//!
//! Owns the names: dashboards and alerts hang on them, so they are added to and never changed. Must not contain: values. Driven by
//! the metrics page; a test there holds that what is served is named here.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// Its name in the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; units last.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// One line for people.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };)*
        /// All of them.
        pub const ALL: &[Metric] = &[$($constant,)*];
    };
}

metrics! {
    NODE_INFO = "pubsub_node_info", Gauge, "Always 1; its labels name the node and its version.";
    DRAINING = "pubsub_draining", Gauge, "1 while the node welcomes no new sessions.";
    CONNECTIONS = "pubsub_connections", Gauge, "Open connections.";
    CONNECTIONS_TOTAL = "pubsub_connections_total", Counter, "Connections accepted.";
    SESSIONS_TOTAL = "pubsub_sessions_total", Counter, "WebSocket sessions opened.";
    SUBSCRIPTIONS = "pubsub_subscriptions", Gauge, "Subscriptions.";
    BEHIND = "pubsub_behind_subscriptions", Gauge, "Subscriptions in mode behind.";
    COMMANDS_TOTAL = "pubsub_commands_total", Counter, "Commands received.";
    PUBLISHED_TOTAL = "pubsub_published_total", Counter, "Publications numbered by the hub.";
    PUBLISHED_BYTES_TOTAL = "pubsub_published_bytes_total", Counter, "Bytes of publications numbered by the hub.";
    PUBLISH_REFUSED_TOTAL = "pubsub_publish_refused_total", Counter, "Publications refused by the hub.";
    DELIVERED_TOTAL = "pubsub_delivered_total", Counter, "Messages handed whole to the kernel.";
    DELIVERED_BYTES_TOTAL = "pubsub_delivered_bytes_total", Counter, "Bytes of messages handed whole to the kernel.";
    LOST_TOTAL = "pubsub_lost_total", Counter, "Messages lost to subscriptions and announced to them, by reason (epoch: gaps, whose length is not known).";
    FILTERED_TOTAL = "pubsub_filtered_total", Counter, "Messages left out by the rates that subscribers asked for.";
    CONFLATED_TOTAL = "pubsub_conflated_total", Counter, "Messages skipped because a newer one of their key superseded them.";
    SPILLED_MESSAGES = "pubsub_spilled_messages", Gauge, "Messages that subscriptions have yet to read back from the log.";
    DELIVERY_SECONDS = "pubsub_delivery_seconds", Histogram, "From numbered by the hub to handed to the kernel.";
    LOOP_LAG_SECONDS = "pubsub_loop_lag_seconds", Histogram, "How late an event loop came round.";
    LOOP_BLOCKED_MAX_SECONDS = "pubsub_loop_blocked_max_seconds", Gauge, "Longest turn of an event loop since its process started.";
    RING_BYTES = "pubsub_ring_bytes", Gauge, "Bytes of a worker's rings.";
    REJECTED_TOTAL = "pubsub_rejected_total", Counter, "Connections, commands and publications refused, by reason.";
    CLOSED_TOTAL = "pubsub_closed_total", Counter, "Connections closed by the server, by reason.";
    CALLS_TOTAL = "pubsub_calls_total", Counter, "Calls ended, by method and by how: ok, or the code of the error.";
    CALL_SECONDS = "pubsub_call_seconds", Histogram, "From a call received to its answer made.";
    ACCEPT_PAUSES_TOTAL = "pubsub_accept_pauses_total", Counter, "Times that accepting paused for want of file descriptors or memory.";
    HUB_LINKS_LOST_TOTAL = "pubsub_hub_links_lost_total", Counter, "Links from a worker to the hub that broke.";
    WORKER_UP = "pubsub_worker_up", Gauge, "1 while the worker is at work.";
    WORKER_RESTARTS_TOTAL = "pubsub_worker_restarts_total", Counter, "Processes that a worker's place lost.";
    HUB_UP = "pubsub_hub_up", Gauge, "1 while the hub is at work.";
    HUB_RESTARTS_TOTAL = "pubsub_hub_restarts_total", Counter, "Hubs lost.";
    HUB_WORKERS = "pubsub_hub_workers", Gauge, "Workers linked to the hub.";
    HUB_READS_TOTAL = "pubsub_hub_reads_total", Counter, "Pieces of history that the hub answered.";
    HUB_READS_WAITING = "pubsub_hub_reads_waiting", Gauge, "Reads of history, and watches, that wait for the hub's answer.";
    HUB_WORKERS_BEHIND = "pubsub_hub_workers_behind", Gauge, "Workers that have yet to be told of what the hub has numbered.";
    HUB_BEHIND_ENTRIES = "pubsub_hub_behind_entries", Gauge, "Entries that the worker furthest behind has yet to be told of or passed by.";
    HUB_RESTORING = "pubsub_hub_restoring", Gauge, "1 while the newest values and the orders are read from the log of the hub before.";
    LOG_BYTES = "pubsub_log_bytes", Gauge, "Bytes that the log holds.";
    LOG_ENTRIES = "pubsub_log_entries", Gauge, "Entries that the log holds.";
    LOG_EVICTED_TOTAL = "pubsub_log_evicted_total", Counter, "Entries that retention took from the log.";
    LOG_SEGMENTS = "pubsub_log_segments", Gauge, "Segments of the log on disk.";
    LOG_REMOVED_SEGMENTS_TOTAL = "pubsub_log_removed_segments_total", Counter, "Segments that retention took from the log on disk.";
    LOG_REMOVED_BYTES_TOTAL = "pubsub_log_removed_bytes_total", Counter, "Bytes of the segments that retention took.";
    LOG_WRITTEN_BYTES_TOTAL = "pubsub_log_written_bytes_total", Counter, "Bytes written to the segments of the log on disk.";
    LOG_WRITE_SECONDS = "pubsub_log_write_seconds", Histogram, "Writing what a turn of the hub has appended; the hub waits for it.";
    LOG_SYNC_SECONDS = "pubsub_log_sync_seconds", Histogram, "Having what was written last; the hub does not wait for it.";
    LOG_SEAL_SECONDS = "pubsub_log_seal_seconds", Histogram, "Having a full segment last and writing its index; the hub does not wait for it.";
    LOG_UNSYNCED_ENTRIES = "pubsub_log_unsynced_entries", Gauge, "Newest entries that a power cut may take, as far as the hub has heard.";
    LOG_UNSYNCED_SECONDS = "pubsub_log_unsynced_seconds", Gauge, "How long the oldest entry that was written has waited for its sync.";
    LOG_FAILURES_TOTAL = "pubsub_log_failures_total", Counter, "Logs on disk that could not write or sync and ended their hub.";
    LOG_REFUSED_TOTAL = "pubsub_log_refused_total", Counter, "Publications refused because the log had no room.";
    LOG_SPACE_SHORT = "pubsub_log_space_short", Gauge, "1 while there is no space for the next segment of the log on disk.";
    LOG_DISK_FREE_BYTES = "pubsub_log_disk_free_bytes", Gauge, "Bytes that the disk of the log has left for it.";
    LOG_HOLES = "pubsub_log_holes", Gauge, "Ranges of the log on disk that can't be read, as far as they are known: damaged, or skipped after a loss.";
    LOG_CHECKPOINTS_TOTAL = "pubsub_log_checkpoints_total", Counter, "Checkpoints of newest values and orders that were written.";
    LOG_CHECKPOINT_FAILURES_TOTAL = "pubsub_log_checkpoint_failures_total", Counter, "Checkpoints that could not be written.";
    LOG_CHECKPOINT_BYTES = "pubsub_log_checkpoint_bytes", Gauge, "Bytes of the newest checkpoint.";
    LOG_CHECKPOINT_BEHIND_ENTRIES = "pubsub_log_checkpoint_behind_entries", Gauge, "Entries behind the newest checkpoint: so many a start reads.";
    LOG_MENDED_INDEXES_TOTAL = "pubsub_log_mended_indexes_total", Counter, "Indexes of segments that turned out to be damaged and were made anew.";
    LOG_READ_BYTES_TOTAL = "pubsub_log_read_bytes_total", Counter, "Bytes of segments read for who is behind, for the most part from the page cache.";
    LOG_READ_ENTRIES_TOTAL = "pubsub_log_read_entries_total", Counter, "Entries taken out of segments for who is behind; the newest are in memory and do not count.";
    LOG_READ_SECONDS = "pubsub_log_read_seconds", Histogram, "One reading of segments; the hub waits for it.";
    LOG_LOST_TOTAL = "pubsub_log_lost_total", Counter, "Entries that retention took before a worker had read them, summed over workers.";
    TOPICS = "pubsub_topics", Gauge, "Topics known to the hub.";
    KEYS = "pubsub_keys", Gauge, "Keys whose newest value the hub keeps.";
    CPU_SECONDS_TOTAL = "process_cpu_seconds_total", Counter, "Time on a CPU, user and system.";
    RESIDENT_BYTES = "process_resident_memory_bytes", Gauge, "Resident memory; pages shared with other processes count in each.";
    VIRTUAL_BYTES = "process_virtual_memory_bytes", Gauge, "Address space.";
    OPEN_FDS = "process_open_fds", Gauge, "Open file descriptors.";
    MAX_FDS = "process_max_fds", Gauge, "File descriptors that may be open.";
    THREADS = "process_threads", Gauge, "Threads.";
    START_SECONDS = "process_start_time_seconds", Gauge, "When the process started, seconds since the Unix epoch.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_kind() {
        for (i, metric) in ALL.iter().enumerate() {
            assert!(
                ALL[..i].iter().all(|other| other.name != metric.name),
                "{}",
                metric.name
            );
            assert_eq!(
                metric.kind == Kind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            assert!(metric.name.starts_with("pubsub_") || metric.name.starts_with("process_"));
            assert!(
                metric
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                metric.name
            );
        }
    }
}
