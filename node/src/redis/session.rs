//! One client's conversation: its state, and what happens to a request between parsing and its handler.
//!
//! Nothing here waits: a batch of requests is executed in one go, and the connection's task does the rest.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::Door;
use super::clients::Client;
use super::command::{Command, flag};
use super::error::CommandError;
use super::gate::Turn;
use super::parser::{Args, OwnedArgs, Parser};
use super::reply::{Protocol, REPLY_BYTES_LIMIT, Reply};
use super::stats::RedisStats;
use super::table;
use super::transaction::{Queued, Transaction, Watched};
use crate::WriteError;
use crate::engine::{Kept, Purpose};

/// Replies collected before they are written, in bytes; the last reply may exceed it.
const BATCH_BYTES_LIMIT: usize = 64 * 1024;

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batch {
    /// All whole requests are answered: read more.
    Drained,
    /// Enough replies for now: write them and go on.
    Full,
    /// Write the replies, recall what the next request needs, and go on.
    Lacking,
    /// Write the replies and close the connection.
    Closing,
}

/// A request that is to be executed once its keys were recalled.
#[derive(Debug)]
struct Waiting {
    args: OwnedArgs,
    keys: Vec<Bytes>,
    purpose: Purpose,
    /// Whether what it writes depends on what its keys hold.
    depends: bool,
    /// Keeps what came.
    kept: Option<Kept>,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) door: Arc<Door>,
    pub(super) client: Arc<Client>,
    pub(super) protocol: Protocol,
    pub(super) authenticated: bool,
    /// No request after the present one is answered.
    pub(super) closing: bool,
    /// Open since `MULTI`.
    pub(super) transaction: Option<Transaction>,
    pub(super) watched: Watched,
    /// A request that waits for keys that were evicted here.
    waiting: Option<Waiting>,
    last_command: &'static str,
}

impl Session {
    pub(super) fn new(door: Arc<Door>, client: Arc<Client>) -> Self {
        let authenticated = door.password.is_none();
        Self {
            door,
            client,
            protocol: Protocol::default(),
            authenticated,
            closing: false,
            transaction: None,
            watched: Watched::default(),
            waiting: None,
            last_command: "NULL",
        }
    }

    /// Answers the requests in `input` until they end or the replies in `output` are many, and drops them.
    pub(super) fn answer(
        &mut self,
        parser: &mut Parser,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Batch {
        let door = Arc::clone(&self.door);
        let mut turn = door.gate.enter();
        let mut commands = 0;
        if let Some(waiting) = self.waiting.take() {
            commands += 1;
            let args = waiting.args.args();
            let lacks = |key: &Bytes| door.engine.lacks(key, Purpose::Write);
            if waiting.depends && waiting.keys.iter().any(lacks) {
                // What it would write depends on what it cannot read.
                let reply = Reply::new(output, self.protocol);
                complete(reply, |_| Err(self.refuse(args, WriteError::Evicted.into())));
            } else {
                self.execute(args, output, &mut turn);
            }
        }
        let batch = loop {
            if self.closing {
                break Batch::Closing;
            }
            if output.len() >= BATCH_BYTES_LIMIT {
                break Batch::Full;
            }
            match parser.next(input, self.authenticated) {
                Ok(Some(args)) => {
                    self.waiting = self.lacking(args);
                    if self.waiting.is_some() {
                        break Batch::Lacking;
                    }
                    commands += 1;
                    self.execute(args, output, &mut turn);
                }
                Ok(None) => break Batch::Drained,
                Err(error) => {
                    RedisStats::add(&self.door.stats.protocol_errors, 1);
                    tracing::debug!(client = self.client.id, %error, "closing a Redis connection");
                    Reply::new(output, self.protocol).error(&format!("ERR {error}"));
                    self.closing = true;
                }
            }
        };
        parser.discard(input);
        if commands > 0 {
            RedisStats::add(&self.door.stats.commands, commands);
            self.publish();
        }
        batch
    }

    /// The request with its keys, if some were evicted here.
    fn lacking(&self, args: Args<'_>) -> Option<Waiting> {
        let engine = &self.door.engine;
        if !engine.has_gaps() || !self.authenticated {
            return None;
        }
        let mut command = table::find(args.at(0))?;
        if let Some(name) = args.get(1).filter(|_| !command.subcommands.is_empty()) {
            command = command.subcommand(name)?;
        }
        let mut purpose = command.purpose();
        let keys: Vec<&[u8]> = match &self.transaction {
            // Keys are recalled when the transaction is executed.
            Some(_) if !command.at_once => return None,
            Some(transaction) if command.name == "exec" => {
                let queued =
                    || transaction.queued().filter(|queued| !queued.command.is_blind(queued.args.args()));
                if queued().any(|queued| queued.command.purpose() == Purpose::Write) {
                    purpose = Purpose::Write;
                }
                queued().flat_map(|queued| queued.command.key_args(queued.args.args())).collect()
            }
            _ if command.is_blind(args) => return None,
            _ => command.key_args(args).collect(),
        };
        if !keys.iter().any(|key| engine.lacks(key, purpose)) {
            return None;
        }
        let keys = keys.into_iter().map(Bytes::copy_from_slice).collect();
        let depends = purpose == Purpose::Write && !command.deletes;
        Some(Waiting { args: args.to_owned(), keys, purpose, depends, kept: None })
    }

    /// Fetches from peers what the request that comes next needs.
    pub(super) async fn recall(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            let keys = waiting.keys.iter().map(|key| &key[..]);
            waiting.kept = Some(self.door.engine.recall(keys, waiting.purpose).await);
        }
    }

