//! The seven calls to Vault that are made, one function each: no decisions, no waiting.

use bytes::Bytes;
use dizzy_host::{
    port::{Deadline, Kind, PortResult},
    secret::SecretText,
};
use dizzy_web::Answer;
use http::{HeaderName, Method, header};
use serde::de::DeserializeOwned;

use super::model::{Bundle, MakeVersion, NewName, Secret, Version};
use crate::{
    clients::{Ask, Body, OciClients, encoded},
    endpoints::Service,
    failure::{Call, Failure},
};

/// A secret bundle has 25 KB at most, a third more in base64; metadata and tags come on top.
const MAX_ANSWER: usize = 256 * 1024;

/// Pages of versions that are read. Vault holds 30 versions and 30 more that wait for their deletion (Oracle documentation:
/// "Vault limits"), which any page size that makes sense fits into few.
const MAX_PAGES: usize = 60;

const JSON: &str = "application/json";

/// One secret's addresses.
pub(super) struct Api {
    clients: OciClients,
    ocid: String,
}

/// Which version's value.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Current,
    Number(u64),
}

impl Api {
    pub(super) fn new(clients: OciClients, ocid: &str) -> Self {
        Self { clients, ocid: encoded(ocid) }
    }

    pub(super) fn clients(&self) -> &OciClients {
        &self.clients
    }

    /// `GET /secrets/{id}`
    pub(super) async fn secret(&self, call: &Call<'_>, deadline: Deadline) -> Result<Secret, Failure> {
        let answer = self.get(call, Service::Vaults, format!("/secrets/{}", self.ocid), deadline).await?;
        let mut secret: Secret = parsed(call, &answer)?;
        secret.etag = etag(&answer).ok_or_else(|| call.refused(Kind::Malformed))?;
        Ok(secret)
    }

    /// `GET /secrets/{id}/versions`, all pages.
    pub(super) async fn versions(&self, call: &Call<'_>, deadline: Deadline) -> Result<Vec<Version>, Failure> {
        let mut versions = Vec::new();
        let mut page = String::new();
        for _ in 0..MAX_PAGES {
            let answer =
                self.get(call, Service::Vaults, format!("/secrets/{}/versions{page}", self.ocid), deadline).await?;
            versions.extend(parsed::<Vec<Version>>(call, &answer)?);
            match answer.headers.get("opc-next-page").map(|next| next.to_str()) {
                None => return Ok(versions),
                Some(Ok(next)) => page = format!("?page={}", encoded(next)),
                Some(Err(_)) => break,
            }
        }
        Err(call.refused(Kind::Malformed).into())
    }

    /// `GET /secrets/{id}/version/{n}`
    pub(super) async fn version(&self, call: &Call<'_>, number: u64, deadline: Deadline) -> Result<Version, Failure> {
        let target = format!("/secrets/{}/version/{number}", self.ocid);
        let answer = self.get(call, Service::Vaults, target, deadline).await?;
        parsed(call, &answer).map_err(Failure::from)
    }

    /// `GET /secretbundles/{id}`
    pub(super) async fn bundle(&self, call: &Call<'_>, wanted: Wanted, deadline: Deadline) -> Result<Bundle, Failure> {
        let query = match wanted {
            Wanted::Current => "stage=CURRENT".to_owned(),
            Wanted::Number(number) => format!("versionNumber={number}"),
        };
        let target = format!("/secretbundles/{}?{query}", self.ocid);
        let answer = self.get(call, Service::Secrets, target, deadline).await?;
        parsed(call, &answer).map_err(Failure::from)
    }

    /// `PUT /secrets/{id}` with a new version, if the secret is still the one of this etag.
    pub(super) async fn make_version(
        &self,
        call: &Call<'_>,
        etag: &str,
        name: &NewName<'_>,
        value: &SecretText,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let body = MakeVersion::body(name, value).ok_or_else(|| call.refused(Kind::Other))?;
        self.put(call, etag, Bytes::from_owner(body), deadline).await
    }

    /// `PUT /secrets/{id}` with another current version, if the secret is still the one of this etag.
    pub(super) async fn make_current(
        &self,
        call: &Call<'_>,
        etag: &str,
        number: u64,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let body = format!("{{\"currentVersionNumber\":{number}}}");
        self.put(call, etag, Bytes::from(body), deadline).await
    }

    /// `POST /secrets/{id}/version/{n}/actions/scheduleDeletion`
    pub(super) async fn schedule_deletion(
        &self,
        call: &Call<'_>,
        number: u64,
        time: &str,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let ask = Ask {
            service: Service::Vaults,
            method: Method::POST,
            target: format!("/secrets/{}/version/{number}/actions/scheduleDeletion", self.ocid),
            headers: accept(),
            body: Some(Body { kind: JSON, bytes: Bytes::from(format!("{{\"timeOfDeletion\":\"{time}\"}}")) }),
            region: None,
            limit: MAX_ANSWER,
        };
        self.clients.ask(call, &ask, deadline).await.map(drop)
    }

    async fn get(
        &self,
        call: &Call<'_>,
        service: Service,
        target: String,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let ask = Ask {
            service,
            method: Method::GET,
            target,
            headers: accept(),
            body: None,
            region: None,
            limit: MAX_ANSWER,
        };
        self.clients.ask(call, &ask, deadline).await
    }

    async fn put(&self, call: &Call<'_>, etag: &str, bytes: Bytes, deadline: Deadline) -> Result<(), Failure> {
        let mut headers = accept();
        headers.push((header::IF_MATCH, etag.to_owned()));
        let ask = Ask {
            service: Service::Vaults,
            method: Method::PUT,
            target: format!("/secrets/{}", self.ocid),
            headers,
            body: Some(Body { kind: JSON, bytes }),
            region: None,
            limit: MAX_ANSWER,
        };
        self.clients.ask(call, &ask, deadline).await.map(drop)
    }
}

fn accept() -> Vec<(HeaderName, String)> {
    vec![(header::ACCEPT, JSON.to_owned())]
}

fn parsed<T: DeserializeOwned>(call: &Call<'_>, answer: &Answer) -> PortResult<T> {
    serde_json::from_slice(&answer.body).map_err(|_| call.refused(Kind::Malformed))
}

fn etag(answer: &Answer) -> Option<String> {
    answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned)
}
