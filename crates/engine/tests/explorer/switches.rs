//! Broken rules: each switch takes one rule away, in the world or between the engine and the world, and the search must then fail.
//!
//! The numbers are those of the counterexamples in `docs/design/0001-protocol.md`.

use std::sync::Arc;

use dizzy_engine::{MAX_MAYBES, Phase, Progress, Register, Stage, Worker};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Switch {
    /// C1, C2: the new password is only in memory.
    NoStaging,
    /// C3: a secret that could not be promoted is left behind.
    FinishWithoutPromotion,
    /// C4: stores are promoted before databases are changed.
    PromoteBeforeApply,
    /// C5: each database is promoted as soon as it is changed.
    PromotePerDatabase,
    /// C6: there is no COMMIT record, so an abort is allowed during promotion.
    NoCommitRecord,
    /// C7: an abort keeps its epoch.
    AbortKeepsEpoch,
    /// C8: changes are unconditional.
    UnconditionalChange,
    /// C9: logging in with the old password is the only check.
    LoginOnly,
    /// C10: anybody may restore an unfenced database.
    UndoByTakerOver,
    /// C11: ... or a rollover, without a drain.
    NoDrain,
    /// C12: an abort does not raise the epoch in the fence row.
    NoBurn,
    /// C13: the register is written without compare-and-swap.
    UnfencedJournal,
    /// C14: PENDING moves unconditionally, and versions have no name of their own.
    PlainPending,
    /// C15: a newer generation of an idle user may be overwritten.
    OverwriteNewer,
    /// C16: an aborted generation is dropped at once.
    DropAborted,
    /// C17: a rotation starts while the last rollover window is open.
    WindowIgnored,
    /// Rulings §2.5: the change is not marked before it is sent.
    NoMark,
    /// Rulings §2.5: the old window is ended without a drain before the change.
    EndWindowBare,
    /// Rulings §2.5: pruning goes by the keep-set alone.
    PruneByKeepSetAlone,
    /// Rulings §2.5: PENDING is taken away from a newer generation.
    PendingIgnored,
    /// Rulings §2.5: a third possible password is not recorded.
    ThirdMaybe,
    /// Rulings §1.1: a user with too many possible passwords is looked at without a drain.
    ProbeWithoutDrain,
    /// Rulings §2.5: an unknown outcome is treated as a refusal.
    UnknownIgnored,
    /// Rulings §2.5: the base is what a label shows.
    BaseFromLabel,
    /// Rulings §2.5: the alternating fence accepts only the base and the new generation.
    ExactAlternatingFence,
    /// Rulings §2.5: a revoke is one rotation.
    RevokeAsOneRotation,
    /// Not a rule: the drain does not end while anybody looks.
    NeverDrained,
    /// Not a rule of safety: a fenced single is changed at once, without an open transaction as its vote.
    NoVote,
}

impl Switch {
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::NoStaging,
            Self::FinishWithoutPromotion,
            Self::PromoteBeforeApply,
            Self::PromotePerDatabase,
            Self::NoCommitRecord,
            Self::AbortKeepsEpoch,
            Self::UnconditionalChange,
            Self::LoginOnly,
            Self::UndoByTakerOver,
            Self::NoDrain,
            Self::NoBurn,
            Self::UnfencedJournal,
            Self::PlainPending,
            Self::OverwriteNewer,
            Self::DropAborted,
            Self::WindowIgnored,
            Self::NoMark,
            Self::EndWindowBare,
            Self::PruneByKeepSetAlone,
            Self::PendingIgnored,
            Self::ThirdMaybe,
            Self::ProbeWithoutDrain,
            Self::UnknownIgnored,
            Self::BaseFromLabel,
            Self::ExactAlternatingFence,
            Self::RevokeAsOneRotation,
            Self::NeverDrained,
            Self::NoVote,
        ]
    }

    /// Spoils a register on its way into the journal.
    pub(crate) fn spoil_write(self, before: &Register, after: &mut Register) {
        match self {
            Self::NoCommitRecord if after.phase == Phase::Commit => {
                after.phase = Phase::Intent;
                after.was = Phase::Intent;
            }
            Self::RevokeAsOneRotation if before.phase == Phase::Commit && after.phase == Phase::Idle => {
                after.revoked = after.revoke.take();
            }
            Self::NoMark => {
                for (d, old) in after.databases.iter_mut().zip(&before.databases) {
                    if d.sent && !old.sent {
                        d.clone_from(old);
                        d.window = None;
                    }
                }
            }
            _ => {}
        }
    }

    /// Spoils a worker after a step.
    pub(crate) fn spoil_worker(self, worker: &mut Worker) {
        match self {
            Self::UndoByTakerOver => worker.originator = worker.register.phase == Phase::Intent,
            Self::UnknownIgnored => {
                worker.unknown = 0;
                worker.loose_ends = false;
            }
            Self::NoDrain => Arc::make_mut(&mut worker.register).quiet = None,
            Self::EndWindowBare => {
                for (at, d) in Arc::make_mut(&mut worker.register).databases.iter_mut().enumerate() {
                    if worker.progress.get(at) == Some(&Progress::WindowEnded) {
                        d.window = None;
                    }
                }
            }
            Self::ThirdMaybe if worker.stage == Stage::Preflight => {
                for u in Arc::make_mut(&mut worker.register).databases.iter_mut().flat_map(|d| &mut d.users) {
                    if u.maybe.len() >= MAX_MAYBES {
                        u.maybe.remove(0);
                    }
                }
            }
            Self::ProbeWithoutDrain if worker.stage == Stage::Preflight => {
                Arc::make_mut(&mut worker.register).quiet = None;
                worker.loose_ends = false;
            }
            _ => {}
        }
    }
}
