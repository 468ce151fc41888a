//! One client's conversation: its state, and what happens to a request between parsing and its handler.
//!
//! Nothing here waits: a batch of requests is executed in one go, and the connection's task does the rest.

use std::sync::Arc;
use std::time::Duration;

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
use crate::consistency::Consistency;
use crate::engine::{Engine, Kept, Levels, Purpose};
use crate::error::WriteError;

/// Replies collected before they are written, in bytes; the last reply may exceed it.
const BATCH_BYTES_LIMIT: usize = 64 * 1024;

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batch {
    /// All whole requests are answered: read more.
    Drained,
    /// Enough replies for now: write them and go on.
    Full,
    /// Write the replies, [prepare](Session::prepare) what the next request needs, and go on.
    Lacking,
    /// [Confirm](Session::confirm) what the latest request wrote, and go on.
    Unconfirmed,
    /// Write the replies, [wait](Session::wait) as the latest request demands, and go on.
    Waits,
    /// Write the replies and close the connection.
    Closing,
}

/// A request that is to be executed once its keys are here.
#[derive(Debug)]
struct Waiting {
    args: OwnedArgs,
    keys: Vec<Bytes>,
    purpose: Purpose,
    /// How many owners are to be asked.
    level: Consistency,
    /// Those of the keys that what it writes depends on.
    depends: Vec<Bytes>,
    /// Keeps what came, or says why it did not.
    kept: Option<Result<Kept, WriteError>>,
}

/// What `WAIT` waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// Other members that hold what was written.
    pub(super) members: usize,
    /// For how long at most; `None`: until so many do.
    pub(super) patience: Option<Duration>,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) door: Arc<Door>,
    /// Reads and writes at the connection's consistency.
    pub(super) engine: Engine,
    pub(super) client: Arc<Client>,
    pub(super) protocol: Protocol,
    pub(super) authenticated: bool,
    /// No request after the present one is answered.
    pub(super) closing: bool,
    /// Open since `MULTI`.
    pub(super) transaction: Option<Transaction>,
    pub(super) watched: Watched,
    /// A request that waits for keys that were evicted here, or that other owners have to be asked for.
    waiting: Option<Waiting>,
    /// The present command is one of a transaction.
    pub(super) in_transaction: bool,
    /// What the latest request waits for.
    pub(super) wait: Option<Wait>,
    /// Keeps what the latest request wrote until that is confirmed.
    kept: Option<Kept>,
    /// Where the reply begins to the request whose writes are not confirmed.
    unconfirmed: usize,
    last_command: &'static str,
}

