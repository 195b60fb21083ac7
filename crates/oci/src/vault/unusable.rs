//! Why a secret or a version cannot be worked with: the cases that Vault's answers do not tell apart, and what to do about each.

use dizzy_host::port::{Cloud, Deadline, Kind, Mend, PortError};

use super::{
    OciVaultStore,
    api::Wanted,
    model::{Secret, State},
    reading,
};
use crate::failure::Call;

impl OciVaultStore {
    /// Why nothing may be written to this secret, if so.
    pub(super) fn unusable(&self, call: &Call<'_>, secret: &Secret) -> Option<PortError> {
        match secret.state() {
            State::Leaving => {
                let command = format!("oci vault secret cancel-secret-deletion --secret-id {}", self.ocid);
                let hint = format!("it is scheduled for deletion; to keep it: {command}");
                return Some(call.refused(Kind::NotFound).with_hint(hint).with_mend(Mend::Shell(command)));
            }
            State::Stuck => {
                return Some(call.refused(Kind::Other).with_hint(
                    "the secret is neither active nor on its way to be; its state in the console tells more",
                ));
            }
            State::Active | State::Passing => {}
        }
        if secret.is_replica() {
            let hint =
                "this is a replica from another region, which can only be read; configure the secret it is made from";
            return Some(call.refused(Kind::ReadOnly).with_hint(hint));
        }
        secret.is_rotated_by_vault().then(|| {
            let hint = "Vault changes the password of an Autonomous Database through this secret on a schedule of its own; \
                        turn that off, or configure another secret";
            call.refused(Kind::Managed).with_hint(hint)
        })
    }

    /// The reading service answers alike for what is not there, what is being deleted, and what we may not read. The managing
    /// service can tell these apart; and "not there" must not be said of what is.
    pub(super) async fn explained(
        &self,
        error: PortError,
        call: &Call<'_>,
        wanted: Wanted,
        deadline: Deadline,
    ) -> PortError {
        let looking = Call { right: "read secrets", ..reading(call) };
        let secret = match self.api.secret(&looking, deadline).await {
            Ok(secret) => secret,
            Err(failure) if failure.error.kind == Kind::NotFound => return error,
            // Not known, which is something else than not there.
            Err(failure) => return failure.error,
        };
        if let Some(reason) = self.unusable(call, &secret).filter(|reason| reason.kind == Kind::NotFound) {
            return PortError { code: error.code, ..reason };
        }
        if let Wanted::Number(number) = wanted {
            match self.api.version(&looking, number, deadline).await {
                Ok(version) if version.is_leaving() => {
                    let hint =
                        "the version is scheduled for deletion; `oci vault secret-version cancel-deletion` keeps it";
                    return error.with_hint(hint);
                }
                Ok(_) => {}
                Err(failure) if failure.error.kind == Kind::NotFound => return error,
                Err(failure) => return failure.error,
            }
        }
        let hint = format!("it is there, but cannot be read: a policy must allow to {} on it", call.right);
        PortError { code: error.code, ..call.refused(Kind::Denied).with_hint(hint).with_mend(Mend::Rights(Cloud::Oci)) }
    }
}
