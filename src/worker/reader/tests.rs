use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const LIMIT: usize = 4096;

/// What was said, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Text(String),
    Ping(Vec<u8>),
    Close(Option<u16>),
    Violation(u16),
}

impl From<Said<'_>> for Owned {
    fn from(said: Said<'_>) -> Self {
        match said {
            Said::Text(text) => Self::Text(text.to_owned()),
            Said::Ping(payload) => Self::Ping(payload.to_vec()),
            Said::Close(code) => Self::Close(code),
            Said::Violation(violation) => Self::Violation(violation.code),
        }
    }
}

/// A client: its own memory, and all it has said so far. Nothing is fed to it after its end.
#[derive(Default)]
struct Client {
    unfinished: Option<Box<Unfinished>>,
    said: Vec<Owned>,
    over: bool,
}

impl Client {
    fn feed(&mut self, reader: &mut Reader, bytes: &[u8]) {
        if self.over {
            return;
        }
        let (said, over) = (&mut self.said, &mut self.over);
        reader.take(&mut self.unfinished, bytes, |s| {
            *over |= matches!(s, Said::Close(_) | Said::Violation(_));
            said.push(s.into());
            ControlFlow::Continue(())
        });
    }
}

/// The reference: one decoder of its own that gets all bytes at once.
fn expected(bytes: &[u8]) -> Vec<Owned> {
    let mut said = Vec::new();
    let _ = feed(&mut context(LIMIT, READ_BYTES), bytes, usize::MAX, |s| {
        said.push(s.into());
        ControlFlow::Continue(())
    });
    said
}

fn said(bytes: &[u8]) -> Vec<Owned> {
    let mut client = Client::default();
    client.feed(&mut Reader::new(LIMIT), bytes);
    client.said
}

/// One frame; masked unless `mask` is `None`.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        n @ 0..126 => out.push(masked | n as u8),
        n @ 126..65536 => {
            out.push(masked | 0x7e);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(masked | 0x7f);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| out.extend_from_slice(mask));
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    out
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x12, 0x34, 0x56, 0x78]))
}

/// Frames of a client that mostly behaves: whole texts, fragments, pings, pongs, a close, and now and then what is forbidden.
fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-zäöü€😀]{0,40}";
    prop_oneof![
        6 => text.prop_map(|s| masked(0x81, s.as_bytes())),
        3 => (text, text, vec(any::<u8>(), 0..20)).prop_map(|(a, b, ping)| {
            [masked(0x01, a.as_bytes()), masked(0x89, &ping), masked(0x80, b.as_bytes())].concat()
        }),
        // A text whose characters are cut by fragments.
        2 => (text, any::<Index>()).prop_map(|(s, cut)| {
            let (a, b) = s.as_bytes().split_at(cut.index(s.len() + 1));
            [masked(0x01, a), masked(0x00, &[]), masked(0x80, b)].concat()
        }),
        2 => vec(any::<u8>(), 0..126).prop_map(|p| masked(0x89, &p)),
        1 => vec(any::<u8>(), 0..126).prop_map(|p| masked(0x8a, &p)),
        1 => (200usize..LIMIT + 50).prop_map(|n| masked(0x81, &vec![b'x'; n])),
        1 => Just(masked(0x88, &[0x03, 0xe8])),
        1 => (any::<u8>(), vec(any::<u8>(), 0..10), any::<bool>())
            .prop_map(|(first, p, m)| frame(first, &p, m.then_some([1, 2, 3, 4]))),
    ]
}

