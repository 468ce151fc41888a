//! Giving members scores.

use rumour_crdt::{Amount, Fields, Score};

use super::{score, sorted};
use crate::engine::{Elements, Writer, element_bytes};
use crate::redis::commands::name;
use crate::redis::error::CommandError;
use crate::redis::number::parse_f64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// The options of `ZADD`.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    /// `NX`: only members that are not there.
    absent: bool,
    /// `XX`: only members that are there.
    present: bool,
    /// `GT`: members that are there only to a higher score.
    higher: bool,
    /// `LT`: to a lower one.
    lower: bool,
    /// `CH`: count also those whose scores change.
    changed: bool,
    /// `INCR`: add to the score.
    increment: bool,
}

/// What becomes of one member.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// The options exclude it.
    Excluded,
    /// It has that score already.
    Same(f64),
    New(f64),
    Moved(f64),
}

impl Options {
    /// Also says where the first score stands.
    fn parse(args: Args<'_>) -> Result<(Self, usize), CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while let Some(option) = args.get(at) {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => options.absent = true,
                b"xx" => options.present = true,
                b"gt" => options.higher = true,
                b"lt" => options.lower = true,
                b"ch" => options.changed = true,
                b"incr" => options.increment = true,
                _ => break,
            }
            at += 1;
        }
        let pairs = args.len() - at;
        if pairs == 0 || !pairs.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if options.absent && options.present {
            return Err(CommandError::AddNxWithXx);
        }
        if options.absent && (options.higher || options.lower) || options.higher && options.lower {
            return Err(CommandError::AddGtLtNx);
        }
        if options.increment && pairs > 2 {
            return Err(CommandError::AddIncrOfSeveral);
        }
        Ok((options, at))
    }

    /// `given` is the new score, or what is to be added to the present one.
    fn fate(self, present: Option<f64>, given: f64) -> Result<Fate, CommandError> {
        let Some(present) = present else {
            return Ok(if self.present { Fate::Excluded } else { Fate::New(given) });
        };
        if self.absent {
            return Ok(Fate::Excluded);
        }
        let score = if self.increment { present + given } else { given };
        if score.is_nan() {
            return Err(CommandError::ScoreNaN);
        }
        if self.lower && score >= present || self.higher && score <= present {
            return Ok(Fate::Excluded);
        }
        Ok(if score == present { Fate::Same(score) } else { Fate::Moved(score) })
    }

    /// Whether what is given has to be written.
    fn writes(self, fate: Fate, given: f64) -> bool {
        match fate {
            Fate::Excluded => false,
            Fate::New(_) | Fate::Moved(_) => true,
            // What is too small to be seen in the sum may add up.
            Fate::Same(score) => self.increment && given != 0.0 && score.is_finite(),
        }
    }

    /// Gives the pairs their scores. Returns the fate of each.
    fn apply(self, key: &mut Writer<'_>, pairs: &[(f64, &[u8])]) -> Result<Vec<Fate>, CommandError> {
        let now_ms = key.now_ms();
        let fate = |fields: Option<&Fields<Score>>, (given, member): (f64, &[u8])| {
            self.fate(score(fields, member, now_ms), given)
        };
        let present = sorted(key.view())?;
        for (_, member) in pairs {
            name(member)?;
        }
        let mut fates = Vec::with_capacity(pairs.len());
        let (mut unchanged, mut adding) = (true, 0);
        for pair in pairs {
            let fate = fate(present, *pair)?;
            fates.push(fate);
            unchanged &= !self.writes(fate, pair.0);
            adding += if matches!(fate, Fate::New(_)) { element_bytes(pair.1, 0) } else { 0 };
        }
        if unchanged {
            return Ok(fates);
        }
        key.check_room(adding)?;
        let mut elements = key.sorted()?;
        for (pair, told) in pairs.iter().zip(&mut fates) {
            // Anew: a member may be named twice.
            *told = fate(elements.fields(), *pair)?;
            if self.writes(*told, pair.0) {
                self.write(&mut elements, told, *pair, now_ms);
            }
        }
        Ok(fates)
    }

    fn write(self, elements: &mut Elements<'_, Score>, fate: &mut Fate, pair: (f64, &[u8]), now_ms: u64) {
        let (given, member) = pair;
        let (Fate::Same(to) | Fate::New(to) | Fate::Moved(to)) = fate else { return };
        // A counter has no place for what is infinite.
        if self.increment && given.is_finite() && to.is_finite() {
            elements.add(member, Amount::Float(given));
            *to = score(elements.fields(), member, now_ms).unwrap_or(*to);
        } else {
            elements.put(member, Score(*to), None);
        }
    }
}

pub(crate) fn zadd(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (options, at) = Options::parse(args)?;
    let pair = |at| Ok((parse_f64(args.at(at)).ok_or(CommandError::NotAFloat)?, args.at(at + 1)));
    let pairs = (at..args.len()).step_by(2).map(pair).collect::<Result<Vec<_>, CommandError>>()?;
    let fates = session.engine.write(args.at(1), |key| options.apply(key, &pairs))??;
    if options.increment {
        reply.double_or_null(fates.first().and_then(|fate| fate.score()));
    } else {
        let told =
            |fate: &&Fate| matches!(fate, Fate::New(_)) || options.changed && matches!(fate, Fate::Moved(_));
        reply.count(fates.iter().filter(told).count());
    }
    Ok(())
}

impl Fate {
    fn score(self) -> Option<f64> {
        match self {
            Self::Excluded => None,
            Self::Same(score) | Self::New(score) | Self::Moved(score) => Some(score),
        }
    }
}

pub(crate) fn zincrby(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let by = parse_f64(args.at(2)).ok_or(CommandError::NotAFloat)?;
    let options = Options { increment: true, ..Options::default() };
    let fates = session.engine.write(args.at(1), |key| options.apply(key, &[(by, args.at(3))]))??;
    reply.double_or_null(fates.first().and_then(|fate| fate.score()));
    Ok(())
}
