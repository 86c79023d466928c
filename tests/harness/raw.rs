//! A client that keeps no rules: any bytes out, all bytes in.
use super::within_patience;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A key as RFC 6455 section 1.3 has it; any 16 bytes would do.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Bit of a frame's second byte that says it is masked.
const MASKED: u8 = 0x80;
/// Values of its length that stand for longer ones behind it (RFC 6455 section 5.2).
const LENGTH_IN_2_BYTES: u8 = 0x7e;
const LENGTH_IN_8_BYTES: u8 = 0x7f;

/// One TCP connection.
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A client's frame: `first` is FIN, RSV and opcode. The mask's key is zero, so the payload stands as it is.
pub fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(MASKED | u8::try_from(short).expect("at most 125")),
        medium @ 126..=0xffff => {
            frame.push(MASKED | LENGTH_IN_2_BYTES);
            frame.extend(u16::try_from(medium).expect("at most 65535").to_be_bytes());
        }
        long => {
            frame.push(MASKED | LENGTH_IN_8_BYTES);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

impl Raw {
    /// A TCP connection, nothing said.
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = within_patience("a connection", TcpStream::connect(address))
            .await
            .expect("the node accepts");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Raw {
            stream,
            read: Vec::new(),
        }
    }

    /// A connection that is upgraded and has had its `welcome`.
    pub async fn upgraded(address: SocketAddr) -> Raw {
        let mut raw = Self::connect(address).await;
        raw.write(upgrade_request(address, "").as_bytes()).await;
        let head = raw.read_past(b"\r\n\r\n").await;
        assert!(
            head.starts_with(b"HTTP/1.1 101 "),
            "{}",
            String::from_utf8_lossy(&head)
        );
        let (opcode, welcome) = raw.frame().await.expect("a welcome");
        assert!(
            opcode == 1 && welcome.starts_with(br#"{"op":"welcome""#),
            "{}",
            String::from_utf8_lossy(&welcome)
        );
        raw
    }

    /// Writes all of `bytes`; a connection the server has given up is no failure here.
    pub async fn write(&mut self, bytes: &[u8]) {
        within_patience("the server to read", self.stream.write_all(bytes))
            .await
            .ok();
    }

    /// Everything up to and with `end`.
    pub async fn read_past(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self
                .read
                .windows(end.len())
                .position(|window| window == end)
            {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(
                self.read_more().await,
                "the end came before {end:?}: {}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// The next frame of the server: opcode and payload. `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, payload, length)) = split_frame(&self.read) {
                let frame = (opcode, payload.to_vec());
                self.read.drain(..length);
                return Some(frame);
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Reads on to the close frame and gives its code; `None` if the connection ends without one.
    pub async fn close_code(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.frame().await {
            if opcode == 8 {
                return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
        None
    }

    /// Everything until the server closes.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.read)
    }

    async fn read_more(&mut self) -> bool {
        let mut some = [0; 4096];
        match within_patience("bytes or the end", self.stream.read(&mut some)).await {
            Ok(count) if count > 0 => {
                self.read.extend_from_slice(&some[..count]);
                true
            }
            _ => false,
        }
    }
}

/// A request for an upgrade, with `headers` (each ended by CRLF) added.
pub fn upgrade_request(address: SocketAddr, headers: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{headers}\r\n"
    )
}

fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let second = *bytes.get(1)?;
    assert_eq!(second & MASKED, 0, "a server doesn't mask");
    let (start, length) = match second {
        LENGTH_IN_2_BYTES => (
            4,
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        LENGTH_IN_8_BYTES => (
            10,
            usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?,
        ),
        short => (2, usize::from(short)),
    };
    Some((
        bytes[0] & 0x0f,
        bytes.get(start..start + length)?,
        start + length,
    ))
}
