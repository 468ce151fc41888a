//! What happens, as server-sent events, and what has happened lately.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;

use crate::engine::Engine;
use crate::events::{Event, Events, RememberedEvent};

/// Every event as JSON, from now on.
pub(super) async fn events(
    State(engine): State<Engine>,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    told(&engine, |_| true)
}

/// Conflicts alone; what a slow reader missed is told as well.
pub(super) async fn conflicts(
    State(engine): State<Engine>,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    told(&engine, |event| matches!(event, Event::Conflict(_) | Event::Lagged { .. }))
}

pub(super) async fn recent(State(engine): State<Engine>) -> Json<Vec<RememberedEvent>> {
    Json(engine.recent_events())
}

fn told(
    engine: &Engine,
    which: fn(&Event) -> bool,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + use<>> {
    let state = (engine.events(), engine.clone());
    let events = unfold(state, move |(mut events, engine)| async move {
        let sent = next(&mut events, &engine, which).await?;
        Some((Ok(sent), (events, engine)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn next(events: &mut Events, engine: &Engine, which: fn(&Event) -> bool) -> Option<Sent> {
    loop {
        let event = events.next().await?;
        if !which(&event) {
            continue;
        }
        let at_ms = engine.now_ms();
        // An event is plain data and always has a JSON form.
        if let Ok(json) = serde_json::to_string(&RememberedEvent { at_ms, event }) {
            return Some(Sent::default().data(json));
        }
    }
}
