//! A blocking Redis client, as small as the tests allow.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// A reply of RESP2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(String),
    Error(String),
    Number(i64),
    Bulk(Vec<u8>),
    Nil,
    Many(Vec<Reply>),
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    pub(crate) fn bulk(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    #[track_caller]
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bulk(bytes) => bytes,
            other => panic!("no string: {other:?}"),
        }
    }

    #[track_caller]
    fn items(self) -> Vec<Reply> {
        match self {
            Self::Many(items) => items,
            other => panic!("no array: {other:?}"),
        }
    }
}

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the Redis door is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::with_capacity(64 * 1024, stream))
    }

    /// Sends words parted by spaces and returns the reply.
    #[track_caller]
    pub(crate) fn say(&mut self, words: &str) -> Reply {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }

    #[track_caller]
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Reply {
        self.send(&encode(args));
        self.reply()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the door takes requests");
    }

    /// The next reply.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a reply");
        let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("cut off: {line:?}"));
        let (kind, text) = line.split_at(1);
        let number = || text.parse::<i64>().expect("a number");
        match kind {
            "+" => Reply::Status(text.to_owned()),
            "-" => Reply::Error(text.to_owned()),
            ":" => Reply::Number(number()),
            "$" | "*" if number() < 0 => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()).expect("a length") + 2];
                self.0.read_exact(&mut bytes).expect("a whole string");
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            "*" => Reply::Many((0..number()).map(|_| self.reply()).collect()),
            _ => panic!("no reply: {line:?}"),
        }
    }
}

/// A request as an array of bulk strings.
fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Sets `key:N` to `value:N:tag` for all numbers of the range, pipelined.
#[track_caller]
pub(crate) fn write_keys(addr: SocketAddr, numbers: std::ops::Range<u32>, tag: &str) {
    const PIPELINE: usize = 500;

    let mut client = Client::connect(addr);
    let numbers: Vec<u32> = numbers.collect();
    for some in numbers.chunks(PIPELINE) {
        let mut requests = Vec::new();
        for number in some {
            let (key, value) = (format!("key:{number}"), format!("value:{number}:{tag}"));
            requests.extend(encode(&[b"SET", key.as_bytes(), value.as_bytes()]));
        }
        client.send(&requests);
        for number in some {
            assert_eq!(client.reply(), Reply::ok(), "key:{number}");
        }
    }
}

/// What a node holds, key by key.
pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// What [`write_keys`] leaves behind.
pub(crate) fn written(numbers: std::ops::Range<u32>, tag: &str) -> Contents {
    let pair = |number| (format!("key:{number}").into_bytes(), format!("value:{number}:{tag}").into_bytes());
    numbers.map(pair).collect()
}

/// Every key with its value, as the door shows them. An error while the node joins, and while `DBSIZE` says another number.
#[track_caller]
pub(crate) fn contents(addr: SocketAddr) -> Result<Contents, String> {
    let mut client = Client::connect(addr);
    let mut contents = Contents::new();
    let mut cursor = b"0".to_vec();
    loop {
        let mut page = match client.call(&[b"SCAN", &cursor, b"COUNT", b"1000"]) {
            Reply::Error(text) if text.starts_with("LOADING ") => return Err(text),
            page => page.items(),
        };
        let keys: Vec<Vec<u8>> = page.pop().expect("keys").items().into_iter().map(Reply::bytes).collect();
        cursor = page.pop().expect("a cursor").bytes();
        if !keys.is_empty() {
            let mut request: Vec<&[u8]> = vec![b"MGET"];
            request.extend(keys.iter().map(Vec::as_slice));
            let values = client.call(&request).items();
            let there = keys.iter().cloned().zip(values).filter(|(_, value)| *value != Reply::Nil);
            contents.extend(there.map(|(key, value)| (key, value.bytes())));
        }
        if cursor == b"0" {
            break;
        }
    }
    match client.say("DBSIZE") {
        Reply::Number(size) if usize::try_from(size) == Ok(contents.len()) => Ok(contents),
        size => Err(format!("{} keys with a value and DBSIZE {size:?}", contents.len())),
    }
}