impl Session {
    pub(super) fn new(door: Arc<Door>, client: Arc<Client>) -> Self {
        let authenticated = door.password.is_none();
        Self {
            engine: door.engine.at(Levels::default()),
            door,
            client,
            protocol: Protocol::default(),
            authenticated,
            closing: false,
            transaction: None,
            watched: Watched::default(),
            waiting: None,
            kept: None,
            in_transaction: false,
            unconfirmed: 0,
            wait: None,
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
            self.unconfirmed = output.len();
            let failed = match waiting.kept {
                Some(Err(error)) => Some(error),
                Some(Ok(kept)) => {
                    self.kept = Some(kept);
                    None
                }
                None => None,
            };
            if let Some(error) = failed {
                let reply = Reply::new(output, self.protocol);
                complete(reply, |_| Err(self.refuse(args, error.into())));
            } else if waiting.depends.iter().any(lacks) {
                // What it would write depends on what it cannot read.
                let reply = Reply::new(output, self.protocol);
                complete(reply, |_| Err(self.refuse(args, WriteError::Evicted.into())));
            } else {
                self.execute(args, output, &mut turn);
            }
        }
        let batch = loop {
            if self.engine.is_unconfirmed() {
                break Batch::Unconfirmed;
            }
            self.kept = None;
            if self.closing {
                break Batch::Closing;
            }
            if self.wait.is_some() {
                break Batch::Waits;
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
                    self.unconfirmed = output.len();
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

    /// The request with its keys, if some were evicted here, or have to be asked for.
    fn lacking<'a>(&'a self, args: Args<'a>) -> Option<Waiting> {
        let engine = &self.engine;
        let asks = engine.asks_others();
        if !(engine.has_gaps() || asks) || !self.authenticated {
            return None;
        }
        let mut command = table::find(args.at(0))?;
        if let Some(name) = args.get(1).filter(|_| !command.subcommands.is_empty()) {
            command = command.subcommand(name)?;
        }
        let level_of = |command: &Command, args: Args<'_>| {
            let purpose = command.purpose();
            command.key_args(args).map(|key| engine.level(key, purpose)).max().unwrap_or_default()
        };
        // What keys hold does not matter to a blind command that nobody but this node takes part in.
        let matters = |command: &Command, args: Args<'_>| {
            !command.is_blind(args) || level_of(command, args) > Consistency::One
        };
        let depends = |command: &Command, args: Args<'_>| {
            command.purpose() == Purpose::Write && !command.deletes && !command.is_blind(args)
        };
        let (mut keys, mut depending, mut level) = (Vec::new(), Vec::new(), Consistency::One);
        let mut purpose = command.purpose();
        let mut add = |command: &Command, args: Args<'a>| {
            if matters(command, args) {
                keys.extend(command.key_args(args));
                level = level.max(level_of(command, args));
            }
            if depends(command, args) {
                depending.extend(command.key_args(args));
            }
        };
        match &self.transaction {
            // Keys are recalled when the transaction is executed.
            Some(_) if !command.at_once => return None,
            Some(transaction) if command.name == "exec" => {
                transaction.queued().for_each(|queued| add(queued.command, queued.args.args()));
                let writes = |queued: &Queued| queued.command.purpose() == Purpose::Write;
                purpose = if transaction.queued().any(writes) { Purpose::Write } else { Purpose::Read };
                // Whether they changed meanwhile is for those to say that are read from.
                for key in self.watched.keys() {
                    level = level.max(engine.level(key, Purpose::Read));
                    keys.push(&key[..]);
                }
            }
            _ => add(command, args),
        }
        let lacks = |key: &&[u8]| engine.lacks(key, purpose);
        if keys.is_empty() || level == Consistency::One && !keys.iter().any(lacks) {
            return None;
        }
        let owned = |keys: Vec<&[u8]>| keys.into_iter().map(Bytes::copy_from_slice).collect();
        let (keys, depends) = (owned(keys), owned(depending));
        Some(Waiting { args: args.to_owned(), keys, purpose, level, depends, kept: None })
    }

    /// Fetches from peers what the request that comes next needs.
    pub(super) async fn prepare(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            let keys = waiting.keys.iter().map(|key| &key[..]);
            waiting.kept = Some(self.engine.prepare(keys, waiting.purpose, waiting.level).await);
        }
    }

    /// Waits for other members, and replies how many hold what was written.
    pub(super) async fn wait(&mut self, output: &mut BytesMut) {
        if let Some(Wait { members, patience }) = self.wait.take() {
            let holders = self.door.engine.wait_for(members, patience).await;
            Reply::new(output, self.protocol).integer(i64::try_from(holders).unwrap_or(i64::MAX));
        }
    }

    /// Waits until enough owners hold what the latest request wrote; in place of its reply comes an error if they do not.
    pub(super) async fn confirm(&mut self, output: &mut BytesMut) {
        if let Err(error) = self.engine.confirm().await {
            output.truncate(self.unconfirmed);
            Reply::new(output, self.protocol).error(&CommandError::from(error).to_string());
        }
        self.kept = None;
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
            self.engine.check_memory()?;
        }
        Ok(Some(command))
    }

    /// A node that is still filling itself would answer that keys are missing.
    fn check_loading(&self, command: &Command) -> Result<(), CommandError> {
        if !command.has(flag::LOADING) {
            self.engine.check_serving()?;
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
        self.in_transaction = true;
        complete(reply.in_protocol(self.protocol), |reply| {
            self.check_loading(queued.command)?;
            self.run(queued.command, queued.args.args(), reply)
        });
        self.in_transaction = false;
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
