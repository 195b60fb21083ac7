//! Where registers are, and how a worker claims a set there.

use std::sync::Arc;

use dizzy_aws::S3Objects;
use dizzy_host::{
    config::Place,
    driver::Lease,
    file::{FileJournal, RunLock},
    objects::ObjectJournal,
    port::{Deadline, Journal, Kind, ObjectStore, PortResult},
};
use dizzy_oci::{ObjectStorage, OciObjects};

use super::Composer;
use crate::{
    code::{Code, Port},
    report::{NOTHING_DONE, Report},
};

/// A set that this process may work on. The claim ends with the value.
pub(crate) struct Hold {
    _lock: Option<RunLock>,
    /// What a lease that stands in the register means.
    pub(crate) lease: Lease,
}

impl Composer {
    /// The journal.
    ///
    /// # Errors
    /// If the place cannot be one, or the access to OCI is not configured.
    pub(crate) fn journal(&self) -> Result<Arc<dyn Journal>, Report> {
        match &self.config.journal {
            Place::File(folder) => Ok(Arc::new(FileJournal::new(folder.clone()))),
            Place::Oci { namespace, bucket, prefix } => {
                self.registers(OciObjects::new(ObjectStorage::new(self.oci.clone()?), namespace, bucket, prefix))
            }
            Place::S3 { bucket, prefix } => self.registers(S3Objects::new(self.aws.clone(), bucket, prefix)),
        }
    }

    fn registers(&self, objects: PortResult<impl ObjectStore + 'static>) -> Result<Arc<dyn Journal>, Report> {
        let objects = objects.map_err(|error| {
            let what = format!("{}: {error}", self.config.journal);
            Report::new(Code::ConfigValue, what, NOTHING_DONE)
                .hint("give `journal.url` a short prefix without `..` or `//`")
        })?;
        Ok(Arc::new(ObjectJournal::new(Arc::new(objects))))
    }

    /// Claims a set for this process, as far as the place of the registers allows: a folder is locked, so that a lease that
    /// stands in a register there is a dead worker's. Workers that share a bucket have only the lease to tell that another
    /// one is at work; what keeps them apart is compare-and-swap.
    ///
    /// # Errors
    /// If another process of this machine works on it.
    pub(crate) async fn hold(&self, set: &str) -> Result<Hold, Report> {
        let Place::File(folder) = &self.config.journal else {
            return Ok(Hold { _lock: None, lease: Lease::Respected });
        };
        let deadline = Deadline::after(self.limits.call);
        let lock = FileJournal::new(folder.clone()).hold(set, deadline).await.map_err(|error| {
            let state = "this run has changed nothing; the other worker says what is true when it ends";
            Report::of_port(Port::Journal, set, &error, if error.kind == Kind::Conflict { state } else { NOTHING_DONE })
        })?;
        Ok(Hold { _lock: Some(lock), lease: Lease::Dead })
    }
}
