//! What a form has asked for and its answer, kept for a while at an address of its own: so going back works, and loading again neither
//! searches for words that stand in an address nor makes a second of what is made once.
//!
//! An address is drawn, says nothing, and leads whoever is logged in as the one who asked, at this device, until they log out or an hour
//! is over. It is in memory alone: what is kept may be somebody's name, or a code that is shown once.
//!
//! Rejected: words in addresses, which browsers keep and suggest; and keeping it in the store, which backups would hold.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use lianxin_protocol::hash::Hex;

use super::page::Session;
use crate::clock::{self, Monotonic};
use crate::error::Result;

/// How long something is kept.
const KEPT_MS: u64 = 60 * 60 * 1_000;
/// Things kept of one login, and in all: the oldest goes.
const EACH: usize = 50;
const ALL: usize = 400;

/// Everything that is kept.
pub(super) struct Kept {
    clock: Monotonic,
    all: Mutex<Vec<One>>,
    /// Held by whoever makes something that a form sent twice must not make twice.
    pub(super) turn: tokio::sync::Mutex<()>,
}

struct One {
    id: String,
    /// The secret of the login.
    login: String,
    /// What the form was, for one that must be answered once.
    form: Option<String>,
    at_ms: u64,
    what: Arc<dyn Any + Send + Sync>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            clock: Monotonic::start(),
            all: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Kept")
    }
}

impl Kept {
    fn with<R>(&self, work: impl FnOnce(&mut Vec<One>) -> R) -> R {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.ms();
        all.retain(|one| now_ms < one.at_ms + KEPT_MS);
        work(&mut all)
    }

    /// Keeps something for a login and gives its id: 32 hexadecimal digits. `form` names a form that is to be answered once.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn put(
        &self,
        session: &Session,
        form: Option<String>,
        what: impl Any + Send + Sync,
    ) -> Result<String> {
        let id = Hex(&clock::random::<16>()?).to_string();
        let login = session.secret.clone();
        let one = One {
            id: id.clone(),
            login,
            form,
            at_ms: self.clock.ms(),
            what: Arc::new(what),
        };
        self.with(|all| {
            let mine = |it: &One| it.login == one.login;
            if all.iter().filter(|it| mine(it)).count() >= EACH
                && let Some(oldest) = all.iter().position(mine)
            {
                all.remove(oldest);
            }
            if all.len() >= ALL {
                all.remove(0);
            }
            all.push(one);
        });
        Ok(id)
    }

    /// The same for what is large: one of its sort for a login, and so many in all.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn put_large<T: Any + Send + Sync>(
        &self,
        session: &Session,
        what: T,
        most: usize,
    ) -> Result<String> {
        self.with(|all| {
            all.retain(|it| it.login != session.secret || !it.what.is::<T>());
            while all.iter().filter(|it| it.what.is::<T>()).count() >= most {
                let Some(oldest) = all.iter().position(|it| it.what.is::<T>()) else {
                    break;
                };
                all.remove(oldest);
            }
        });
        self.put(session, None, what)
    }

    /// What is kept under an id for this login.
    pub(super) fn get<T: Any + Send + Sync>(&self, session: &Session, id: &str) -> Option<Arc<T>> {
        let found = self.with(|all| {
            let mut found = all.iter().filter(|it| it.login == session.secret);
            found.find(|it| it.id == id).map(|it| Arc::clone(&it.what))
        });
        found?.downcast().ok()
    }

    /// All of one sort that was kept for a login in the last milliseconds.
    pub(super) fn lately<T: Any + Send + Sync>(&self, login: &str, within_ms: u64) -> Vec<Arc<T>> {
        let now_ms = self.clock.ms();
        let found: Vec<_> = self.with(|all| {
            let mine = all.iter().filter(|it| it.login == login);
            let mine = mine.filter(|it| now_ms < it.at_ms + within_ms);
            mine.map(|it| Arc::clone(&it.what)).collect()
        });
        found
            .into_iter()
            .filter_map(|what| what.downcast().ok())
            .collect()
    }

    /// Where the answer to a form of this login is kept that was sent before.
    pub(super) fn answered(&self, session: &Session, form: &str) -> Option<String> {
        self.with(|all| {
            let mut found = all.iter().filter(|it| it.login == session.secret);
            let found = found.find(|it| it.form.as_deref() == Some(form));
            found.map(|it| it.id.clone())
        })
    }

    /// Forgets all of a login.
    pub(super) fn forget(&self, session: &Session) {
        self.with(|all| all.retain(|it| it.login != session.secret));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::accounts::{Account, Taste};

    fn of(secret: &str) -> Session {
        Session {
            account: Account {
                id: String::new(),
                name: String::new(),
                has_password: false,
                roles: None,
                taste: Taste::default(),
            },
            secret: secret.to_owned(),
            revealed: BTreeSet::new(),
        }
    }

    #[test]
    fn what_is_kept_is_for_the_login_that_asked_and_bounded() -> Result<()> {
        let kept = Kept::default();
        let (one, other) = (of("one"), of("other"));
        let first = kept.put(&one, Some("form".to_owned()), 7_u8)?;
        assert_eq!(kept.get::<u8>(&one, &first).as_deref(), Some(&7));
        assert!(kept.get::<u8>(&other, &first).is_none());
        assert!(kept.get::<u16>(&one, &first).is_none());
        assert_eq!(kept.answered(&one, "form"), Some(first.clone()));
        assert!(kept.answered(&other, "form").is_none());
        let theirs = kept.put(&other, None, 8_u8)?;
        for number in 0..EACH {
            kept.put(&one, None, number)?;
        }
        assert!(kept.get::<u8>(&one, &first).is_none(), "it is not bounded");
        assert!(kept.get::<u8>(&other, &theirs).is_some());
        kept.forget(&other);
        assert!(kept.get::<u8>(&other, &theirs).is_none());
        Ok(())
    }
}
