//! A look at a secret: its versions, what they mean to us, and whether a rotation can be begun.

use dizzy_host::port::{Kind, Labels, Mend, PortError, PortResult, VersionId, VersionName};

use super::model::{NewName, RELEASED, Secret, Stage, Version};
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

    /// The version of this name, also if it is scheduled for deletion; of several, the one that took the latest edit in.
    pub(super) fn version_named(&self, name: &VersionName) -> Option<&Version> {
        self.versions_named(name).max_by_key(|version| (!version.is_leaving(), version.number()))
    }

    /// Every version of this name: the one that was staged, and those that took edits in.
    pub(super) fn versions_named<'a>(&'a self, name: &VersionName) -> impl Iterator<Item = &'a Version> + use<'a> {
        let name = name.clone();
        self.versions.iter().filter(move |version| version.named().as_ref() == Some(&name))
    }

    /// The version that counts as made if one of this name is to be made.
    pub(super) fn version_made_as(&self, name: &NewName<'_>) -> Option<&Version> {
        match name.edited {
            None => self.version_named(name.generation),
            Some(_) => self.versions.iter().find(|version| version.was_made_as(name)),
        }
    }

    /// The labels, as Vault shows them. A version that is scheduled for deletion has lost its name: it may be gone tomorrow.
    pub(super) fn labels(&self) -> Labels {
        let at = |stage| self.staged(stage).map(Version::id);
        let mut named: Vec<&Version> = self.versions.iter().filter(|version| !version.is_leaving()).collect();
        // Of several of one name, the last one made has it.
        named.sort_by_key(|version| version.number());
        Labels {
            current: at(Stage::Current),
            previous: at(Stage::Previous),
            pending: at(Stage::Pending),
            named: named.into_iter().filter_map(|version| Some((version.named()?, version.id()))).collect(),
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
        let command = format!(
            "oci vault secret update-base64 --secret-id {ocid} --secret-content-stage PENDING --secret-content-name \
             {RELEASED}-1 --secret-content-content e30="
        );
        let hint =
            format!("somebody else may be rotating this secret; if not, put a version over it that says so: {command}");
        Err(PortError::refused(kind, what).with_hint(hint).with_mend(Mend::Shell(command)))
    }

    fn staged(&self, stage: Stage) -> Option<&Version> {
        self.versions.iter().find(|version| version.is(stage))
    }
}

#[cfg(test)]
mod tests {
    use dizzy_engine::Generation;

    use super::*;
    use crate::failure::Effect;

    const CALL: Call<'static> = Call { doing: "stage", subject: "oci-vault:x", right: "r", effect: Effect::Write };

    /// Versions from `NUMBER STAGE NAME` lines; `leaving` behind them marks those that wait for their deletion.
    fn seen(versions: &[(u64, &str, Option<&str>, bool)]) -> Seen {
        let version = |(number, stage, name, is_leaving): &(u64, &str, Option<&str>, bool)| {
            let deletion = is_leaving.then_some("2026-11-22T19:00:00Z");
            let value = serde_json::json!({
                "versionNumber": number, "stages": [stage], "name": name, "timeOfDeletion": deletion,
            });
            serde_json::from_value(value).unwrap()
        };
        let secret = serde_json::from_str(r#"{"lifecycleState":"ACTIVE"}"#).unwrap();
        Seen { secret, versions: versions.iter().map(version).collect() }
    }

    fn pending(name: Option<&str>) -> PortResult<()> {
        let ours = VersionName::new(Generation(3), "0123456789abcdef");
        seen(&[(1, "CURRENT", None, false), (2, "PENDING", name, false)]).check_pending(&CALL, Some(&ours), "ocid1.x")
    }

    #[test]
    fn a_pending_version_is_ours_released_or_somebody_elses() {
        for ours in ["dizzy-g0000000002-0123456789", "dizzy-g0000000009-0123456789", "dizzy-released-1"] {
            assert_eq!(pending(Some(ours)), Ok(()), "{ours}");
        }
        for (theirs, kind) in [
            (None, Kind::Conflict),
            (Some("by-hand"), Kind::Conflict),
            (Some("dizzy-g2-0123456789"), Kind::Conflict),
            (Some("dizzy-g0000000002-fedcba9876"), Kind::ForeignRegister),
        ] {
            let error = pending(theirs).unwrap_err();
            assert_eq!(error.kind, kind, "{theirs:?}");
            assert_eq!(error.what, "stage oci-vault:x: its version 2 is PENDING and not ours");
        }
    }

    #[test]
    fn versions_that_wait_for_their_deletion_have_no_name_and_take_no_room() {
        let name = "dizzy-g0000000001-0123456789";
        let mut versions = vec![(1, "CURRENT", None, false), (2, "DEPRECATED", Some(name), true)];
        assert_eq!(seen(&versions).labels().named.len(), 0);
        versions.extend((3..=30).map(|number| (number, "DEPRECATED", None, false)));
        let full = seen(&versions);
        assert_eq!(full.check_room(&CALL, 1), Ok(()), "29 of 30");
        assert!(full.check_room(&CALL, 2).unwrap_err().hint.unwrap().contains("28 are DEPRECATED"));
        assert_eq!(
            full.version_named(&VersionName::parse(name).unwrap()).map(Version::id),
            Some(VersionId("2".to_owned()))
        );
    }
}
