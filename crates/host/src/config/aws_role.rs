//! `[aws]`: which role is assumed, checked as STS would (STS API reference, `AssumeRole`).

use core::ops::RangeInclusive;

use super::{
    model::AwsModel,
    resolve::{At, Resolved},
    resolved::AwsRole,
};

/// Without `session_name`.
const SESSION_NAME: &str = "dizzy-keys";
/// Lengths that STS takes.
const ARN: RangeInclusive<usize> = 20..=2048;
const EXTERNAL_ID: RangeInclusive<usize> = 2..=1224;
const NAME: RangeInclusive<usize> = 2..=64;

pub(super) fn resolve(at: &At<'_>, model: AwsModel) -> Resolved<Option<AwsRole>> {
    let Some(arn) = model.role_arn else {
        for (key, value) in [("external_id", &model.external_id), ("session_name", &model.session_name)] {
            if value.is_some() {
                return Err(at.key(key).wrong("this belongs to a role, and there is none", "set `role_arn` too"));
            }
        }
        return Ok(None);
    };
    if !is_role(&arn) {
        return Err(at.key("role_arn").wrong("this is not the ARN of a role", "`arn:aws:iam::123456789012:role/NAME`"));
    }
    let plain = |key: &str, text: String, length: &RangeInclusive<usize>, more: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) || more.contains(c);
        if length.contains(&text.len()) && text.chars().all(good) {
            return Ok(text);
        }
        let (least, most) = (length.start(), length.end());
        let hint = format!("{least} to {most} letters, digits and `_+=,.@-{more}`");
        Err(at.key(key).wrong("STS would not take this", hint))
    };
    let external_id = model.external_id.map(|id| plain("external_id", id, &EXTERNAL_ID, ":/")).transpose()?;
    let name = model.session_name.unwrap_or_else(|| SESSION_NAME.to_owned());
    Ok(Some(AwsRole { arn, external_id, session_name: plain("session_name", name, &NAME, "")? }))
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts.as_slice() else { return false };
    let name = role.strip_prefix("role/").unwrap_or_default();
    let good_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let good_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=,.@-".contains(&b));
    ARN.contains(&arn.len()) && partition.starts_with("aws") && good_account && good_name
}
