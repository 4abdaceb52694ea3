//! Panics that are findings: caught with the place in the code, and without a word on the terminal.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::Once,
};

/// A panic that was caught.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Panic {
    /// File and line.
    pub place: String,
    /// What it said.
    pub message: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.message, self.place)
    }
}

thread_local! {
    /// Whether this thread's panics are findings, and where the last one was.
    static WATCHED: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOKED: Once = Once::new();

/// Does this work, or says how it panicked.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    HOOKED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| note(info, &others)));
    });
    WATCHED.set(Some(String::new()));
    let done = catch_unwind(AssertUnwindSafe(work));
    let place = WATCHED.take().unwrap_or_default();
    done.map_err(|panic| Panic { place, message: text(&*panic) })
}

/// Notes where a watched thread panicked; of all others it is told as always.
fn note(info: &PanicHookInfo<'_>, others: &dyn Fn(&PanicHookInfo<'_>)) {
    let watched = WATCHED.with_borrow_mut(|watched| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        watched.as_mut().map(|noted| *noted = place).is_some()
    });
    if !watched {
        others(info);
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let limit = 3;
        let panic = caught(|| assert!(limit > 5, "{limit} is too few")).unwrap_err();
        assert_eq!(panic.message, "3 is too few");
        assert!(panic.place.starts_with("harness/src/panics.rs:"), "{}", panic.place);
        assert_eq!(caught(|| limit), Ok(3));
    }
}
