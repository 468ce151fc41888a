//! Random bytes from the operating system, made to follow the seed.
//!
//! `RandomState`, `rand::rng()` and quinn all draw from libc's `getrandom`. A program that invokes
//! [`entropy_hook!`](crate::entropy_hook) defines that symbol itself; the definition answers from a seeded
//! stream on threads that called [`seed_thread`], and asks the kernel on every other thread. Linking this
//! library without invoking the macro changes nothing.
//!
//! ring asks the kernel directly and escapes the hook. With Ed25519 keys that decides what ciphertext
//! looks like, never how long it is or when it is sent.

#![expect(unsafe_code, reason = "a C symbol can be replaced in no other way; all of it is in this file")]

use std::cell::{Cell, RefCell};
use std::ffi::c_uint;
use std::hash::BuildHasher;

use rand::rngs::{OsRng, SmallRng};
use rand::{RngCore, TryRngCore};

thread_local! {
    static STREAM: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    static SERVED: Cell<u64> = const { Cell::new(0) };
}

/// Why a thread's randomness does not follow its seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntropyError {
    /// Nothing on this thread asked the hook, so no run here could be repeated.
    #[error(
        "random numbers of `{source_name}` do not follow the seed, so this run could not be repeated; \
         invoke `rumour_sim::entropy_hook!();` once in the root of the binary or test crate (Linux only)"
    )]
    NoHook {
        /// The first source that was found to escape.
        source_name: &'static str,
    },
}

/// Makes this thread's random bytes a function of `seed`, for the rest of the thread's life.
///
/// Meant for a fresh thread: what the thread drew before stays as it was (a thread keeps the key of its
/// first `RandomState`).
pub fn seed_thread(seed: u64) {
    STREAM.set(Some(crate::seed::stream(seed, "entropy")));
}

/// Proves that the hook is in place and that this thread draws from it.
///
/// # Errors
/// [`EntropyError::NoHook`] when the program lacks [`entropy_hook!`](crate::entropy_hook), the thread was not
/// seeded or has drawn its map keys before, or the platform resolves `getrandom` in another way.
pub fn check() -> Result<(), EntropyError> {
    let served = SERVED.get();
    std::hash::RandomState::new().hash_one(0_u8);
    if SERVED.get() == served {
        return Err(EntropyError::NoHook { source_name: "std::hash::RandomState" });
    }
    let served = SERVED.get();
    if OsRng.try_next_u64().is_err() || SERVED.get() == served {
        return Err(EntropyError::NoHook { source_name: "rand::rngs::OsRng" });
    }
    Ok(())
}

/// What [`entropy_hook!`](crate::entropy_hook) puts behind `getrandom`. Not to be called by hand.
///
/// # Safety
/// As for libc's `getrandom`: `buffer` must be valid for writes of `length` bytes, or `length` must be 0.
#[doc(hidden)]
#[cfg(target_os = "linux")]
pub unsafe fn serve(buffer: *mut u8, length: usize, flags: c_uint) -> isize {
    let served = STREAM.try_with(|stream| {
        let mut stream = stream.try_borrow_mut().ok()?;
        let stream = stream.as_mut()?;
        // A length of zero is how callers ask whether the call exists: the pointer may dangle.
        if length > 0 {
            // SAFETY: the caller vouches for `length` writable bytes at `buffer`. They may be uninitialised,
            // so they are zeroed before a slice is made of them.
            let bytes = unsafe {
                std::ptr::write_bytes(buffer, 0, length);
                std::slice::from_raw_parts_mut(buffer, length)
            };
            stream.fill_bytes(bytes);
            SERVED.set(SERVED.get() + 1);
        }
        isize::try_from(length).ok()
    });
    match served {
        Ok(Some(length)) => length,
        // SAFETY: the same arguments go to the system call that the replaced symbol would have made.
        _ => unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize },
    }
}

/// Defines the `getrandom` symbol that makes simulated runs repeatable.
///
/// Invoke it exactly once, in the root of each binary or integration test crate that runs simulations. It
/// replaces the symbol for that program alone, and answers from the seed only on simulation threads. A crate
/// that forbids `unsafe` must make that `deny`. Expands to nothing where the platform is not supported;
/// runs are then refused with [`EntropyError`](crate::entropy::EntropyError).
#[macro_export]
macro_rules! entropy_hook {
    () => {
        #[cfg(target_os = "linux")]
        #[allow(unsafe_code)]
        const _: () = {
            // SAFETY: same name, signature and contract as libc's function.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn getrandom(
                buffer: *mut ::core::ffi::c_void,
                length: usize,
                flags: ::core::ffi::c_uint,
            ) -> isize {
                // SAFETY: the caller's promises are passed on unchanged.
                unsafe { $crate::entropy::serve(buffer.cast(), length, flags) }
            }
        };
    };
}
