//! Members chosen by chance.

use super::{look, write_member};
use crate::redis::commands::element_count;
use crate::redis::commands::random::{Picked, Urn, generator};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn zrandmember(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let count = args.get(2).map(element_count).transpose()?;
    let scores = match args.get(3) {
        Some(option) if args.len() == 4 && option.eq_ignore_ascii_case(b"withscores") => true,
        Some(_) => return Err(CommandError::Syntax),
        None => false,
    };
    if scores && count.is_some_and(|count| count.unsigned_abs() > i64::MAX.unsigned_abs() / 2) {
        return Err(CommandError::OutOfRange);
    }
    let mut rng = generator(session);
    let picked = look(session, args.at(1), Picked::none(), |fields, now_ms| {
        let urn = Urn::new(fields, now_ms);
        Picked::choose(&urn, count.unwrap_or(1), &mut rng, |(name, field)| (name.clone(), field.score()))
    })?;
    if count.is_some() {
        reply.pairs(picked.len(), scores);
    } else if picked.len() == 0 {
        reply.null();
    }
    picked.tell(&mut rng, |(name, score)| {
        write_member(reply, name, scores.then_some(*score));
        !reply.overflowed()
    });
    Ok(())
}
