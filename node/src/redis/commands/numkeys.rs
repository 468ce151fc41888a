//! What commands that are told how many keys follow have in common.

use crate::redis::error::CommandError;
use crate::redis::number::parse_i64;
use crate::redis::parser::Args;

/// `LIMIT` after the keys, which is all that may come there; no limit is zero, or none named.
pub(super) fn limit(args: Args<'_>, from: usize) -> Result<usize, CommandError> {
    let (mut limit, mut at) = (0, from);
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1).filter(|_| option.eq_ignore_ascii_case(b"limit"));
        let value = parse_i64(value.ok_or(CommandError::Syntax)?);
        limit = value.and_then(|limit| usize::try_from(limit).ok()).ok_or(CommandError::NegativeLimit)?;
        at += 2;
    }
    Ok(if limit == 0 { usize::MAX } else { limit })
}
