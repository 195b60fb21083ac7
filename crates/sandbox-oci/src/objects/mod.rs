//! Object Storage.

use jiff::Timestamp;

use crate::{
    http::{Refused, Reply, Request},
    rights::Rights,
    route::Target,
};

#[derive(Debug, Default)]
pub(crate) struct Objects;

impl Objects {
    pub(crate) const fn new(_: (u16, &str)) -> Self {
        Self
    }
}

pub(crate) fn answer(_: &mut Objects, _: &Target, _: &Request, _: &Rights, _: Timestamp) -> Result<Reply, Refused> {
    Err(Refused::hidden())
}

pub(crate) fn preauthenticated(_: &mut Objects, _: &Target, _: &Request, _: Timestamp) -> Result<Reply, Refused> {
    Err(Refused::hidden())
}
