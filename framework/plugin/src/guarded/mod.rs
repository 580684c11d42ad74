//! Whose fault it was: every built plugin stands behind a guard that puts slot and kind to its errors and panics.
//!
//! A method that can fail turns a panic into its error. One that cannot lets the panic go on, as far as the nearest
//! [`catch_panic`]; where there is none, it is an ordinary panic. The place of a panic is told by the panic hook, so
//! one is set, before the one that was there; it keeps quiet about panics that become errors. `RUST_BACKTRACE=1`
//! makes it speak again.

mod slots;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

use crate::{Error, Result};

thread_local! {
    /// Whether a method of a plugin is being called whose panic will become an error.
    static CALLING: Cell<bool> = const { Cell::new(false) };
    /// Whether somebody up the stack waits in [`catch_panic`].
    static AWAITED: Cell<bool> = const { Cell::new(false) };
    /// Where the latest quiet panic was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A plugin's panic on its way to [`catch_panic`].
struct PluginPanic(String);

/// A plugin as messages name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) slot: &'static str,
    pub(crate) kind: &'static str,
}

/// A built plugin behind its guard.
#[derive(Debug)]
pub struct Guarded<T: ?Sized> {
    name: Name,
    object: Box<T>,
}

/// Does `work`, in which plugins are called; the panic of one becomes an error that names it.
///
/// # Errors
/// When a plugin panics. Other panics go on.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    let before = AWAITED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    AWAITED.set(before);
    outcome.map_err(|payload| match payload.downcast::<PluginPanic>() {
        Ok(panic) => Error::from(panic.0),
        Err(payload) => resume_unwind(payload),
    })
}

impl Name {
    /// Calls a method that can fail; slot and kind go before what it says, and a panic is a failure.
    pub(crate) fn attempt<T>(self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.quietly(work) {
            Ok(outcome) => outcome.map_err(|source| format!("{self}: {source}").into()),
            Err(panic) => Err(panic.into()),
        }
    }

    /// Calls a method that cannot fail.
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        if !AWAITED.get() {
            return work();
        }
        self.quietly(work).unwrap_or_else(|panic| resume_unwind(Box::new(PluginPanic(panic))))
    }

    /// A panic of `work` as a sentence that names the plugin.
    fn quietly<T>(self, work: impl FnOnce() -> T) -> std::result::Result<T, String> {
        static HOOK: Once = Once::new();
        HOOK.call_once(set_hook);
        let before = CALLING.replace(true);
        let outcome = catch_unwind(AssertUnwindSafe(work));
        CALLING.set(before);
        outcome.map_err(|payload| {
            if payload.is::<PluginPanic>() {
                resume_unwind(payload);
            }
            let place = PLACE.take().map(|place| format!(" at {place}")).unwrap_or_default();
            format!("{self} panicked{place}: {}", message(payload.as_ref()))
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} \"{}\"", self.slot, self.kind)
    }
}

impl<T: ?Sized> Guarded<T> {
    pub(crate) fn new(name: Name, object: Box<T>) -> Self {
        Self { name, object }
    }

    fn call<R>(&self, method: impl FnOnce(&T) -> R) -> R {
        self.name.call(|| method(&self.object))
    }

    fn attempt<R>(&self, method: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        self.name.attempt(|| method(&self.object))
    }

    fn attempt_mut<R>(&mut self, method: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        self.name.attempt(|| method(&mut self.object))
    }
}

/// Holds a plugin to its word where its caller would go astray: one answer for each question.
fn one_each<T>(answers: T, given: usize, asked: usize, of: &str) -> Result<T> {
    if given == asked {
        return Ok(answers);
    }
    Err(format!("{given} {of} instead of {asked}, against the contract of its slot").into())
}

fn set_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !CALLING.get() {
            return before(panic);
        }
        PLACE.set(panic.location().map(ToString::to_string));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            before(panic);
        }
    }));
}

fn message(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<String>() {
        Some(text) => text,
        None => payload.downcast_ref::<&str>().copied().unwrap_or("it did not say why"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name { slot: "retriever", kind: "broken" };

    #[test]
    fn a_panic_becomes_an_error_that_says_who_where_and_why() {
        let error = NAME.attempt(|| -> Result<()> { panic!("no {}", "room") }).unwrap_err().to_string();
        assert!(error.starts_with("retriever \"broken\" panicked at "), "{error}");
        assert!(error.contains("guarded/mod.rs:") && error.ends_with(": no room"), "{error}");
        let error = NAME.attempt(|| -> Result<()> { Err("no room".into()) }).unwrap_err().to_string();
        assert_eq!(error, "retriever \"broken\": no room");
    }

    #[test]
    fn a_panic_without_a_result_goes_as_far_as_the_catcher_and_keeps_its_first_name() {
        let outer = Name { slot: "corpus", kind: "outer" };
        let error = catch_panic(|| outer.call(|| NAME.call(|| panic!("oh")))).unwrap_err().to_string();
        assert!(error.starts_with("retriever \"broken\" panicked"), "{error}");
        assert_eq!(catch_panic(|| NAME.call(|| 1)).unwrap(), 1);
    }

    #[test]
    fn answers_are_counted() {
        assert_eq!(one_each("ab", 2, 2, "lists").unwrap(), "ab");
        let error = one_each("a", 1, 2, "lists").unwrap_err().to_string();
        assert_eq!(error, "1 lists instead of 2, against the contract of its slot");
    }

    #[test]
    fn what_is_no_plugins_panic_goes_on() {
        let outcome = catch_unwind(|| catch_panic(|| resume_unwind(Box::new("ours"))));
        assert_eq!(*outcome.unwrap_err().downcast_ref::<&str>().unwrap(), "ours");
        let outcome = catch_unwind(|| NAME.call(|| resume_unwind(Box::new("nobody waits"))));
        assert_eq!(*outcome.unwrap_err().downcast_ref::<&str>().unwrap(), "nobody waits");
    }
}
