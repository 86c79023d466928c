//! One connection that is spoken over by hand: a command out, and what comes until its answer.
//!
//! It reads when it is asked to and at no other time, so that a server finds it stopped. Every byte of the stream has a place, counted
//! from the first frame on.
use pubsub_load::swarm::frames::{Opcode, Scan, scan};
use pubsub_load::swarm::outgoing;
use pubsub_load::swarm::upgrade::Upgrade;
use pubsub_load::target::Target;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One read takes all that a stopped connection's buffers hold.
const BUFFER: usize = 256 * 1024;

/// A connection.
pub struct Talk {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What has come and has not been looked at.
    held: Vec<u8>,
    /// Place of the first byte of `held`.
    at: u64,
}

impl Talk {
    /// Connects and upgrades; a receive buffer of so many bytes, which the kernel doubles.
    pub fn connect(target: &Target, receive_bytes: usize) -> Result<Self, String> {
        Self::try_connect(target, receive_bytes)
            .map_err(|error| format!("{}: {error}", target.addr))
    }

    fn try_connect(target: &Target, receive_bytes: usize) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(target.addr), Type::STREAM, None)?;
        // Before the connect: the window that is offered follows from it.
        socket.set_recv_buffer_size(receive_bytes)?;
        socket.connect(&target.addr.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let upgrade = Upgrade::new(target);
        stream.write_all(&upgrade.request)?;
        let mut talk = Self {
            stream,
            buffer: vec![0; BUFFER],
            held: Vec::new(),
            at: 0,
        };
        loop {
            talk.read()?;
            let head = upgrade.check(&talk.held).map_err(std::io::Error::other)?;
            if let Some(head) = head {
                talk.held.drain(..head);
                return Ok(talk);
            }
        }
    }

    /// Sends a command.
    pub fn say(&mut self, command: &str) -> Result<(), String> {
        let mut frame = Vec::new();
        outgoing::frame(&mut frame, Opcode::Text, command.as_bytes());
        self.stream.write_all(&frame).map_err(|error| gone(&error))
    }

    /// Reads until a text frame begins with this, and passes all before it by; the place where that frame begins.
    pub fn hear(&mut self, text: &str) -> Result<u64, String> {
        loop {
            let mut at = 0;
            while let Scan::Whole(frame, len) =
                scan(&self.held[at..]).map_err(|error| error.to_string())?
            {
                match frame.opcode {
                    Opcode::Text if frame.payload.starts_with(text.as_bytes()) => {
                        let place = self.at + at as u64;
                        self.pass(at + len);
                        return Ok(place);
                    }
                    Opcode::Close => return Err(format!("closed: {:?}", frame.payload)),
                    _ => at += len,
                }
            }
            self.pass(at);
            self.read().map_err(|error| gone(&error))?;
        }
    }

    /// Reads until so many text frames have come that begin with this, and passes all others by.
    pub fn hear_many(&mut self, text: &str, frames: u64) -> Result<(), String> {
        let mut left = frames;
        while left > 0 {
            let mut at = 0;
            while let Scan::Whole(frame, len) =
                scan(&self.held[at..]).map_err(|error| error.to_string())?
            {
                at += len;
                match frame.opcode {
                    Opcode::Text if frame.payload.starts_with(text.as_bytes()) => {
                        left = left.saturating_sub(1);
                    }
                    Opcode::Close => return Err(format!("closed: {:?}", frame.payload)),
                    _ => {}
                }
            }
            self.pass(at);
            if left > 0 {
                self.read()
                    .map_err(|error| format!("{}, {left} of {frames} to come", gone(&error)))?;
            }
        }
        Ok(())
    }

    /// Place of the first byte that the kernel still has, or gets next.
    pub fn place(&self) -> u64 {
        self.at + self.held.len() as u64
    }

    /// Bytes that the kernel has for this connection.
    pub fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.stream).unwrap_or(0)
    }

    /// Port of this side.
    pub fn port(&self) -> u16 {
        self.stream.local_addr().map_or(0, |addr| addr.port())
    }

    fn pass(&mut self, bytes: usize) {
        self.held.drain(..bytes);
        self.at += bytes as u64;
    }

    fn read(&mut self) -> std::io::Result<()> {
        match self.stream.read(&mut self.buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.held.extend_from_slice(&self.buffer[..n]);
                Ok(())
            }
        }
    }
}

fn gone(error: &std::io::Error) -> String {
    format!("a connection of the bench: {error}")
}
