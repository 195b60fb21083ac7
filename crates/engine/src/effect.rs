//! What the engine asks for, and what comes back.
//!
//! An effect is one question or one change, named by positions and generations; the driver turns generations into
//! passwords and version ids. Effects of one batch concern different things and may run side by side.

use std::sync::Arc;

use crate::{
    ids::{DatabaseIx, Epoch, Generation, StoreIx, UserIx},
    register::Register,
};

/// One thing to do.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// Read the register. Answer: [`Outcome::Register`].
    ReadRegister,
    /// Replace the register that was read or written last by this one. `Refused(Conflict)` if somebody else wrote meanwhile.
    WriteRegister {
        /// What to write.
        register: Arc<Register>,
    },
    /// Look whether CURRENT is the recorded version of `generation`. `Refused(Drift)` if it is another.
    CheckCurrent {
        /// Where.
        store: StoreIx,
        /// What it must be.
        generation: Generation,
    },
    /// Look at the database without changing it, and log in with the published credential.
    Inspect {
        /// Where.
        database: DatabaseIx,
        /// The published user.
        user: UserIx,
        /// The published generation.
        generation: Generation,
    },
    /// See which generations CURRENT and PENDING show. Answer: [`Outcome::Labels`].
    ReadLabels {
        /// Where.
        store: StoreIx,
    },
    /// Create the version of `generation` (create-only: what is there already stays), and move PENDING to it if asked.
    Stage {
        /// Where.
        store: StoreIx,
        /// Which.
        generation: Generation,
        /// If set: move PENDING by compare-and-swap from what was seen. `Refused(Conflict)` if it moved meanwhile.
        announce: Option<Seen>,
    },
    /// Read the version back and compare its credentials. `Refused(Missing)` if it is not there or differs.
    ReadBack {
        /// Where.
        store: StoreIx,
        /// Which.
        generation: Generation,
    },
    /// Log in on a fresh connection. `Applied`: it works; `Refused(Credential)`: the password is wrong.
    Login {
        /// Where.
        database: DatabaseIx,
        /// Who.
        user: UserIx,
        /// With the password of which generation.
        generation: Generation,
    },
    /// Change the user's password from that of `from` to that of `to`.
    Apply {
        /// Where.
        database: DatabaseIx,
        /// Who, changing itself.
        user: UserIx,
        /// The generation it logs in with.
        from: Generation,
        /// The generation it gets.
        to: Generation,
        /// The fencing number.
        epoch: Epoch,
    },
    /// Make the same change in a transaction that stays open.
    Vote {
        /// Where.
        database: DatabaseIx,
        /// Who.
        user: UserIx,
        /// The generation it logs in with.
        from: Generation,
        /// The generation it gets.
        to: Generation,
        /// The fencing number.
        epoch: Epoch,
    },
    /// Commit the open transaction. `Refused` also means that it is gone.
    CommitVote {
        /// Where.
        database: DatabaseIx,
        /// The generation it sets.
        generation: Generation,
    },
    /// End the rollover window that an earlier rotation left open.
    EndWindow {
        /// Where.
        database: DatabaseIx,
    },
    /// Log in with the password of `from` and raise the epoch in the fence row.
    Burn {
        /// Where.
        database: DatabaseIx,
        /// Who.
        user: UserIx,
        /// The generation it logs in with.
        from: Generation,
        /// The fencing number.
        epoch: Epoch,
    },
    /// Put the base's password back.
    Restore {
        /// Where.
        database: DatabaseIx,
        /// Who.
        user: UserIx,
        /// The generation it logs in with.
        from: Generation,
        /// The base.
        to: Generation,
        /// The fencing number.
        epoch: Epoch,
    },
    /// Move CURRENT by compare-and-swap.
    Promote {
        /// Where.
        store: StoreIx,
        /// The base.
        from: Generation,
        /// The decided generation.
        to: Generation,
    },
    /// Read CURRENT as a consumer would, and log in with it everywhere. `Refused(Drift)` if it is not `generation` or does not log in.
    Published {
        /// Where.
        store: StoreIx,
        /// What it must be.
        generation: Generation,
    },
    /// Try to log in with what `generation` published on this database. `Applied`: the server refuses it, or no secret holds it any
    /// more. `Refused(Drift)`: it logs in.
    ProveRefused {
        /// Where.
        database: DatabaseIx,
        /// Which.
        generation: Generation,
    },
    /// Take our name off a version that nothing needs.
    Prune {
        /// Where.
        store: StoreIx,
        /// Which.
        generation: Generation,
    },
}

/// Which version carries a label, as far as the engine cares.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Seen {
    /// None.
    Nothing,
    /// The recorded version of a generation of this register.
    Generation(Generation),
    /// A version that this register does not know.
    Foreign,
}

/// Why nothing happened.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// The password is wrong.
    Credential,
    /// Compare-and-swap found another value.
    Conflict,
    /// The published state is not what the register records.
    Drift,
    /// A newer epoch or generation was there.
    Fenced,
    /// The version is not there, or holds other credentials.
    Missing,
    /// It will be refused again: a rule, a right, a configuration.
    Permanent,
    /// It may work later: throttled, busy, no connection.
    Transient,
}

/// What came of an effect.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// It happened; a question was answered yes.
    Applied,
    /// It did not happen and will not.
    Refused(Reason),
    /// It may have happened, or may still happen.
    Unknown,
    /// The register; `None` if there is none.
    Register(Option<Arc<Register>>),
    /// The labels of a store.
    Labels {
        /// CURRENT.
        current: Seen,
        /// PENDING.
        pending: Seen,
    },
}