    /// Answers one request.
    fn execute(&mut self, args: Args<'_>, output: &mut BytesMut, turn: &mut Turn<'_>) {
        let reply = Reply::new(output, self.protocol);
        complete(reply, |reply| match self.admit(args) {
            Ok(Some(command)) => self.dispatch(command, args, reply, turn),
            Ok(None) => Ok(()),
            Err(error) => Err(self.refuse(args, error)),
        });
    }

    /// The command that a request names, if it may be executed here and now. `None`: not to be answered.
    fn admit(&mut self, args: Args<'_>) -> Result<Option<&'static Command>, CommandError> {
        let Some(mut command) = table::find(args.at(0)) else { return self.unknown(args).map(|()| None) };
        if !command.subcommands.is_empty()
            && let Some(name) = args.get(1)
        {
            command = command.subcommand(name).ok_or_else(|| unknown_subcommand(command, name))?;
        }
        if command.run.is_none() || !command.accepts(args.len()) {
            return Err(CommandError::Arity { command: command.name });
        }
        if !self.authenticated && !command.has(flag::NO_AUTH) {
            return Err(CommandError::AuthRequired);
        }
        if self.transaction.is_some() && command.has(flag::NO_MULTI) {
            return Err(CommandError::InsideMulti);
        }
        self.check_loading(command)?;
        if command.has(flag::DENYOOM) {
            self.door.engine.check_memory()?;
        }
        Ok(Some(command))
    }

    /// A node that is still filling itself would answer that keys are missing.
    fn check_loading(&self, command: &Command) -> Result<(), CommandError> {
        if !command.has(flag::LOADING) {
            self.door.engine.check_serving()?;
        }
        Ok(())
    }

    /// What a request that may not be executed does to an open transaction.
    fn refuse(&mut self, args: Args<'_>, error: CommandError) -> CommandError {
        if args.at(0).eq_ignore_ascii_case(b"exec") {
            self.transaction = None;
            self.watched = Watched::default();
            return CommandError::ExecRefused(Box::new(error));
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.fail();
        }
        error
    }

    fn dispatch(
        &mut self,
        command: &'static Command,
        args: Args<'_>,
        reply: &mut Reply<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), CommandError> {
        if let Some(transaction) = self.transaction.as_mut().filter(|_| !command.at_once) {
            transaction.queue(command, args)?;
            reply.simple("QUEUED");
            return Ok(());
        }
        match command.alone {
            true => turn.alone(|| self.run(command, args, reply)),
            false => self.run(command, args, reply),
        }
    }

    fn run(
        &mut self,
        command: &'static Command,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        self.last_command = command.name;
        match command.run {
            Some(run) => run(self, args, reply),
            None => Err(CommandError::Arity { command: command.name }),
        }
    }

    /// Answers a command of a transaction.
    pub(super) fn run_queued(&mut self, queued: &Queued, reply: Reply<'_>) {
        complete(reply.in_protocol(self.protocol), |reply| {
            self.check_loading(queued.command)?;
            self.run(queued.command, queued.args.args(), reply)
        });
    }

    fn unknown(&mut self, args: Args<'_>) -> Result<(), CommandError> {
        let name = args.at(0);
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            // A browser that was led here by a hostile page: nothing it sends must be executed.
            RedisStats::add(&self.door.stats.protocol_errors, 1);
            tracing::warn!(client = self.client.id, "closing a Redis connection on which HTTP was spoken");
            self.closing = true;
            return Ok(());
        }
        let mut arguments = String::new();
        for argument in args.from(1) {
            if arguments.len() >= QUOTED_BYTES_LIMIT {
                break;
            }
            let quoted = quote(argument, QUOTED_BYTES_LIMIT - arguments.len());
            arguments += &format!("'{quoted}' ");
        }
        Err(CommandError::UnknownCommand { name: quote(name, QUOTED_BYTES_LIMIT), arguments })
    }

    /// Shows others what this client did last.
    pub(super) fn publish(&self) {
        let now = Instant::now();
        self.client.update(|details| {
            details.protocol = self.protocol;
            details.queued = self.transaction.as_ref().map(Transaction::len);
            details.last_command = self.last_command;
            details.last_at = now;
        });
    }
}

/// Has a reply written; in place of one that fails comes an error.
fn complete(mut reply: Reply<'_>, write: impl FnOnce(&mut Reply<'_>) -> Result<(), CommandError>) {
    let result = write(&mut reply).and_then(|()| match reply.overflowed() {
        true => Err(CommandError::ReplyTooLong { limit: REPLY_BYTES_LIMIT }),
        false => Ok(()),
    });
    if let Err(error) = result {
        reply.restart();
        reply.error(&error.to_string());
    }
}

fn unknown_subcommand(command: &Command, name: &[u8]) -> CommandError {
    let container = command.name.to_uppercase();
    CommandError::UnknownSubcommand { name: quote(name, QUOTED_BYTES_LIMIT), container }
}

/// How much of a client's words an error repeats, in bytes.
const QUOTED_BYTES_LIMIT: usize = 128;

/// A client's words for an error: cut at a zero byte, as Redis does, and at the limit.
fn quote(words: &[u8], limit: usize) -> String {
    let end = words.iter().take(limit).position(|&byte| byte == 0).unwrap_or(words.len().min(limit));
    String::from_utf8_lossy(&words[..end]).into_owned()
}
