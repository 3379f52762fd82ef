//! A call to the store that is held until a test lets it go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::hooked::{Asked, Call, Hook, Trouble};

/// Holds the next call of a kind, once it is told to.
pub struct Hold {
    which: fn(&Asked) -> bool,
    is_next: AtomicBool,
    reached: Semaphore,
    on: Semaphore,
}

impl Hold {
    /// Of these calls, and none of them yet.
    pub fn of(which: fn(&Asked) -> bool) -> Arc<Self> {
        let (reached, on) = (Semaphore::new(0), Semaphore::new(0));
        Arc::new(Self { which, is_next: false.into(), reached, on })
    }

    /// From now on the next one waits.
    pub fn next(&self) {
        self.is_next.store(true, SeqCst);
    }

    /// Until it does.
    pub async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// It goes on.
    pub fn go_on(&self) {
        self.on.add_permits(1);
    }
}

#[async_trait]
impl Hook for Hold {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if (self.which)(&asked) && self.is_next.swap(false, SeqCst) {
            self.reached.add_permits(1);
            self.on.acquire().await.unwrap().forget();
        }
        call.await;
        Ok(())
    }
}
