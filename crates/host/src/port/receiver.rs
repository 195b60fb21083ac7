//! The port for notices: somebody outside who wants to know how a set has ended.

use async_trait::async_trait;

use super::{Deadline, PortResult};
use crate::notice::Notice;

/// Takes notices: a webhook, a topic.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// As the configuration names it: an ARN, an OCID, or the reference to a URL, never the URL itself.
    fn name(&self) -> &str;

    /// Delivers a notice, trying again what failed for a passing reason. It may arrive twice, under the same id.
    ///
    /// # Errors
    /// If no attempt is known to have arrived. Nothing else depends on it.
    async fn deliver(&self, notice: &Notice, deadline: Deadline) -> PortResult<()>;
}
