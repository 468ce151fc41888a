//! What a command is, for dispatch and for `COMMAND`.

use super::error::CommandError;
use super::number::parse_i64;
use super::parser::Args;
use super::reply::Reply;
use super::session::Session;
use crate::engine::Purpose;

/// Executes a command whose arity has been checked.
pub(super) type Handler = fn(&mut Session, Args<'_>, &mut Reply<'_>) -> Result<(), CommandError>;

/// Properties of a command, as bits to be joined by `|`.
pub(super) mod flag {
    pub(crate) const WRITE: u32 = 1;
    pub(crate) const READONLY: u32 = 1 << 1;
    /// Needs memory: refused while there is none to have.
    pub(crate) const DENYOOM: u32 = 1 << 2;
    pub(crate) const ADMIN: u32 = 1 << 3;
    pub(crate) const NOSCRIPT: u32 = 1 << 4;
    pub(crate) const BLOCKING: u32 = 1 << 5;
    /// Allowed while the node joins.
    pub(crate) const LOADING: u32 = 1 << 6;
    pub(crate) const STALE: u32 = 1 << 7;
    pub(crate) const SKIP_SLOWLOG: u32 = 1 << 8;
    pub(crate) const FAST: u32 = 1 << 9;
    /// Allowed before the password was given.
    pub(crate) const NO_AUTH: u32 = 1 << 10;
    /// Not allowed in a transaction.
    pub(crate) const NO_MULTI: u32 = 1 << 11;
    pub(crate) const ALLOW_BUSY: u32 = 1 << 12;
    /// Which arguments are keys depends on others.
    pub(crate) const MOVABLE_KEYS: u32 = 1 << 13;

    /// Their names in the order in which Redis lists them.
    pub(crate) const NAMES: [(u32, &str); 14] = [
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MULTI, "no_multi"),
        (ALLOW_BUSY, "allow_busy"),
        (MOVABLE_KEYS, "movablekeys"),
    ];
}

/// Categories of access that do not follow from a command's flags, as bits.
pub(super) mod category {
    pub(crate) const KEYSPACE: u16 = 1;
    pub(crate) const STRING: u16 = 1 << 1;
    pub(crate) const DANGEROUS: u16 = 1 << 2;
    pub(crate) const CONNECTION: u16 = 1 << 3;
    pub(crate) const SET: u16 = 1 << 4;
    pub(crate) const SORTED_SET: u16 = 1 << 5;
    pub(crate) const HASH: u16 = 1 << 6;
    pub(crate) const TRANSACTION: u16 = 1 << 7;
}

/// Which arguments are keys: the first, the last (negative: from the end) and the step between. Zeros: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) first: i8,
    pub(super) last: i8,
    pub(super) step: i8,
}

impl Keys {
    pub(super) const NONE: Self = Self { first: 0, last: 0, step: 0 };
    pub(super) const ONE: Self = Self { first: 1, last: 1, step: 1 };
    pub(super) const ALL: Self = Self { first: 1, last: -1, step: 1 };
    pub(super) const SECOND: Self = Self { first: 2, last: 2, step: 1 };
    pub(super) const TWO: Self = Self { first: 1, last: 2, step: 1 };
    pub(super) const PAIRS: Self = Self { first: 1, last: -1, step: 2 };
}

/// One row of the command table.
#[derive(Debug)]
pub(super) struct Command {
    /// Lower case; of a subcommand with its container, such as `client|id`.
    pub(super) name: &'static str,
    /// Number of arguments, the name included; negative: at least so many.
    pub(super) arity: i8,
    pub(super) flags: u32,
    pub(super) categories: u16,
    pub(super) keys: Keys,
    pub(super) tips: &'static [&'static str],
    pub(super) group: &'static str,
    /// Version of Redis that first had it.
    pub(super) since: &'static str,
    pub(super) complexity: &'static str,
    pub(super) summary: &'static str,
    /// `None`: it only contains subcommands.
    pub(super) run: Option<Handler>,
    pub(super) subcommands: &'static [Command],
    /// No command of another connection may run meanwhile.
    pub(super) alone: bool,
    /// Not queued in a transaction.
    pub(super) at_once: bool,
    /// Its keys go whatever they hold; only what it answers depends on that.
    pub(super) deletes: bool,
    /// Says of a request that what its keys hold does not matter; `None`: it does.
    pub(super) blind: Option<fn(Args<'_>) -> bool>,
}

