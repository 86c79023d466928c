//! A call as one process hands it to another: read and checked once, and from then on no text to be read again.
//!
//! Owns the layout of those bytes. Must not contain: what a call means, or how its bytes travel. The worker packs what it has checked,
//! the hub unpacks it.
//!
//! A byte for the kind, then the fields in order: a text behind its length (1 byte; where one may be absent, 0 says so), a decimal as its
//! places (1 byte) and its digits as an integer (16), numbers little-endian.
//!
//! Laws: what is unpacked is what was packed; any other bytes are an error, never a panic, and nothing is allocated for more than is there.
use super::desk::Call;
use super::order::{Side, Submit, Terms};
use super::params::{List, Which};
use rust_decimal::Decimal;

mod kind {
    pub(super) const SUBMIT: u8 = 1;
    pub(super) const GET: u8 = 2;
    pub(super) const CANCEL: u8 = 3;
    pub(super) const LIST: u8 = 4;
}

mod which {
    pub(super) const ID: u8 = 0;
    pub(super) const CLIENT: u8 = 1;
}

mod side {
    pub(super) const BUY: u8 = 0;
    pub(super) const SELL: u8 = 1;
}

mod terms {
    pub(super) const MARKET: u8 = 0;
    pub(super) const LIMIT: u8 = 1;
}

/// Room for a packed order of usual names.
const PACKED_BYTES: usize = 64;

/// Why bytes are no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCall {
    /// They end inside a field.
    #[error("it ends in the middle of a field")]
    Truncated,
    /// They go on after the last field.
    #[error("{0} bytes follow its last field")]
    Trailing(usize),
    /// A text is not UTF-8.
    #[error("a text in it is not UTF-8")]
    NotText,
    /// Digits or places that no decimal has.
    #[error("a decimal in it is out of range")]
    NoDecimal,
    /// A field holds a value that has no meaning.
    #[error("no such {field}: {value}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u8,
    },
}

impl Call {
    /// Its bytes. Of a text that no check of parameters lets pass only the first 255 bytes go.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PACKED_BYTES);
        match self {
            Self::Submit(asked) => {
                out.push(kind::SUBMIT);
                put_submit(&mut out, asked);
            }
            Self::Get(which) => {
                out.push(kind::GET);
                put_which(&mut out, which);
            }
            Self::Cancel(which) => {
                out.push(kind::CANCEL);
                put_which(&mut out, which);
            }
            Self::List(list) => {
                out.push(kind::LIST);
                put_text(&mut out, &list.account);
                put_text(&mut out, list.after.as_deref().unwrap_or_default());
                out.extend_from_slice(&(list.limit as u64).to_le_bytes());
            }
        }
        out
    }

    /// The call that [`pack`](Self::pack) made these bytes of.
    pub fn unpack(bytes: &[u8]) -> Result<Self, NoCall> {
        let mut rest = Rest(bytes);
        let call = match rest.u8()? {
            kind::SUBMIT => Self::Submit(rest.submit()?),
            kind::GET => Self::Get(rest.which()?),
            kind::CANCEL => Self::Cancel(rest.which()?),
            kind::LIST => Self::List(List {
                account: rest.text()?,
                after: Some(rest.text()?).filter(|after| !after.is_empty()),
                limit: u64::from_le_bytes(rest.chunk()?) as usize,
            }),
            value => return Err(bad("call", value)),
        };
        match rest.0.len() {
            0 => Ok(call),
            more => Err(NoCall::Trailing(more)),
        }
    }
}

fn put_submit(out: &mut Vec<u8>, asked: &Submit) {
    out.push(match asked.side {
        Side::Buy => side::BUY,
        Side::Sell => side::SELL,
    });
    put_decimal(out, asked.qty);
    match asked.terms {
        Terms::Market => out.push(terms::MARKET),
        Terms::Limit(price) => {
            out.push(terms::LIMIT);
            put_decimal(out, price);
        }
    }
    put_text(out, &asked.client_order_id);
    put_text(out, &asked.account);
    put_text(out, &asked.symbol);
}

