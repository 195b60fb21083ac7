//! Who may do what: permissions by the names that OCI's policy reference uses, for all resources or for named ones.
//!
//! The mapping from operation to permission follows the tables "Permissions Required for Each API Operation" of Oracle's IAM
//! documentation ("Details for the Vault Service", "Details for Object Storage", "Details for the Database Service"). Rights on
//! keys and vaults, which CreateSecret needs as well, are not emulated.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::{http::Refused, policy::Policy};

macro_rules! permissions {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// One permission of OCI's policy language.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Permission { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl Permission {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As policies write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

permissions! {
    AutonomousDatabaseContentRead = "AUTONOMOUS_DATABASE_CONTENT_READ",
    AutonomousDatabaseInspect = "AUTONOMOUS_DATABASE_INSPECT",
    AutonomousDatabaseUpdate = "AUTONOMOUS_DATABASE_UPDATE",
    BucketInspect = "BUCKET_INSPECT",
    BucketRead = "BUCKET_READ",
    ObjectCreate = "OBJECT_CREATE",
    ObjectDelete = "OBJECT_DELETE",
    ObjectInspect = "OBJECT_INSPECT",
    ObjectOverwrite = "OBJECT_OVERWRITE",
    ObjectRead = "OBJECT_READ",
    OnsTopicPublish = "ONS_TOPIC_PUBLISH",
    ParManage = "PAR_MANAGE",
    RetentionRuleLock = "RETENTION_RULE_LOCK",
    RetentionRuleManage = "RETENTION_RULE_MANAGE",
    SecretBundleInspect = "SECRET_BUNDLE_INSPECT",
    SecretBundleRead = "SECRET_BUNDLE_READ",
    SecretCreate = "SECRET_CREATE",
    SecretDelete = "SECRET_DELETE",
    SecretInspect = "SECRET_INSPECT",
    SecretMove = "SECRET_MOVE",
    SecretRead = "SECRET_READ",
    SecretUpdate = "SECRET_UPDATE",
    SecretVersionDelete = "SECRET_VERSION_DELETE",
    SecretVersionInspect = "SECRET_VERSION_INSPECT",
    SecretVersionRead = "SECRET_VERSION_READ",
}

/// What a principal may do. Empty at first.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    everywhere: BTreeSet<Permission>,
    on: BTreeMap<Permission, BTreeSet<String>>,
    policy: Policy,
}

impl Rights {
    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self { everywhere: Permission::ALL.iter().copied().collect(), ..Self::default() }
    }

    /// What these policy statements allow to this subject: `group NAME` or `dynamic-group NAME`.
    ///
    /// # Errors
    /// If a text is no statement, or names a kind of resource that is not emulated.
    pub fn of_statements(subject: &str, statements: &[String]) -> Result<Self> {
        Ok(Self { policy: Policy::of(subject, statements)?, ..Self::default() })
    }

    /// Adds a permission for every resource.
    #[must_use]
    pub fn allow(mut self, permission: Permission) -> Self {
        self.everywhere.insert(permission);
        self
    }

    /// Adds a permission for one resource: a secret's or database's OCID, a bucket's name, or `BUCKET/OBJECT`.
    #[must_use]
    pub fn allow_on(mut self, permission: Permission, resource: &str) -> Self {
        self.on.entry(permission).or_default().insert(resource.to_owned());
        self
    }

    /// Takes a permission away, for every resource and for each one.
    #[must_use]
    pub fn without(mut self, permission: Permission) -> Self {
        self.everywhere.remove(&permission);
        self.on.remove(&permission);
        self
    }

    /// Whether this may be done to that resource. A right on a bucket is a right on its objects.
    pub(crate) fn permits(&self, permission: Permission, resource: &str) -> bool {
        let parent = resource.split('/').next().unwrap_or_default();
        self.everywhere.contains(&permission)
            || self.on.get(&permission).is_some_and(|on| on.contains(resource) || on.contains(parent))
            || self.policy.permits(permission, resource)
    }

    /// Refuses as OCI does: what may not be done cannot be seen to exist.
    pub(crate) fn require(&self, permission: Permission, resource: &str) -> Result<(), Refused> {
        if self.permits(permission, resource) { Ok(()) } else { Err(Refused::hidden()) }
    }
}