impl Command {
    pub(super) const fn new(name: &'static str, arity: i8, flags: u32, categories: u16) -> Self {
        Self {
            name,
            arity,
            flags,
            categories,
            keys: Keys::NONE,
            tips: &[],
            group: "",
            since: "",
            complexity: "",
            summary: "",
            run: None,
            subcommands: &[],
            alone: false,
            at_once: false,
            deletes: false,
            blind: None,
        }
    }

    pub(super) const fn run(mut self, handler: Handler) -> Self {
        self.run = Some(handler);
        self
    }

    pub(super) const fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Several keys change in one step.
    pub(super) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Executed when it comes, in a transaction too.
    pub(super) const fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Its keys go whatever they hold.
    pub(super) const fn deletes(mut self) -> Self {
        self.deletes = true;
        self
    }

    /// What the keys hold does not matter to requests that `blind` names.
    pub(super) const fn blind(mut self, blind: fn(Args<'_>) -> bool) -> Self {
        self.blind = Some(blind);
        self
    }

    pub(super) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(super) const fn containing(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }

    pub(super) const fn doc(
        mut self,
        group: &'static str,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether a request of `len` arguments, the name included, fits.
    pub(super) fn accepts(&self, len: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { len >= wanted } else { len == wanted }
    }

    /// Whether what the keys of this request hold does not matter to it.
    pub(super) fn is_blind(&self, args: Args<'_>) -> bool {
        self.blind.is_some_and(|blind| blind(args))
    }

    /// What it needs its keys for.
    pub(super) fn purpose(&self) -> Purpose {
        if self.has(flag::WRITE) { Purpose::Write } else { Purpose::Read }
    }

    /// Those of a request's arguments that are keys. What is no proper request may have too few.
    pub(super) fn key_args<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let place = |at: i8| match usize::try_from(at) {
            Ok(at) => at,
            Err(_) => args.len().saturating_sub(usize::from(at.unsigned_abs())),
        };
        let Keys { first, last, step } = self.keys;
        let named = (first > 0).then(|| (place(first)..=place(last)).step_by(place(step).max(1)));
        let counted = self.has(flag::MOVABLE_KEYS).then(|| {
            // The number of keys comes right after the keys that have a place of their own, then those.
            let at = place(last) + 1;
            let count = args.get(at).and_then(parse_i64).and_then(|count| usize::try_from(count).ok());
            at + 1..(at + 1).saturating_add(count.unwrap_or(0)).min(args.len())
        });
        named.into_iter().flatten().chain(counted.into_iter().flatten()).filter_map(move |at| args.get(at))
    }

    /// A subcommand's name without that of its container.
    pub(super) fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    pub(super) fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        self.subcommands.iter().find(|command| command.short_name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The names of its flags.
    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        flag::NAMES.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect()
    }

    /// The categories of access that it falls into.
    pub(super) fn category_names(&self) -> Vec<&'static str> {
        let listed = |category: u16| self.categories & category != 0;
        [
            (listed(category::KEYSPACE), "@keyspace"),
            (self.has(flag::READONLY), "@read"),
            (self.has(flag::WRITE), "@write"),
            (listed(category::SET), "@set"),
            (listed(category::SORTED_SET), "@sortedset"),
            (listed(category::HASH), "@hash"),
            (listed(category::STRING), "@string"),
            (self.has(flag::ADMIN), "@admin"),
            (self.has(flag::FAST), "@fast"),
            (!self.has(flag::FAST), "@slow"),
            (self.has(flag::BLOCKING), "@blocking"),
            (self.has(flag::ADMIN) || listed(category::DANGEROUS), "@dangerous"),
            (listed(category::CONNECTION), "@connection"),
            (listed(category::TRANSACTION), "@transaction"),
        ]
        .into_iter()
        .filter_map(|(holds, name)| holds.then_some(name))
        .collect()
    }
}
