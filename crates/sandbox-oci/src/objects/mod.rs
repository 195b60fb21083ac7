//! Object Storage: buckets and what is common to everything in them.
//!
//! `data` reads and writes objects, `retention` keeps them, `preauthenticated` opens them to whoever has a URL. Conditional
//! requests and their codes follow measurements on a real tenancy that the README names. Versioning is not emulated.

mod data;
mod preauthenticated;
mod retention;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    COMPARTMENT, NAMESPACE,
    clock::text,
    control::{BucketOptions, ObjectView, told},
    emulator::OciEmulator,
    faults::held,
    http::{Refused, Reply, Request},
    keys::{hex, random},
    rights::{Permission, Rights},
    route::{Operation, Service, Target},
};

pub(crate) use preauthenticated::open as preauthenticated;
use retention::Rule;

/// All buckets of the namespace.
#[derive(Debug)]
pub(crate) struct Objects {
    buckets: BTreeMap<String, Bucket>,
    /// Status and code for a change of a retained object.
    retained: (u16, &'static str),
}

#[derive(Debug)]
struct Bucket {
    name: String,
    etag: String,
    created: Timestamp,
    objects: BTreeMap<String, Object>,
    rules: Vec<Rule>,
    requests: Vec<preauthenticated::Granted>,
}

#[derive(Clone, Debug)]
struct Object {
    content: Vec<u8>,
    content_type: String,
    etag: String,
    md5: String,
    metadata: Vec<(String, String)>,
    created: Timestamp,
    modified: Timestamp,
}

impl Objects {
    pub(crate) const fn new(retained: (u16, &'static str)) -> Self {
        Self { buckets: BTreeMap::new(), retained }
    }

    /// The bucket of a path that begins with namespace and bucket.
    fn bucket(&mut self, target: &Target) -> Result<&mut Bucket, Refused> {
        if target.name(0) != NAMESPACE {
            let message = format!(
                "You do not have authorization to perform this request, or the namespace {} does not exist.",
                target.name(0)
            );
            return Err(Refused::new(404, "NamespaceNotFound", message));
        }
        self.buckets.get_mut(target.name(1)).ok_or_else(|| no_bucket(target.name(1)))
    }
}

/// Answers a signed call of Object Storage.
pub(crate) fn answer(
    objects: &mut Objects,
    target: &Target,
    request: &Request,
    rights: &Rights,
    now: Timestamp,
) -> Result<Reply, Refused> {
    let (bucket, object) = (target.name(1), target.name(2));
    let on_object = format!("{bucket}/{object}");
    let may = |permission: Permission, resource: &str| {
        if rights.permits(permission, resource) { Ok(()) } else { Err(no_bucket(bucket)) }
    };
    let retained = objects.retained;
    match target.operation {
        Operation::GetNamespace => return Ok(Reply::json(200, &json!(NAMESPACE))),
        Operation::GetBucket => may(Permission::BucketRead, bucket)?,
        Operation::HeadBucket => may(Permission::BucketInspect, bucket)?,
        Operation::ListObjects => may(Permission::ObjectInspect, bucket)?,
        Operation::GetObject => may(Permission::ObjectRead, &on_object)?,
        // Either right will do. Oracle documentation, "Details for Object Storage".
        Operation::HeadObject => {
            may(Permission::ObjectInspect, &on_object).or_else(|_| may(Permission::ObjectRead, &on_object))?;
        }
        Operation::DeleteObject => may(Permission::ObjectDelete, &on_object)?,
        Operation::PutObject => {
            may(Permission::ObjectCreate, &on_object).or_else(|_| may(Permission::ObjectOverwrite, &on_object))?;
        }
        Operation::CreatePreauthenticatedRequest
        | Operation::ListPreauthenticatedRequests
        | Operation::DeletePreauthenticatedRequest => may(Permission::ParManage, bucket)?,
        Operation::CreateRetentionRule | Operation::DeleteRetentionRule => {
            may(Permission::RetentionRuleManage, bucket)?;
        }
        Operation::GetRetentionRule | Operation::ListRetentionRules => may(Permission::BucketRead, bucket)?,
        _ => return Err(Refused::hidden()),
    }
    let bucket = objects.bucket(target)?;
    match target.operation {
        Operation::GetBucket | Operation::HeadBucket => {
            let shape = json!({
                "namespace": NAMESPACE, "name": bucket.name, "compartmentId": COMPARTMENT, "createdBy": "sandbox",
                "timeCreated": text(bucket.created), "etag": bucket.etag, "publicAccessType": "NoPublicAccess",
                "storageTier": "Standard", "versioning": "Disabled", "metadata": {}, "isReadOnly": false,
            });
            Ok(Reply::json(200, &shape).with("etag", bucket.etag.clone()))
        }
        Operation::ListObjects => data::list(bucket, request),
        Operation::GetObject | Operation::HeadObject => data::get(bucket, object, request),
        Operation::DeleteObject => data::delete(bucket, object, request, retained, now),
        Operation::PutObject => {
            let (create, overwrite) = (Permission::ObjectCreate, Permission::ObjectOverwrite);
            let allowed = data::Writes {
                create: rights.permits(create, &on_object),
                overwrite: rights.permits(overwrite, &on_object),
            };
            data::put(bucket, object, request, allowed, retained, now)
        }
        Operation::CreatePreauthenticatedRequest => preauthenticated::create(bucket, request, now),
        Operation::ListPreauthenticatedRequests => Ok(preauthenticated::list(bucket)),
        Operation::DeletePreauthenticatedRequest => preauthenticated::delete(bucket, object),
        Operation::CreateRetentionRule => {
            retention::create(bucket, request, rights.permits(Permission::RetentionRuleLock, target.name(1)), now)
        }
        Operation::GetRetentionRule => retention::get(bucket, object),
        Operation::ListRetentionRules => Ok(retention::list(bucket)),
        Operation::DeleteRetentionRule => retention::delete(bucket, object, now),
        _ => Err(Refused::hidden()),
    }
}

/// What is said of a bucket that is not there, and of one that the caller may not use in this way.
fn no_bucket(bucket: &str) -> Refused {
    let message = format!("Either the bucket named '{bucket}' does not exist or you are not authorized to access it");
    Refused::new(404, "BucketNotFound", message)
}

/// Etags are UUIDs and no function of the content.
fn uuid() -> Result<String, Refused> {
    let bytes: [u8; 16] = random().map_err(|_| Refused::new(500, "InternalServerError", "no randomness"))?;
    let digits = hex(&bytes);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

impl OciEmulator {
    /// Makes an empty bucket.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn create_bucket(&self, name: &str, options: &BucketOptions) -> Result<()> {
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        let rules = options.retention_days.map(|days| Rule::of_days(days, now)).transpose().map_err(told)?;
        let bucket = Bucket {
            name: name.to_owned(),
            etag: uuid().map_err(told)?,
            created: now,
            objects: BTreeMap::new(),
            rules: rules.into_iter().collect(),
            requests: Vec::new(),
        };
        world.objects.buckets.insert(name.to_owned(), bucket);
        Ok(())
    }

    /// Puts an object, past rights, conditions and rules.
    ///
    /// # Errors
    /// If there is no such bucket.
    pub fn put_object(&self, bucket: &str, name: &str, content: impl Into<Vec<u8>>) -> Result<()> {
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        let bucket = world.objects.buckets.get_mut(bucket).context("there is no such bucket")?;
        let object = Object::new(content.into(), "application/octet-stream", Vec::new(), now).map_err(told)?;
        bucket.objects.insert(name.to_owned(), object);
        Ok(())
    }

    /// A pre-authenticated URL that reads an object for this long, past rights. The object need not be there yet.
    ///
    /// # Errors
    /// If there is no such bucket, or no randomness.
    pub fn read_url(&self, bucket: &str, object: &str, valid_for: SignedDuration) -> Result<String> {
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        let bucket = world.objects.buckets.get_mut(bucket).context("there is no such bucket")?;
        let path = preauthenticated::grant_read(bucket, object, now.checked_add(valid_for)?, now).map_err(told)?;
        Ok(format!("{}{path}", self.endpoint(Service::ObjectStorage)))
    }

    /// Takes an object away, past rights, conditions and rules; says whether it was there.
    #[must_use]
    pub fn remove_object(&self, bucket: &str, name: &str) -> bool {
        let mut world = held(&self.shared.world);
        world.objects.buckets.get_mut(bucket).is_some_and(|bucket| bucket.objects.remove(name).is_some())
    }

    /// The objects of a bucket, by name. None if there is no such bucket.
    #[must_use]
    pub fn objects(&self, bucket: &str) -> Vec<ObjectView> {
        let world = held(&self.shared.world);
        let objects = world.objects.buckets.get(bucket).map(|bucket| &bucket.objects);
        let view = |(name, object): (&String, &Object)| ObjectView {
            name: name.clone(),
            content: object.content.clone(),
            etag: object.etag.clone(),
            metadata: object.metadata.clone(),
        };
        objects.into_iter().flatten().map(view).collect()
    }
}
