//! Panics on simulation threads, collected instead of printed: they are findings of the run.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static COLLECTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Collects this thread's panics from now on. Other threads' panics go where they went before.
pub(crate) fn collect() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !keep(&info.to_string()) {
                previous(info);
            }
        }));
    });
    COLLECTED.set(Some(Vec::new()));
}

/// The panics collected on this thread so far, each with its place in the code.
pub(crate) fn take() -> Vec<String> {
    COLLECTED.with_borrow_mut(|collected| collected.as_mut().map(std::mem::take)).unwrap_or_default()
}

fn keep(panic: &str) -> bool {
    COLLECTED
        .try_with(|collected| {
            // A panic while the list is in use cannot be added to it; let it be printed.
            let Ok(mut collected) = collected.try_borrow_mut() else { return false };
            collected.as_mut().map(|list| list.push(panic.to_owned())).is_some()
        })
        .unwrap_or(false)
}
