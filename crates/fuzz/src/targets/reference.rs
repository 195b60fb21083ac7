//! References to secrets: what is accepted reads back as it was written.

use dizzy_host::reference::Reference;

use super::{Target, kind_of};

pub(super) const TARGET: Target = Target {
    name: "reference",
    deep: "oci-vault true",
    run,
    words: &[
        "aws-sm:",
        "aws-ssm:/",
        "env:",
        "file:",
        "oci-vault:",
        "arn:aws:",
        "ocid1.",
        "#",
        ":0",
        ":+1",
        ":18446744073709551616",
    ],
};

fn run(data: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(data) else { return "not UTF-8".to_owned() };
    match text.parse::<Reference>() {
        Ok(reference) => {
            assert_eq!(reference.to_string().parse(), Ok(reference), "a reference reads back");
            let scheme = text.split(':').next().unwrap_or_default();
            format!("{scheme} {}", text.contains('#'))
        }
        Err(error) => kind_of(&error.to_string()),
    }
}
