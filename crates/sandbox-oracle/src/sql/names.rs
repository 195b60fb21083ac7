//! Names: folded to upper case unless quoted.

/// The name as the dictionary keeps it.
pub(crate) fn fold(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => name.to_uppercase(),
    }
}
