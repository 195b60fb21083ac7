//! Autonomous Databases: the one call that has a wallet made.
//!
//! The service puts a new client key into a zip archive, encrypts the key with the password that it is given, and keeps nothing of
//! either. The archive is in memory here and nowhere else. Earlier wallets stay valid: only rotating the wallet, another
//! operation, makes them invalid (Oracle documentation: "Download Client Credentials (Wallets)"; unverified on the service).

use bytes::Bytes;
use dizzy_host::{
    port::{Deadline, Kind, PortResult},
    secret::Password,
};
use http::{HeaderName, Method};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    clients::{Ask, Body, OciClients, encoded},
    endpoints::Service,
    failure::{Call, Effect},
};

/// Errors are longer than the shortest wallets that a caller may want to allow.
const MAX_PLAIN: usize = 64 * 1024;

/// What a policy has to allow (Oracle documentation: "IAM Policies for Autonomous Database": AUTONOMOUS_DATABASE_CONTENT_READ).
const RIGHT: &str = "read autonomous-databases";

/// Access to Autonomous Databases; cheap to clone.
#[derive(Clone)]
pub struct AutonomousDatabases {
    clients: OciClients,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerateWallet<'a> {
    password: &'a str,
    generate_type: &'a str,
}

impl AutonomousDatabases {
    /// Autonomous Databases over these clients.
    #[must_use]
    pub const fn new(clients: OciClients) -> Self {
        Self { clients }
    }

    /// Has a wallet for the database `ocid` made, and returns its zip archive of at most `limit` bytes. `password` encrypts
    /// the key in it; the service wants 8 characters or more, with a letter, and a digit or special character.
    ///
    /// Nothing that a rotation rests on is changed, so a failed call is tried again like a read, under one retry token, which makes the
    /// service answer the same request once (`opc-retry-token` of GenerateAutonomousDatabaseWallet in the oci Python SDK 2.189.0).
    ///
    /// # Errors
    /// `NotFound` if the database is not there or may not be seen, `Busy` in a state in which it gives no wallet, `Malformed` if
    /// the answer is longer.
    pub async fn generate_wallet(
        &self,
        ocid: &str,
        password: &Password,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Zeroizing<Vec<u8>>> {
        let subject = format!("oci-adb:{ocid}");
        let call = Call { doing: "have a wallet made by", subject: &subject, right: RIGHT, effect: Effect::Read };
        // SINGLE: a wallet for this database, not one that opens every database of the region.
        let request = GenerateWallet { password: password.expose(), generate_type: "SINGLE" };
        // With room for every character escaped, so that no copy is left behind by growing.
        let mut body = Zeroizing::new(Vec::with_capacity(password.expose().len() * 6 + 64));
        serde_json::to_writer(&mut *body, &request).map_err(|_| call.refused(Kind::Other))?;
        let ask = Ask {
            service: Service::Database,
            method: Method::POST,
            target: format!("/autonomousDatabases/{}/actions/generateWallet", encoded(ocid)),
            headers: vec![(HeaderName::from_static("opc-retry-token"), self.clients.request_id()?)],
            body: Some(Body { kind: "application/json", bytes: Bytes::from_owner(body) }),
            region: None,
            limit: limit.max(MAX_PLAIN),
        };
        let answer = self.clients.ask(&call, &ask, deadline).await.map_err(|failure| {
            let stopped = failure.is("IncorrectState");
            let error = failure.error;
            if stopped {
                error.with_hint("the database service gives no wallet in the database's present state")
            } else {
                error
            }
        })?;
        if answer.body.len() > limit {
            return Err(call.refused(Kind::Malformed).with_hint(format!("it is longer than {limit} bytes")));
        }
        Ok(answer.body)
    }
}
