//! Lists of values that crates add to before `main`, with the interface of the crate of this name as far as tract uses it.
//!
//! Not every value is kept. See [`submit!`].

#![no_std]

use core::cell::Cell;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// A type whose submitted values make a list; implemented by [`collect!`].
pub trait Collect: Sync + Sized + 'static {
    #[doc(hidden)]
    fn list() -> &'static List<Self>;
}

/// The values of one type, linked from the last one submitted to the first.
#[doc(hidden)]
pub struct List<T: 'static> {
    last: AtomicPtr<Entry<T>>,
}

/// One value, in static memory.
#[doc(hidden)]
pub struct Entry<T: 'static> {
    value: T,
    previous: Cell<Option<NonNull<Entry<T>>>>,
    submitted: AtomicBool,
}

// SAFETY: `previous` is written once, by the one call of `submit` that finds `submitted` unset, before the entry is
// published by a release store, and read only after an acquire load of the list that it is then part of.
unsafe impl<T: Sync> Sync for Entry<T> {}

impl<T> List<T> {
    #[doc(hidden)]
    #[allow(clippy::new_without_default, reason = "only for statics, which need a const fn")]
    pub const fn new() -> Self {
        Self { last: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl<T: Collect> Entry<T> {
    #[doc(hidden)]
    pub const fn new(value: T) -> Self {
        Self { value, previous: Cell::new(None), submitted: AtomicBool::new(false) }
    }

    /// Adds the entry to its list, once: WebAssembly modules run their constructors again with every call of an export.
    #[doc(hidden)]
    pub fn submit(&'static self) {
        if self.submitted.swap(true, Ordering::Relaxed) {
            return;
        }
        let last = &T::list().last;
        let mut previous = last.load(Ordering::Acquire);
        loop {
            self.previous.set(NonNull::new(previous));
            match last.compare_exchange(previous, ptr::from_ref(self).cast_mut(), Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(other) => previous = other,
            }
        }
    }
}

/// Iterates over a list.
pub struct Iter<T: 'static> {
    next: Option<&'static Entry<T>>,
}

impl<T> Iterator for Iter<T> {
    type Item = &'static T;

    fn next(&mut self) -> Option<&'static T> {
        let entry = self.next?;
        // SAFETY: an entry is linked to entries, which are statics.
        self.next = entry.previous.get().map(|p| unsafe { p.as_ref() });
        Some(&entry.value)
    }
}

fn entries<T: Collect>() -> Iter<T> {
    // SAFETY: a list is linked to entries, which are statics.
    Iter { next: unsafe { T::list().last.load(Ordering::Acquire).as_ref() } }
}

mod names {
    /// All submitted values of a type: `iter::<T>()`, or `iter::<T>` where an `IntoIterator` is wanted.
    #[allow(non_camel_case_types, reason = "reads like the function that it stands for")]
    pub enum iter<T> {
        /// The only value.
        iter,
        #[doc(hidden)]
        Never(core::convert::Infallible, super::PhantomData<T>),
    }

    /// The value of the same name. From a glob it takes only that half of the name which the type leaves.
    pub mod value {
        pub use super::iter::iter;
    }
}

pub use names::iter;
#[doc(hidden)]
pub use names::value::*;

impl<T: Collect> IntoIterator for iter<T> {
    type Item = &'static T;
    type IntoIter = Iter<T>;

    fn into_iter(self) -> Iter<T> {
        entries()
    }
}

impl<T: Collect> Deref for iter<T> {
    type Target = fn() -> Iter<T>;

    fn deref(&self) -> &fn() -> Iter<T> {
        &(entries as fn() -> Iter<T>)
    }
}

/// Makes a list for a type.
#[macro_export]
macro_rules! collect {
    ($type:ty) => {
        impl $crate::Collect for $type {
            #[inline]
            fn list() -> &'static $crate::List<Self> {
                static LIST: $crate::List<$type> = $crate::List::new();
                &LIST
            }
        }
    };
}

/// Adds a value to the list of its type, except for values of these types, which are dropped with everything that they
/// mention, since nobody looks them up:
///
/// * `ModelTransformFactory`: transforms by name, for tract's command line
/// * `KnobInfo`: descriptions of settings that are read from the environment
#[macro_export]
macro_rules! submit {
    (ModelTransformFactory { $($fields:tt)* }) => {};
    ($root:tt :: transform :: ModelTransformFactory { $($fields:tt)* }) => {};
    ($root:tt :: knobs :: KnobInfo { $($fields:tt)* }) => {};
    ($type:ident { $($fields:tt)* }) => { $crate::keep! { $type, $type { $($fields)* } } };
    ($root:tt :: $module:ident :: $type:ident { $($fields:tt)* }) => {
        $crate::keep! { $root::$module::$type, $root::$module::$type { $($fields)* } }
    };
    ($root:tt :: $module:ident :: $type:ident ( $($fields:tt)* )) => {
        $crate::keep! { $root::$module::$type, $root::$module::$type ( $($fields)* ) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! keep {
    ($type:ty, $value:expr) => {
        const _: () = {
            static ENTRY: $crate::Entry<$type> = $crate::Entry::new($value);

            extern "C" fn submit() {
                ENTRY.submit();
            }

            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs"))]
            #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
            #[cfg_attr(not(any(target_vendor = "apple", windows)), unsafe(link_section = ".init_array"))]
            static CONSTRUCTOR: extern "C" fn() = submit;
        };
    };
}

#[cfg(test)]
mod tests {
    pub struct Kept(u32);
    collect!(Kept);

    mod inner {
        pub(super) use super::Kept;
    }
    submit! { self::inner::Kept(1) }
    submit! { self::inner::Kept(2) }

    struct ModelTransformFactory {
        #[expect(dead_code, reason = "dropped before anyone could read it")]
        name: &'static str,
    }
    collect!(ModelTransformFactory);
    submit! { ModelTransformFactory { name: "x" } }

    #[test]
    fn values_are_listed_once() {
        let mut values: [u32; 2] = [0; 2];
        let mut listed = crate::iter::<Kept>();
        values.fill_with(|| listed.next().unwrap().0);
        values.sort_unstable();
        assert_eq!(values, [1, 2]);
        assert!(listed.next().is_none());
        assert_eq!(crate::iter::<Kept>.into_iter().count(), 2);
    }

    #[test]
    fn transforms_are_dropped() {
        assert_eq!(crate::iter::<ModelTransformFactory>().count(), 0);
    }
}
