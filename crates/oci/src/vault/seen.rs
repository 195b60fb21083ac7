//! A look at a secret: its versions, what they mean to us, and whether a rotation can be begun.

use dizzy_host::port::{Kind, Labels, PortError, PortResult, VersionId, VersionName};

use super::model::{RELEASED, Secret, Stage, Version};
use crate::failure::Call;

/// Versions that a secret holds, not counting those that wait for their deletion (Oracle documentation: "Vault limits").
const MAX_VERSIONS: usize = 30;

/// What one rotation may need: a version, another after an abort, and one that an operator puts there to get out of trouble.
pub(super) const ROOM: usize = 3;

/// A secret and its versions.
pub(super) struct Seen {
    pub(super) secret: Secret,
    pub(super) versions: Vec<Version>,
}

impl Seen {
    pub(super) fn version(&self, id: &VersionId) -> Option<&Version> {
        self.versions.iter().find(|version| version.id() == *id)
    }

    /// The version of this name, also if it is scheduled for deletion.
    pub(super) fn version_named(&self, name: &VersionName) -> Option<&Version> {
        self.versions.iter().find(|version| version.named().as_ref() == Some(name))
    }

    /// The labels, as Vault shows them. A version that is scheduled for deletion has lost its name: it may be gone tomorrow.
    pub(super) fn labels(&self) -> Labels {
        let at = |stage| self.staged(stage).map(Version::id);
        let named = self.versions.iter().filter(|version| !version.is_leaving());
        Labels {
            current: at(Stage::Current),
            previous: at(Stage::Previous),
            pending: at(Stage::Pending),
            named: named.filter_map(|version| Some((version.named()?, version.id()))).collect(),
        }
    }

    /// Refuses if fewer than `wanted` versions can still be made.
    pub(super) fn check_room(&self, call: &Call<'_>, wanted: usize) -> PortResult<()> {
        let kept = || self.versions.iter().filter(|version| !version.is_leaving());
        let used = kept().count();
        if used + wanted <= MAX_VERSIONS {
            return Ok(());
        }
        let superfluous = kept().filter(|version| version.is(Stage::Deprecated)).count();
        let what = format!("{}: it has {used} of at most {MAX_VERSIONS} versions", call.what());
        Err(PortError::refused(Kind::Other, what).with_code("LimitExceeded").with_hint(format!(
            "{wanted} more are needed; {superfluous} are DEPRECATED: delete those that nobody needs with \
             oci vault secret-version schedule-deletion"
        )))
    }

    /// Refuses if somebody else prepares a version: a new PENDING would take the label from theirs for good.
    ///
    /// `name` is the version that is to be made; without it, only a PENDING that no installation of ours made counts.
    pub(super) fn check_pending(&self, call: &Call<'_>, name: Option<&VersionName>, ocid: &str) -> PortResult<()> {
        let Some(pending) = self.staged(Stage::Pending).filter(|version| !version.is_released()) else { return Ok(()) };
        let kind = match (pending.named(), name) {
            (Some(theirs), Some(ours)) if theirs.register != ours.register => Kind::ForeignRegister,
            (Some(_), _) => return Ok(()),
            (None, _) => Kind::Conflict,
        };
        let what = format!("{}: its version {} is PENDING and not ours", call.what(), pending.id());
        Err(PortError::refused(kind, what).with_hint(format!(
            "somebody else may be rotating this secret; if not, put a version over it that says so: oci vault secret \
             update-base64 --secret-id {ocid} --secret-content-stage PENDING --secret-content-name {RELEASED}-1 \
             --secret-content-content e30="
        )))
    }

    fn staged(&self, stage: Stage) -> Option<&Version> {
        self.versions.iter().find(|version| version.is(stage))
    }
}
