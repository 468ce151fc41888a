//! Conflicts as they happen, as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;

use crate::engine::Engine;
use crate::events::{Event, Events};

/// One event a conflict, with the report as JSON; `{"missed":n}` when the reader was too slow for n events.
pub(super) async fn conflicts(
    State(engine): State<Engine>,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let events = unfold(engine.events(), |mut events| async {
        let sent = next(&mut events).await?;
        Some((Ok(sent), events))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn next(events: &mut Events) -> Option<Sent> {
    loop {
        let json = match events.next().await? {
            Event::Conflict(report) => serde_json::to_string(&*report),
            Event::Lagged(missed) => Ok(format!("{{\"missed\":{missed}}}")),
            _ => continue,
        };
        // A report is plain data and always has a JSON form.
        if let Ok(json) = json {
            return Some(Sent::default().event("conflict").data(json));
        }
    }
}
