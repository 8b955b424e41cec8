//! Whose turn it is to load the machine.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that load the machine or watch the clock run alone; the others beside each other.
static MACHINE: RwLock<()> = RwLock::new(());

/// A turn on the machine, which ends with this value.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Beside the tests that share it too.
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    /// Beside none.
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

impl Turn {
    /// Waits for those that run alone.
    pub(crate) fn shared() -> Self {
        let _guard = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        Self::Shared { _guard }
    }

    /// Waits for all.
    pub(crate) fn alone() -> Self {
        let _guard = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        Self::Alone { _guard }
    }
}
