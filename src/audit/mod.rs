//! The audit trail: who changed what, who came in, and who tried to.
//!
//! Owns when entries are written, and that none is missing. Refuses to know what a change is: its
//! owner says so. `docs/decisions/0011-audit-trail-and-permits.md` says why it is built so.
//! Invariants: an act's entry is durable before the act takes effect, and its outcome after it; an
//! entry of an act that ended without a word (a panic, a future that was dropped) is concluded as
//! `unknown` where that happens, and one that a process left as such at the next start; what
//! is secret is in none, and neither is a login that is nobody's; what failed is counted, by the
//! minute and network, so that an attack makes no more rows than it has minutes and networks.
//!
//! Reading order: [`trail`], `failures` (what is counted), `page` (how it is read), [`limits`].

mod failures;
pub mod limits;
mod page;
mod trail;

pub use failures::Failure;
pub use page::{TrailFilter, TrailPage};
pub use trail::{By, Note, Trail};
