//! What is said: the two calls that are measured, each time a new one.
//!
//! Owns the texts. Must not contain: sockets, but for the one that gives the venue its price.

use crate::line::one;
use std::fmt::Write as _;

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// `order.echo` with so many executions.
    Echo {
        /// How many.
        rows: usize,
    },
    /// `order.submit`: a market order, filled at once.
    Submit,
}

/// A row as the 2012 prototype sent it.
const ROW: &str = r#"{"sequence":1,"activityDateStr":"2012-05-01","com":"0.00","price":"12.34","accountId":"1234567","symbol":"ABC","transaction":"Buy","description":"ABC Corporation","qty":"100","key":"1234567-1","netAmount":"1234.00"}"#;

impl Talk {
    /// Overwrites `text` with call number `n` of one connection of this name.
    pub fn write(self, text: &mut String, connection: usize, n: u64) {
        text.clear();
        // Writing into a string cannot fail.
        let _ = match self {
            Self::Echo { rows } => {
                let _ = write!(
                    text,
                    r#"{{"op":"call","id":{n},"method":"order.echo","params":{{"request":{n},"timestamp":1335830400000,"address":"127.0.0.1","execs":["#
                );
                for row in 0..rows {
                    text.push_str(if row == 0 { "" } else { "," });
                    text.push_str(ROW);
                }
                write!(text, "]}}}}")
            }
            Self::Submit => write!(
                text,
                r#"{{"op":"call","id":{n},"method":"order.submit","params":{{"client_order_id":"{connection}-{n}","account":"a{connection}","symbol":"ABC","side":"buy","qty":"1.50","type":"market"}}}}"#
            ),
        };
    }
}

/// Gives the node a quote to fill orders at.
pub fn quote(url: &str) -> Result<(), String> {
    let quote = r#"{"op":"publish","id":1,"topic":"quotes.ABC","key":"ABC","data":{"symbol":"ABC","bid":9.5,"ask":10.5,"last":10,"volume":1,"time":"t"}}"#;
    one(url, quote, r#"{"op":"published""#)
}
