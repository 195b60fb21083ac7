//! Puts the commit that an image is built from beside the version; a build without one (`cargo install`) tells the version alone.

#[expect(clippy::disallowed_methods, reason = "how a build script talks with Cargo")]
fn main() {
    println!("cargo::rerun-if-env-changed=DIZZY_KEYS_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    let told = match std::env::var("DIZZY_KEYS_COMMIT") {
        Ok(commit) if !commit.is_empty() => format!("{version} (commit {commit})"),
        Ok(_) | Err(_) => version.to_owned(),
    };
    println!("cargo::rustc-env=DIZZY_KEYS_VERSION={told}");
}
