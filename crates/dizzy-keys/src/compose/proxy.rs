//! The proxy of the environment, read as other tools read it. Only what goes over https goes through it.

use dizzy_host::proxy::{NotAProxy, Proxy};

use crate::{
    code::Code,
    environment,
    report::{NOTHING_DONE, Report},
};

/// Where the address is, in the order in which they are looked at; curl knows the same.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// What is reached without it.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxy, if there is one.
///
/// # Errors
/// If the variable holds no address of an HTTP proxy: nothing is called past a proxy that was asked for. The value is not shown.
pub(crate) fn proxy() -> Result<Option<Proxy>, Report> {
    let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, environment::text(name)?)));
    let Some((name, url)) = first(&VARIABLES) else { return Ok(None) };
    let exceptions = first(&EXCEPTIONS).map(|(_, names)| names).unwrap_or_default();
    Proxy::parse(&url, &exceptions).map(Some).map_err(|NotAProxy| {
        let what = format!("{name}: its value is no address of an HTTP proxy");
        Report::new(Code::ConfigValue, what, NOTHING_DONE)
            .hint("expected http://HOST:PORT, with USER:PASSWORD@ before the host if the proxy asks for them; docs/proxies.md")
    })
}

/// The same for what is put together after [`proxy`] has been looked at.
pub(super) fn known() -> Option<Proxy> {
    proxy().ok().flatten()
}
