//! Members chosen by chance.

use super::{members, write_set};
use crate::redis::commands::random::{Picked, Urn, generator};
use crate::redis::commands::{element_count, positive_count};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn spop(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = args.get(2).map(positive_count).transpose()?;
    let mut rng = generator(session);
    let popped = session.engine.write(args.at(1), |key| {
        let now_ms = key.now_ms();
        let Some(fields) = members(key.view())? else { return Ok(Vec::new()) };
        let urn = Urn::new(fields, now_ms);
        let popped: Vec<_> =
            urn.several(count.unwrap_or(1), &mut rng).map(|(name, _)| name.clone()).collect();
        if !popped.is_empty() {
            let mut elements = key.members()?;
            for name in &popped {
                elements.remove(name);
            }
        }
        Ok::<_, CommandError>(popped)
    })??;
    match count {
        Some(_) => write_set(reply, &popped),
        None => reply.bulk_or_null(popped.first()),
    }
    Ok(())
}

pub(crate) fn srandmember(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = args.get(2).map(element_count).transpose()?;
    let mut rng = generator(session);
    let picked = session.engine.read(args.at(1), |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        let Some(fields) = members(view)? else { return Ok(Picked::none()) };
        let urn = Urn::new(fields, now_ms);
        Ok::<_, CommandError>(Picked::choose(&urn, count.unwrap_or(1), &mut rng, |(name, _)| name.clone()))
    })?;
    if count.is_some() {
        reply.array(picked.len());
    } else if picked.len() == 0 {
        reply.null();
    }
    picked.tell(&mut rng, |name| {
        reply.bulk(name);
        !reply.overflowed()
    });
    Ok(())
}