fn chopped<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter()
        .map(|end| {
            let piece = &bytes[from..end];
            from = end;
            piece
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn however_the_bytes_are_chopped_the_client_says_the_same(
        frames in vec(some_frame(), 0..12), cuts in vec(any::<Index>(), 0..30),
    ) {
        let bytes = frames.concat();
        let (mut reader, mut client) = (Reader::new(LIMIT), Client::default());
        for piece in chopped(&bytes, &cuts) {
            client.feed(&mut reader, piece);
        }
        prop_assert_eq!(client.said, expected(&bytes));
    }

    #[test]
    fn clients_that_share_a_decoder_do_not_notice_each_other(
        one in vec(some_frame(), 0..8), two in vec(some_frame(), 0..8), cuts in vec(any::<Index>(), 0..20),
    ) {
        let (one, two) = (one.concat(), two.concat());
        let mut reader = Reader::new(LIMIT);
        let (mut a, mut b) = (Client::default(), Client::default());
        for (x, y) in chopped(&one, &cuts).into_iter().zip(chopped(&two, &cuts)) {
            a.feed(&mut reader, x);
            b.feed(&mut reader, y);
        }
        prop_assert_eq!(a.said, expected(&one));
        prop_assert_eq!(b.said, expected(&two));
    }

    #[test]
    fn garbage_never_panics_and_is_never_kept_beyond_the_limit(bytes in vec(any::<u8>(), 0..20_000)) {
        let (mut reader, mut client) = (Reader::new(LIMIT), Client::default());
        for piece in bytes.chunks(700) {
            client.feed(&mut reader, piece);
            let kept = client.unfinished.as_ref().map_or(0, |u| u.bytes.len());
            prop_assert!(kept <= LIMIT + 14);
        }
    }
}

#[test]
fn nothing_is_kept_between_messages() {
    let (mut reader, mut client) = (Reader::new(LIMIT), Client::default());
    let fragments = [masked(0x01, b"a"), masked(0x80, b"b")].concat();
    for byte in [masked(0x81, b"hello"), fragments].concat() {
        client.feed(&mut reader, &[byte]);
    }
    assert_eq!(
        client.said,
        [Owned::Text("hello".into()), Owned::Text("ab".into())]
    );
    assert!(client.unfinished.is_none());
}

#[test]
fn between_fragments_a_decoder_is_kept_and_no_bytes() {
    let (mut reader, mut client) = (Reader::new(LIMIT), Client::default());
    client.feed(&mut reader, &masked(0x01, b"a"));
    let kept = client.unfinished.as_ref().expect("a message under way");
    assert!(kept.bytes.is_empty() && kept.fragments.is_some());
}

#[test]
fn each_violation_has_its_code() {
    let too_big = masked(0x81, &[b'x'; LIMIT + 1]);
    assert_eq!(said(&too_big), [Owned::Violation(1009)]);
    // Said from the header alone: the payload needs not arrive.
    assert_eq!(said(&too_big[..14]), [Owned::Violation(1009)]);
    let many = [
        masked(0x01, &[b'x'; LIMIT]),
        masked(0x00, b"x"),
        masked(0x00, b"y"),
    ]
    .concat();
    assert_eq!(said(&many), [Owned::Violation(1009)]);
    assert_eq!(said(&masked(0x81, b"\xff\xfe")), [Owned::Violation(1007)]);
    assert_eq!(said(&masked(0x82, b"x")), [Owned::Violation(1003)]);
    assert_eq!(said(&frame(0x81, b"x", None)), [Owned::Violation(1002)]);
    assert_eq!(said(&masked(0x80, b"x")), [Owned::Violation(1002)]);
    assert_eq!(said(&masked(0xc1, b"x")), [Owned::Violation(1002)]);
    assert_eq!(said(&masked(0x83, b"x")), [Owned::Violation(1002)]);
    assert_eq!(said(&masked(0x89, &[0; 126])), [Owned::Violation(1002)]);
    assert_eq!(said(&masked(0x88, &[3])), [Owned::Violation(1002)]);
}

#[test]
fn messages_before_a_violation_are_said() {
    let bytes = [
        masked(0x81, b"one"),
        frame(0x81, b"two", None),
        masked(0x81, b"three"),
    ]
    .concat();
    assert_eq!(
        said(&bytes),
        [Owned::Text("one".into()), Owned::Violation(1002)]
    );
}

#[test]
fn a_close_ends_what_is_said_and_gives_its_code() {
    let bytes = [masked(0x88, &[0x03, 0xe9, b'!']), masked(0x81, b"late")].concat();
    assert_eq!(said(&bytes), [Owned::Close(Some(1001))]);
    assert_eq!(said(&masked(0x88, &[])), [Owned::Close(None)]);
}

#[test]
fn the_shared_decoder_is_fit_for_the_next_after_a_close_and_a_violation() {
    let mut reader = Reader::new(LIMIT);
    for end in [masked(0x88, &[]), masked(0x82, b"x")] {
        Client::default().feed(&mut reader, &end);
        let mut next = Client::default();
        next.feed(&mut reader, &masked(0x81, b"next"));
        assert_eq!(next.said, [Owned::Text("next".into())]);
    }
}

#[test]
fn a_visitor_that_stops_is_told_nothing_more_and_nothing_is_kept() {
    let mut reader = Reader::new(LIMIT);
    let mut unfinished = None;
    let mut told = 0;
    let bytes = [masked(0x81, b"a"), masked(0x81, b"b"), vec![0x81]].concat();
    reader.take(&mut unfinished, &bytes, |_| {
        told += 1;
        ControlFlow::Break(())
    });
    assert_eq!((told, unfinished.is_none()), (1, true));
    let mut next = Client::default();
    next.feed(&mut reader, &masked(0x81, b"c"));
    assert_eq!(next.said, [Owned::Text("c".into())]);
}

#[test]
fn a_message_larger_than_the_buffer_arrives_whole() {
    let mut reader = Reader::new(1 << 20);
    let mut client = Client::default();
    let text = "x".repeat(300_000);
    for piece in masked(0x81, text.as_bytes()).chunks(READ_BYTES) {
        client.feed(&mut reader, piece);
    }
    assert_eq!(client.said, [Owned::Text(text)]);
    assert!(client.unfinished.is_none());
}
