//! Broken rules: each switch takes one rule away, in the world or between the engine and the world, and the search must then fail.
//!
//! The numbers are those of the counterexamples in `docs/design/0001-protocol.md`.

use std::sync::Arc;

use dizzy_engine::{Epoch, Phase, Progress, Register, Worker};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Switch {
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
    /// C13: the register is written without compare-and-swap, and an abort keeps its epoch.
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
    /// Rulings §2.5: an unknown outcome is treated as a refusal.
    UnknownIgnored,
    /// Rulings §2.5: the base is what a label shows.
    BaseFromLabel,
    /// Rulings §2.5: the alternating fence accepts only the base and the new generation.
    ExactAlternatingFence,
    /// Rulings §2.5: a rollover is changed before an unfenced single.
    RolloverBeforeSingle,
}

impl Switch {
    /// The epoch that an abort really uses.
    pub fn spoil_epoch(self, epoch: Epoch) -> Epoch {
        match self {
            Self::AbortKeepsEpoch | Self::UnfencedJournal => Epoch(epoch.0.saturating_sub(1)),
            _ => epoch,
        }
    }

    /// Spoils a register on its way into the journal.
    pub fn spoil_write(self, before: &Register, after: &mut Register) {
        match self {
            Self::NoCommitRecord if after.phase == Phase::Commit => {
                after.phase = Phase::Intent;
                after.was = Phase::Intent;
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
    pub fn spoil_worker(self, worker: &mut Worker) {
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
            Self::ThirdMaybe => {
                for u in Arc::make_mut(&mut worker.register).databases.iter_mut().flat_map(|d| &mut d.users) {
                    if u.maybe.len() > 1 {
                        u.maybe.remove(0);
                    }
                }
            }
            _ => {}
        }
    }
}