fn put_which(out: &mut Vec<u8>, which: &Which) {
    match which {
        Which::Id(id) => {
            out.push(which::ID);
            put_text(out, id);
        }
        Which::Client {
            account,
            client_order_id,
        } => {
            out.push(which::CLIENT);
            put_text(out, account);
            put_text(out, client_order_id);
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(u8::try_from(text.len()).is_ok(), "{text} was not checked");
    let bytes = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(bytes);
    out.extend_from_slice(&text.as_bytes()[..usize::from(bytes)]);
}

fn put_decimal(out: &mut Vec<u8>, decimal: Decimal) {
    out.push(decimal.scale() as u8);
    out.extend_from_slice(&decimal.mantissa().to_le_bytes());
}

/// What is left while a call is read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], NoCall> {
        let (head, rest) = self.0.split_first_chunk().ok_or(NoCall::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, NoCall> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    fn text(&mut self) -> Result<Box<str>, NoCall> {
        let bytes = usize::from(self.u8()?);
        let (text, rest) = self.0.split_at_checked(bytes).ok_or(NoCall::Truncated)?;
        self.0 = rest;
        let text = str::from_utf8(text).map_err(|_| NoCall::NotText)?;
        Ok(text.into())
    }

    fn decimal(&mut self) -> Result<Decimal, NoCall> {
        let places = u32::from(self.u8()?);
        let digits = i128::from_le_bytes(self.chunk()?);
        Decimal::try_from_i128_with_scale(digits, places).map_err(|_| NoCall::NoDecimal)
    }

    fn submit(&mut self) -> Result<Submit, NoCall> {
        let side = match self.u8()? {
            side::BUY => Side::Buy,
            side::SELL => Side::Sell,
            value => return Err(bad("side", value)),
        };
        let qty = self.decimal()?;
        let terms = match self.u8()? {
            terms::MARKET => Terms::Market,
            terms::LIMIT => Terms::Limit(self.decimal()?),
            value => return Err(bad("type", value)),
        };
        Ok(Submit {
            client_order_id: self.text()?,
            account: self.text()?,
            symbol: self.text()?,
            side,
            qty,
            terms,
        })
    }

    fn which(&mut self) -> Result<Which, NoCall> {
        match self.u8()? {
            which::ID => self.text().map(Which::Id),
            which::CLIENT => Ok(Which::Client {
                account: self.text()?,
                client_order_id: self.text()?,
            }),
            value => Err(bad("way to name an order", value)),
        }
    }
}

fn bad(field: &'static str, value: u8) -> NoCall {
    NoCall::BadValue { field, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> impl Strategy<Value = Box<str>> {
        "\\PC{1,20}".prop_map(Into::into)
    }

    fn decimals() -> impl Strategy<Value = Decimal> {
        (1..1_i128 << 96, 0..=Decimal::MAX_SCALE)
            .prop_map(|(digits, places)| Decimal::from_i128_with_scale(digits, places))
    }

    fn submits() -> impl Strategy<Value = Submit> {
        let sides = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
        let terms = prop_oneof![Just(Terms::Market), decimals().prop_map(Terms::Limit)];
        (names(), names(), names(), sides, decimals(), terms).prop_map(
            |(client_order_id, account, symbol, side, qty, terms)| Submit {
                client_order_id,
                account,
                symbol,
                side,
                qty,
                terms,
            },
        )
    }

    fn which() -> impl Strategy<Value = Which> {
        prop_oneof![
            names().prop_map(Which::Id),
            (names(), names()).prop_map(|(account, client_order_id)| Which::Client {
                account,
                client_order_id
            }),
        ]
    }

    fn calls() -> impl Strategy<Value = Call> {
        prop_oneof![
            submits().prop_map(Call::Submit),
            which().prop_map(Call::Get),
            which().prop_map(Call::Cancel),
            (names(), proptest::option::of(names()), any::<usize>()).prop_map(
                |(account, after, limit)| Call::List(List {
                    account,
                    after,
                    limit
                })
            ),
        ]
    }

    proptest! {
        #[test]
        fn a_call_comes_back_as_it_was_packed(call in calls()) {
            prop_assert_eq!(Call::unpack(&call.pack()), Ok(call));
        }

        #[test]
        fn a_call_cut_short_is_an_error(call in calls(), keep in any::<prop::sample::Index>()) {
            let bytes = call.pack();
            prop_assert!(Call::unpack(&bytes[..keep.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_a_call_or_an_error(kind in 0u8..6, mut bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            bytes.insert(0, kind);
            let _ = Call::unpack(&bytes);
        }
    }

    #[test]
    fn bytes_behind_the_last_field_are_an_error() {
        let mut bytes = Call::Get(Which::Id("n-1".into())).pack();
        bytes.push(0);
        assert_eq!(Call::unpack(&bytes), Err(NoCall::Trailing(1)));
    }
}
