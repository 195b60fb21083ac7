//! Which call of this adapter needs which right: one table, from which policies are made.
//!
//! A call that is not in the table is denied to a deployment that follows its policy, so a new one has to be added here; a test
//! compares the table with the calls that were seen. What actions a call needs is from AWS's service authorization reference; where another
//! page says more, the row names it.

/// What something in AWS is used for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Usage {
    /// A secret that a set publishes in.
    Published,
    /// A secret that is only read.
    Referenced,
    /// A parameter that is read.
    Parameter,
    /// Registers, read and written.
    Registers,
    /// Registers, read only. Of a set that has none S3 says then that it is denied.
    RegistersRead,
    /// The trail, read and added to.
    Trail,
    /// The trail, read only, with former versions of its objects.
    TrailRead,
    /// One object that is read.
    Object,
    /// A topic that notices are sent to.
    Topic,
}

/// What the right is about, as far as the usage leaves a choice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum On {
    /// The secret, the parameter, or every object below the prefix.
    Itself,
    /// The bucket.
    Bucket,
}

/// Under which condition of the request the right is enough.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Only {
    /// Under none.
    Always,
    /// The object must not be there: the request has `If-None-Match`.
    Creating,
    /// The object must be as it was seen: the request has `If-Match`.
    Replacing,
}

/// One right and the call that needs it.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// What the thing is used for.
    pub usage: Usage,
    /// The operation, by the name of its API reference.
    pub call: &'static str,
    /// The action of IAM.
    pub action: &'static str,
    /// What the right is about.
    pub on: On,
    /// When it is enough.
    pub only: Only,
    /// What the call is made for.
    pub why: &'static str,
}

/// A right that AWS asks for on the caller's key when a service encrypts or decrypts for him.
#[derive(Clone, Copy, Debug)]
pub struct KeyRight {
    /// What the thing behind the key is used for.
    pub usage: Usage,
    /// The service that uses the key: the first label of its host name, as `kms:ViaService` has it.
    pub service: &'static str,
    /// The action of IAM.
    pub action: &'static str,
    /// What the service does with it.
    pub why: &'static str,
}

const fn plain(usage: Usage, call: &'static str, action: &'static str, why: &'static str) -> Right {
    Right { usage, call, action, on: On::Itself, only: Only::Always, why }
}

const fn written(usage: Usage, only: Only, why: &'static str) -> Right {
    Right { usage, call: "PutObject", action: "s3:PutObject", on: On::Itself, only, why }
}

const fn bucket(usage: Usage, call: &'static str, action: &'static str, why: &'static str) -> Right {
    Right { usage, call, action, on: On::Bucket, only: Only::Always, why }
}

/// Every call.
///
/// `s3:if-match` and `s3:if-none-match` are condition keys of `s3:PutObject` (S3 user guide, "Enforce conditional writes"); a
/// replacement under `If-Match` needs `s3:GetObject` besides (the same guide, "Conditional writes").
pub const RIGHTS: &[Right] = &[
    plain(
        Usage::Published,
        "DescribeSecret",
        "secretsmanager:DescribeSecret",
        "where every label is: `check`, `prepare`, and whenever an answer has two meanings",
    ),
    plain(
        Usage::Published,
        "GetSecretValue",
        "secretsmanager:GetSecretValue",
        "what is published, and what was staged, read back before it counts",
    ),
    plain(Usage::Published, "PutSecretValue", "secretsmanager:PutSecretValue", "the next generation, staged"),
    plain(
        Usage::Published,
        "UpdateSecretVersionStage",
        "secretsmanager:UpdateSecretVersionStage",
        "labels move: publication, names of generations that nothing needs",
    ),
    plain(Usage::Referenced, "GetSecretValue", "secretsmanager:GetSecretValue", "the secret is read"),
    plain(Usage::Parameter, "GetParameter", "ssm:GetParameter", "the parameter is read, decrypted"),
    plain(Usage::Registers, "GetObject", "s3:GetObject", "where each set stands"),
    written(Usage::Registers, Only::Creating, "the register of a set that has none"),
    written(Usage::Registers, Only::Replacing, "the register, if it is still the one that was read"),
    // S3 user guide, "Required permissions for Amazon S3 API operations", GetObject: 404 for a key that is not there, or 403.
    bucket(
        Usage::Registers,
        "GetObject",
        "s3:ListBucket",
        "S3 says that there is no register only to those who may list",
    ),
    plain(Usage::RegistersRead, "GetObject", "s3:GetObject", "where each set stands, and which record is the last"),
    plain(
        Usage::Trail,
        "GetObject",
        "s3:GetObject",
        "records behind the register's head: what a dead worker wrote last",
    ),
    written(Usage::Trail, Only::Creating, "records, each in an object that is new"),
    bucket(Usage::Trail, "ListObjectsV2", "s3:ListBucket", "where the trail ends"),
    plain(Usage::TrailRead, "GetObject", "s3:GetObject", "every record"),
    bucket(Usage::TrailRead, "ListObjectsV2", "s3:ListBucket", "which records there are"),
    bucket(
        Usage::TrailRead,
        "ListObjectVersions",
        "s3:ListBucketVersions",
        "whether an object was replaced or deleted",
    ),
    plain(Usage::Object, "GetObject", "s3:GetObject", "the object is read"),
    plain(Usage::Topic, "Publish", "sns:Publish", "notices of how sets have ended"),
];

const fn key(usage: Usage, service: &'static str, action: &'static str, why: &'static str) -> KeyRight {
    KeyRight { usage, service, action, why }
}

/// What customer managed keys add. The keys that AWS manages need nothing (Secrets Manager user guide, "Secret encryption and
/// decryption"; Systems Manager user guide, "AWS KMS encryption for SecureString parameters"; S3 user guide, "Using server-side encryption with AWS KMS keys").
pub const KEY_RIGHTS: &[KeyRight] = &[
    key(Usage::Published, "secretsmanager", "kms:Decrypt", "the secret's value is decrypted"),
    key(Usage::Published, "secretsmanager", "kms:GenerateDataKey", "a new version is encrypted"),
    key(Usage::Referenced, "secretsmanager", "kms:Decrypt", "the secret's value is decrypted"),
    key(Usage::Parameter, "ssm", "kms:Decrypt", "the parameter is decrypted"),
    key(Usage::Registers, "s3", "kms:Decrypt", "objects are decrypted"),
    key(Usage::Registers, "s3", "kms:GenerateDataKey", "objects are encrypted"),
    key(Usage::RegistersRead, "s3", "kms:Decrypt", "objects are decrypted"),
    key(Usage::Trail, "s3", "kms:Decrypt", "objects are decrypted"),
    key(Usage::Trail, "s3", "kms:GenerateDataKey", "objects are encrypted"),
    key(Usage::TrailRead, "s3", "kms:Decrypt", "objects are decrypted"),
    key(Usage::Object, "s3", "kms:Decrypt", "the object is decrypted"),
];
