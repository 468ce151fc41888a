//! Panics on simulation threads, collected instead of printed: they are findings of the run.

use std::cell::RefCell;
use std::panic;
use std::sync::{Arc, Once};

use tokio::sync::Notify;

thread_local! {
    static COLLECTED: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

struct Collected {
    panics: Vec<String>,
    stop: Arc<Notify>,
}

/// What the compiler's own code says when a panic meets code that must not panic. The process aborts then, so
/// collecting would be in vain.
const LAST_WORDS: [&str; 2] = ["panic in a destructor", "panic in a function that cannot unwind"];

/// Collects this thread's panics from now on, and notifies `stop` of each. Other threads' panics go where they went
/// before.
///
/// tokio's own way to end a runtime with a panic drops all tasks in the midst of its scheduler, where waking one is
/// a second panic that aborts the process.
pub(crate) fn collect(stop: Arc<Notify>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.to_string();
            if LAST_WORDS.iter().any(|words| text.contains(words)) || !keep(&text) {
                for panic in take() {
                    eprintln!("{panic}");
                }
                previous(info);
            }
        }));
    });
    COLLECTED.set(Some(Collected { panics: Vec::new(), stop }));
}

/// The panics collected on this thread since the last call, each with its place in the code.
pub(crate) fn take() -> Vec<String> {
    let take = |collected: &RefCell<Option<Collected>>| {
        let mut collected = collected.try_borrow_mut().ok()?;
        collected.as_mut().map(|collected| std::mem::take(&mut collected.panics))
    };
    COLLECTED.try_with(take).ok().flatten().unwrap_or_default()
}

fn keep(panic: &str) -> bool {
    COLLECTED
        .try_with(|collected| {
            // A panic while the list is in use cannot be added to it; let it be printed.
            let Ok(mut collected) = collected.try_borrow_mut() else { return false };
            let Some(collected) = collected.as_mut() else { return false };
            collected.panics.push(panic.to_owned());
            collected.stop.notify_one();
            true
        })
        .unwrap_or(false)
}
