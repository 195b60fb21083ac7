//! Buckets of the sandbox's S3 from outside the product: made, looked into and tampered with, without a signature.

use anyhow::{Context as _, Result, ensure};

use super::{ACCESS_KEY_ID, Moto, REGION};

/// What a bucket remembers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BucketKind {
    /// The present objects.
    Plain,
    /// Every version.
    Versioned,
    /// Every version, and none can be deleted for a day (Object Lock, mode COMPLIANCE, as the bucket's default).
    Locked,
}

impl Moto {
    /// Makes a bucket.
    ///
    /// # Errors
    /// If there is one of this name, or the server cannot be reached.
    pub fn create_bucket(&self, bucket: &str, kind: BucketKind) -> Result<()> {
        let place = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        let lock = if kind == BucketKind::Locked { "x-amz-bucket-object-lock-enabled: true\r\n" } else { "" };
        self.s3("PUT", &format!("/{bucket}"), lock, place.as_bytes())?;
        match kind {
            BucketKind::Plain => Ok(()),
            BucketKind::Versioned => {
                let on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
                self.s3("PUT", &format!("/{bucket}?versioning"), "", on).map(drop)
            }
            BucketKind::Locked => {
                let rule = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
                    <DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule>\
                    </ObjectLockConfiguration>";
                self.s3("PUT", &format!("/{bucket}?object-lock"), "", rule).map(drop)
            }
        }
    }

    /// Writes an object without a condition. The key must need no encoding.
    ///
    /// # Errors
    /// If there is no such bucket.
    pub fn put_object(&self, bucket: &str, key: &str, content: &[u8]) -> Result<()> {
        self.s3("PUT", &format!("/{bucket}/{key}"), "", content).map(drop)
    }

    /// Deletes an object; in a bucket with versions, puts a delete marker on top of it. The key must need no encoding.
    ///
    /// # Errors
    /// If there is no such bucket.
    pub fn delete_object(&self, bucket: &str, key: &str) -> Result<()> {
        self.s3("DELETE", &format!("/{bucket}/{key}"), "", b"").map(drop)
    }

    /// What an object holds; `None` if it is not there. The key must need no encoding.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn object(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let (status, body) = self.exchange("GET", &format!("/{bucket}/{key}"), &scope(), b"")?;
        ensure!(status == 200 || status == 404, "read {bucket}/{key}: HTTP {status}");
        Ok((status == 200).then_some(body))
    }

    fn s3(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Vec<u8>> {
        let (status, answer) = self.exchange(method, path, &format!("{}{headers}", scope()), body)?;
        ensure!((200..300).contains(&status), "{method} {path}: HTTP {status} {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }

    /// A key for the AWS command line of a user who may do this, from when [`Moto::check_signatures`] is called.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn create_user(&self, user: &str, policy: &str) -> Result<(String, String)> {
        let iam = |args: &[&str]| self.aws(&[&["iam"], args].concat());
        iam(&["create-user", "--user-name", user])?;
        iam(&["put-user-policy", "--user-name", user, "--policy-name", "p", "--policy-document", policy])?;
        let made = iam(&["create-access-key", "--user-name", user])?;
        let text = |name: &str| made.get("AccessKey").and_then(|key| key.get(name)?.as_str().map(str::to_owned));
        Ok((text("AccessKeyId").context("no key id")?, text("SecretAccessKey").context("no key")?))
    }
}

/// moto tells services apart by the scope of the signature, which it does not check unless told to.
fn scope() -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20200101/{REGION}/s3/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    )
}
