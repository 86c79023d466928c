//! What connections cost, as measured.
//!
//! Owns the figures that needs are computed from, each with where it is from. `docs/performance.md` has those of the server with
//! their commands.

/// Kernel memory of one end of an idle TCP connection: a million over loopback took 9.8 GB for both.
pub const KERNEL_IDLE_BYTES: u64 = 4_900;

/// The unit of `tcp_mem`: each end whose queue holds anything has at least one.
pub const PAGE_BYTES: u64 = 4_096;

/// Resident in the worker, with its share of the hub: 0.39 KB while idle.
pub const SERVER_BYTES: u64 = 500;

/// Resident in the load generator, at most.
pub const LOAD_BYTES: u64 = 1_024;

/// A process of either program without a connection.
pub const PROCESS_BYTES: u64 = 8 << 20;

/// What the log keeps when nobody says.
pub const LOG_BYTES: u64 = 64 << 20;

/// What a worker's rings may take when nobody says.
pub const RING_BYTES: u64 = 64 << 20;

/// Open files of a process besides its connections.
pub const FILES_BESIDE: u64 = 64;

/// Open files of all other programs together, with room.
pub const FILES_OF_OTHERS: u64 = 4_096;

/// Processes of the node besides its workers, and room for those that take over from them.
pub const PROCESSES_BESIDE: u64 = 20;

/// Processes either program divides connections among at most.
pub const PROCESSES_MAX: u64 = 1_024;

/// The accept queue that the server asks for.
pub const BACKLOG: u64 = 65_535;

/// Connections from one source address: beyond half of the usual range of ports, finding a free one takes ever longer.
pub const PER_SOURCE: u64 = 20_000;

/// 18,000 connections closed at once overflowed a queue of 1,000 packets by 1,400: an eighth would do, and a quarter is safe.
pub const CLOSED_PER_PACKET: u64 = 4;

/// More packets than this waiting for a core are only late.
pub const PACKETS_MAX: u64 = 16_384;

/// One in so many subscribers is taken to have stopped reading.
pub const STANDING_STILL: u64 = 100;

/// A buffer that lets 20 Mbit/s through at a round trip of 100 ms.
pub const BUFFER_BYTES: u64 = 256 << 10;
