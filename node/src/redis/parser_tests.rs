//! The parser against `redis-protocol`, against itself under every split, and against garbage.

use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2::{decode::decode, encode::extend_encode, types::OwnedFrame};

use super::*;

type Request = Vec<Vec<u8>>;

/// Feeds the chunks one after the other, as a connection does; returns the requests and how it ended.
fn parse<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    authenticated: bool,
) -> (Vec<Request>, Option<ProtocolError>) {
    let (mut parser, mut buffer, mut requests) = (Parser::default(), BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match parser.next(&mut buffer, authenticated) {
                Ok(Some(args)) => requests.push(args.from(0).map(<[u8]>::to_vec).collect()),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        parser.discard(&mut buffer);
    }
    (requests, None)
}

fn encode(request: &[Vec<u8>]) -> Vec<u8> {
    let frame = OwnedFrame::Array(request.iter().cloned().map(OwnedFrame::BulkString).collect());
    let mut buffer = BytesMut::new();
    extend_encode(&mut buffer, &frame.into_bytes_frame(), false).unwrap();
    buffer.to_vec()
}

/// The request that the oracle reads at the start of the bytes, if they are exactly how one is encoded.
fn oracle(bytes: &[u8]) -> Option<Request> {
    let (frame, length) = decode(bytes).ok()??;
    let OwnedFrame::Array(frames) = frame else { return None };
    let strings = frames.into_iter().map(|frame| match frame {
        OwnedFrame::BulkString(string) => Some(string),
        _ => None,
    });
    let request: Request = strings.collect::<Option<_>>()?;
    (!request.is_empty() && encode(&request) == bytes[..length]).then_some(request)
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    vec(vec(vec(any::<u8>(), 0..40), 1..6), 1..8)
}

/// Pieces of requests, mostly well formed, in any order.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (1_usize..4).prop_map(|count| format!("*{count}\r\n").into_bytes()),
        8 => vec(any::<u8>(), 0..12).prop_map(|string| {
            [format!("${}\r\n", string.len()).as_bytes(), &string, b"\r\n"].concat()
        }),
        1 => prop::sample::select(vec![
            "\r\n", "\r", "\n", "$", "$-1\r\n", "*-1\r\n", "$3\r\nab\r\n", "$2\r\nabc\r\n", "$01\r\na\r\n", "+OK\r\n",
            ":5\r\n", "*1\r\n*1\r\n", "*+1\r\n", "$1\ra\r\n", "*9999999999999999999\r\n", "$1x\r\na\r\n", "get a\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_the_oracle_encodes_is_read_back_however_it_arrives(
        requests in requests(),
        cuts in vec(1_usize..64, 0..40),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
        let (mut rest, mut chunks) = (&bytes[..], Vec::new());
        for cut in cuts {
            let (chunk, after) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks.push(rest);
        prop_assert_eq!(parse(chunks, true), (requests, None));
    }

    #[test]
    fn malformed_arrays_are_judged_as_the_oracle_does(fragments in vec(fragment(), 1..8)) {
        let bytes = [b"*".to_vec(), fragments.concat()].concat();
        let bytes = bytes.strip_prefix(b"**").map_or(bytes.clone(), |rest| [b"*", rest].concat());
        let mut parser = Parser::default();
        let mut buffer = bytes.clone();
        let ours = parser.next(&mut buffer, true).map(|args| {
            args.map(|args| args.from(0).map(<[u8]>::to_vec).collect::<Request>())
        });
        // Where the first request of the bytes is encoded exactly as it should be, both read it.
        if let Some(expected) = oracle(&bytes) {
            prop_assert_eq!(ours, Ok(Some(expected)));
        } else if let Ok(Some(request)) = ours {
            // Ours skips empty arrays, and does not look at the two bytes behind a string or a length.
            let exact = bytes.starts_with(&encode(&request));
            prop_assert!(!exact, "the oracle refuses {:?}", request);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_depend_on_how_they_arrive(
        fragments in vec(fragment(), 0..24),
        at in any::<prop::sample::Index>(),
        authenticated in any::<bool>(),
    ) {
        let bytes = fragments.concat();
        let whole = parse([&bytes[..]], authenticated);
        let (left, right) = bytes.split_at(at.index(bytes.len() + 1));
        prop_assert_eq!(parse([left, right], authenticated), whole.clone());
        prop_assert_eq!(parse(bytes.chunks(1), authenticated), whole);
    }
}

#[test]
fn every_split_gives_the_same_requests_and_errors() {
    let sessions: [&[u8]; 7] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n",
        b"*0\r\n*-1\r\nPING\r\n\r\n  \r\n*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n",
        b"set k \"a\\x00b\\\"\" 'it\\'s'\nget k\r\n*1\r\n$4\r\nQUIT\r\n",
        b"*2\r\n$3\r\nGET\r\n:1\r\n",
        b"*1\r\n$4\r\nPING\r\n*x\r\n",
        b"PING\r\nset \"open\r\n",
        b"*1\r\n$-5\r\n",
    ];
    for bytes in sessions {
        let whole = parse([bytes], true);
        assert_eq!(parse(bytes.chunks(1), true), whole);
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(parse([left, right], true), whole, "cut at {at} of {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn inline_and_array_requests_may_alternate() {
    let (requests, error) = parse([&b"PING\r\n*1\r\n$4\r\nPING\r\nset k 'a b'\n"[..]], true);
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Request>();
    assert_eq!(requests, [words(&["PING"]), words(&["PING"]), words(&["set", "k", "a b"])]);
    assert_eq!(error, None);
}

#[test]
fn refusals_use_the_words_of_redis() {
    let long = |start: &str| [start.as_bytes(), &vec![b'1'; LINE_BYTES_LIMIT + 1]].concat();
    let cases: [(Vec<u8>, bool, &str); 16] = [
        (b"*x\r\n".to_vec(), true, "Protocol error: invalid multibulk length"),
        (b"*01\r\n".to_vec(), true, "Protocol error: invalid multibulk length"),
        (b"*1048577\r\n".to_vec(), true, "Protocol error: invalid multibulk length"),
        (b"*9223372036854775808\r\n".to_vec(), true, "Protocol error: invalid multibulk length"),
        (b"*11\r\n".to_vec(), false, "Protocol error: unauthenticated multibulk length"),
        (long("*"), true, "Protocol error: too big mbulk count string"),
        (b"*1\r\n+a\r\n".to_vec(), true, "Protocol error: expected '$', got '+'"),
        (b"*1\r\n$\r\n".to_vec(), true, "Protocol error: invalid bulk length"),
        (b"*1\r\n$-1\r\n".to_vec(), true, "Protocol error: invalid bulk length"),
        (b"*1\r\n$8388609\r\n".to_vec(), true, "Protocol error: invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n".to_vec(), true, "Protocol error: invalid bulk length"),
        (b"*1\r\n$16385\r\n".to_vec(), false, "Protocol error: unauthenticated bulk length"),
        (long("*1\r\n$"), true, "Protocol error: too big bulk count string"),
        (long("get "), true, "Protocol error: too big inline request"),
        (b"get 'a\r\n".to_vec(), true, "Protocol error: unbalanced quotes in request"),
        (b"get 'a'b\r\n".to_vec(), true, "Protocol error: unbalanced quotes in request"),
    ];
    for (bytes, authenticated, text) in cases {
        let (requests, error) = parse([&bytes[..]], authenticated);
        assert!(requests.is_empty());
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(text));
    }
}

#[test]
fn requests_at_the_limits_pass_and_beyond_them_do_not() {
    let bulk = |bytes: usize| [format!("${bytes}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat();
    let largest = [b"*1\r\n".to_vec(), bulk(BULK_BYTES_LIMIT)].concat();
    assert_eq!(parse([&largest[..]], true).0[0][0].len(), BULK_BYTES_LIMIT);
    assert_eq!(parse(largest.chunks(64 * 1024), true).0.len(), 1);

    let stranger = [b"*10\r\n".to_vec(), bulk(16 * 1024).repeat(10)].concat();
    assert_eq!(parse([&stranger[..]], false).0.len(), 1);

    let too_much = [b"*3\r\n".to_vec(), bulk(BULK_BYTES_LIMIT), bulk(BULK_BYTES_LIMIT)].concat();
    assert_eq!(parse([&too_much[..]], true).1, Some(ProtocolError::BulkLength));

    let many = [b"*1048576\r\n".to_vec(), b"$0\r\n\r\n".repeat(ARGUMENTS_LIMIT)].concat();
    assert_eq!(parse([&many[..]], true).0[0].len(), ARGUMENTS_LIMIT);
}

#[test]
fn memory_grows_with_what_arrived_and_is_given_back() {
    let (mut parser, mut buffer) = (Parser::default(), BytesMut::new());
    buffer.extend_from_slice(b"*1048576\r\n");
    assert!(parser.next(&mut buffer, true).unwrap().is_none());
    assert!(parser.spans.capacity() < 16, "an announced length reserved memory");
    buffer.extend_from_slice(&b"$0\r\n\r\n".repeat(ARGUMENTS_LIMIT));
    assert!(parser.next(&mut buffer, true).unwrap().is_some());
    parser.discard(&mut buffer);
    assert!(parser.spans.capacity() <= SPANS_KEPT);
    assert!(buffer.is_empty());
}
