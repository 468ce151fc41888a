//! What a command may answer instead of a result, in the words of Redis 7.

use crate::WriteError;

/// Why a command was refused. Nothing was changed then, unless a variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CommandError {
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    UnknownCommand { name: String, arguments: String },
    #[error("ERR unknown subcommand '{name}'. Try {container} HELP.")]
    UnknownSubcommand { name: String, container: String },
    #[error("ERR wrong number of arguments for '{command}' command")]
    Arity { command: &'static str },
    #[error("NOAUTH Authentication required.")]
    AuthRequired,
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
         option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    HelloBeforeAuth,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword,
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    NoPasswordConfigured,
    #[error("NOPROTO unsupported protocol version")]
    UnsupportedProtocol,
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotAnInteger,
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR expected READ or WRITE, each with ONE, QUORUM, ALL or DEFAULT")]
    Consistency,
    #[error("ERR timeout is negative")]
    NegativeTimeout,
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    #[error("ERR {command} without MULTI")]
    WithoutMulti { command: &'static str },
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInsideMulti,
    #[error("ERR Command not allowed inside a transaction")]
    InsideMulti,
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAborted,
    /// The transaction is gone.
    #[error("EXECABORT Transaction discarded because of: {}", without_code(.0))]
    ExecRefused(Box<CommandError>),
    /// `EXEC` will refuse the transaction.
    #[error("ERR the queued commands take more than {limit} bytes; execute fewer at a time")]
    TransactionTooLong { limit: usize },
    #[error("ERR the watched keys take more than {limit} bytes; watch fewer at a time")]
    WatchesTooMany { limit: usize },
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR value is not a valid float")]
    NotAFloat,
    #[error("ERR value is NaN or Infinity")]
    NotANumberOrInfinite,
    #[error("ERR hash value is not an integer")]
    HashNotAnInteger,
    #[error("ERR hash value is not a float")]
    HashNotAFloat,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR value is out of range")]
    OutOfRange,
    #[error("ERR value is out of range, value must between {} and {}", -i64::MAX, i64::MAX)]
    NotA64BitCount,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR numkeys should be greater than 0")]
    NumkeysNotPositive,
    #[error("ERR Number of keys can't be greater than number of args")]
    NumkeysTooMany,
    #[error("ERR at least 1 input key is needed for '{command}' command")]
    NoInputKey { command: &'static str },
    #[error("ERR LIMIT can't be negative")]
    NegativeLimit,
    #[error("ERR weight value is not a float")]
    WeightNotAFloat,
    #[error("ERR min or max is not a float")]
    ScoreRange,
    #[error("ERR min or max not valid string range item")]
    NameRange,
    #[error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")]
    LimitByRank,
    #[error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")]
    ScoresByName,
    #[error("ERR XX and NX options at the same time are not compatible")]
    AddNxWithXx,
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    AddGtLtNx,
    #[error("ERR INCR option supports a single increment-element pair")]
    AddIncrOfSeveral,
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNaN,
    #[error("ERR offset is out of range")]
    OffsetRange,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust."
    )]
    FrequencyNotTracked,
    #[error(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
         policies at runtime LRU and LFU data will take some time to adjust."
    )]
    IdleTimeNotTracked,
    #[error("ERR invalid expire time, must be >= 0")]
    NegativeExpireTime,
    #[error("ERR Mandatory argument FIELDS is missing or not at the right position")]
    FieldsMissing,
    #[error("ERR Parameter `numFields` should be greater than 0")]
    FieldsNotPositive,
    #[error("ERR Number of fields must be a positive integer")]
    FieldCount,
    #[error("ERR The `numfields` parameter must match the number of arguments")]
    FieldsMismatch,
    #[error("ERR value is out of range, value must between -2147483648 and 2147483647")]
    NotA32BitInteger,
    #[error("ERR DB index is out of range")]
    DatabaseIndex,
    #[error("ERR invalid expire time in '{command}' command")]
    ExpireTime { command: &'static str },
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireNxWithOthers,
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtWithLt,
    #[error("ERR Unsupported option {0}")]
    UnsupportedOption(String),
    #[error("ERR invalid cursor")]
    Cursor,
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    #[error("ERR {0} cannot contain spaces, newlines or special characters.")]
    ClientAttribute(&'static str),
    #[error("ERR Unrecognized option '{0}'")]
    UnrecognizedOption(String),
    #[error("ERR Invalid client ID")]
    ClientId,
    #[error("ERR Unknown client type '{0}'")]
    ClientType(String),
    #[error("ERR the reply is longer than {limit} bytes; ask for fewer keys at a time")]
    ReplyTooLong { limit: usize },
    /// A command that writes several keys has written those before the one that failed.
    #[error("{}", write_error(.0))]
    Write(#[from] WriteError),
}

/// The words of an error that has no code but the general one.
fn without_code(error: &CommandError) -> String {
    let text = error.to_string();
    text.strip_prefix("ERR ").map_or_else(|| text.clone(), str::to_owned)
}

fn write_error(error: &WriteError) -> String {
    match error {
        // The code on which clients wait and try again.
        WriteError::Evicted => format!("TRYAGAIN {error}"),
        WriteError::NoQuorum { .. } => format!("NOQUORUM {error}"),
        WriteError::Unconfirmed { .. } => format!("UNCONFIRMED {error}"),
        WriteError::Joining => format!("LOADING {error}"),
        WriteError::OutOfMemory => format!("OOM {error}"),
        WriteError::WrongType { .. } => CommandError::WrongType.to_string(),
        WriteError::NotAnInteger => CommandError::NotAnInteger.to_string(),
        WriteError::NotANumber => "ERR value is not a valid float".to_owned(),
        WriteError::Overflow => "ERR increment or decrement would overflow".to_owned(),
        WriteError::NotFinite => "ERR increment would produce NaN or Infinity".to_owned(),
        WriteError::ClockFault { .. } | WriteError::StampsAhead { .. } => format!("CLOCKSKEW {error}"),
        other => format!("ERR {other}"),
    }
}
