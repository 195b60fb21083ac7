//! Which addresses may be called: those on whose way nobody can read along.

use core::net::IpAddr;

use http::Uri;

/// Whether nobody on the way can read along: https, or http that does not leave this machine.
#[must_use]
pub fn may_be_called(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_loopback,
        Some(_) | None => false,
    }
}
