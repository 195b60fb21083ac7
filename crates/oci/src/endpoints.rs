//! Where each service of OCI is: its public address by region and realm, or the one that the user set.
//!
//! Host names as in Oracle's Python SDK (`service_endpoints.py` of oci 2.189.0).
//! There is no plaintext fallback: http is for emulators on the same machine.

use dizzy_host::port::{Kind, PortError, PortResult};
use dizzy_web::may_be_called;
use http::Uri;

use crate::regions::{realm_domain, region_name};

/// The services that are called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    /// Reading secrets.
    Secrets,
    /// Managing secrets.
    Vaults,
    /// Objects.
    ObjectStorage,
    /// Autonomous Databases.
    Database,
    /// Topics.
    Notifications,
    /// Tokens for instances.
    Auth,
}

/// Addresses that are set explicitly (`[oci.endpoints]`, `OCI_ENDPOINT_*`): scheme, host and port. The API version is added.
/// Plain http is accepted for loopback addresses only.
#[derive(Clone, Debug, Default)]
pub struct OciEndpoints {
    /// Reading secrets (`OCI_ENDPOINT_SECRETS`).
    pub secrets: Option<String>,
    /// Managing secrets (`OCI_ENDPOINT_VAULTS`).
    pub vaults: Option<String>,
    /// Objects (`OCI_ENDPOINT_OBJECTSTORAGE`).
    pub object_storage: Option<String>,
    /// Autonomous Databases (`OCI_ENDPOINT_DATABASE`).
    pub database: Option<String>,
    /// Topics (`OCI_ENDPOINT_NOTIFICATIONS`).
    pub notifications: Option<String>,
    /// Tokens for instances (`OCI_ENDPOINT_AUTH`).
    pub auth: Option<String>,
}

/// Which region, and the domain of its realm.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) region: Option<String>,
    pub(crate) realm_domain: Option<String>,
}

impl Place {
    /// A region, with the realm that it is known to be in.
    pub(crate) const fn region(region: Option<String>) -> Self {
        Self { region, realm_domain: None }
    }
}

/// An address to which paths are appended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Base {
    /// `https://vaults.us-ashburn-1.oci.oraclecloud.com`, without a slash at the end.
    pub(crate) origin: String,
    /// What the `host` header says: `vaults.us-ashburn-1.oci.oraclecloud.com`, with the port if one is written.
    pub(crate) host: String,
    /// What stands before every path: the version of the API, and what an override put before it.
    pub(crate) prefix: String,
}

impl Service {
    const fn variable(self) -> &'static str {
        match self {
            Self::Secrets => "OCI_ENDPOINT_SECRETS",
            Self::Vaults => "OCI_ENDPOINT_VAULTS",
            Self::ObjectStorage => "OCI_ENDPOINT_OBJECTSTORAGE",
            Self::Database => "OCI_ENDPOINT_DATABASE",
            Self::Notifications => "OCI_ENDPOINT_NOTIFICATIONS",
            Self::Auth => "OCI_ENDPOINT_AUTH",
        }
    }

    const fn version(self) -> &'static str {
        match self {
            Self::Secrets => "/20190301",
            Self::Vaults => "/20180608",
            Self::ObjectStorage => "",
            Self::Database => "/20160918",
            Self::Notifications => "/20181201",
            Self::Auth => "/v1",
        }
    }

    fn public(self, region: &str, domain: &str) -> String {
        match self {
            Self::Secrets => format!("https://secrets.vaults.{region}.oci.{domain}"),
            Self::Vaults => format!("https://vaults.{region}.oci.{domain}"),
            Self::ObjectStorage => format!("https://objectstorage.{region}.{domain}"),
            Self::Database => format!("https://database.{region}.{domain}"),
            Self::Notifications => format!("https://notification.{region}.{domain}"),
            Self::Auth => format!("https://auth.{region}.{domain}"),
        }
    }
}

impl OciEndpoints {
    /// The address of a service.
    ///
    /// # Errors
    /// `Denied` if no region is known, `Tls` if the address that was set is not https.
    pub(crate) fn base(&self, service: Service, place: &Place) -> PortResult<Base> {
        let set = match service {
            Service::Secrets => &self.secrets,
            Service::Vaults => &self.vaults,
            Service::ObjectStorage => &self.object_storage,
            Service::Database => &self.database,
            Service::Notifications => &self.notifications,
            Service::Auth => &self.auth,
        };
        if let Some(address) = set {
            return parse(address, service);
        }
        let region = place.region.as_deref().map(region_name).ok_or_else(|| {
            PortError::refused(Kind::Denied, "find the OCI region: there is none")
                .with_hint("set `region` in the profile of OCI's configuration file")
        })?;
        let domain = place.realm_domain.as_deref().unwrap_or_else(|| realm_domain(region));
        let is_name = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(&b))
        };
        if !is_name(region, b"-") || !is_name(domain, b"-.") {
            return Err(PortError::refused(Kind::Denied, "find the OCI region: its name cannot be right")
                .with_hint("a region is called like us-ashburn-1"));
        }
        parse(&service.public(region, domain), service)
    }
}

fn parse(address: &str, service: Service) -> PortResult<Base> {
    let refused = || {
        let what = format!("use the endpoint of {}: it is not https", service.variable());
        PortError::refused(Kind::Tls, what)
            .with_hint("the endpoint must begin with https://; http:// is accepted for loopback addresses only")
    };
    let uri: Uri = address.parse().map_err(|_| refused())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(refused()) };
    if !may_be_called(&uri) || authority.as_str().contains('@') || uri.query().is_some() {
        return Err(refused());
    }
    Ok(Base {
        origin: format!("{scheme}://{authority}"),
        host: authority.to_string(),
        prefix: format!("{}{}", uri.path().trim_end_matches('/'), service.version()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(region: Option<&str>) -> Place {
        Place { region: region.map(str::to_owned), realm_domain: None }
    }

    #[test]
    fn every_service_has_its_address_in_every_realm() {
        let none = OciEndpoints::default();
        for (service, region, origin, prefix) in [
            (Service::Secrets, "us-ashburn-1", "https://secrets.vaults.us-ashburn-1.oci.oraclecloud.com", "/20190301"),
            (Service::Vaults, "eu-frankfurt-2", "https://vaults.eu-frankfurt-2.oci.oraclecloud.eu", "/20180608"),
            (Service::ObjectStorage, "uk-gov-london-1", "https://objectstorage.uk-gov-london-1.oraclegovcloud.uk", ""),
            (Service::Database, "us-phoenix-1", "https://database.us-phoenix-1.oraclecloud.com", "/20160918"),
            (Service::Notifications, "us-phoenix-1", "https://notification.us-phoenix-1.oraclecloud.com", "/20181201"),
            (Service::Auth, "eu-madrid-2", "https://auth.eu-madrid-2.oraclecloud.eu", "/v1"),
            (Service::ObjectStorage, "xx-future-7", "https://objectstorage.xx-future-7.oraclecloud.com", ""),
        ] {
            let base = none.base(service, &place(Some(region))).unwrap();
            assert_eq!((base.origin.as_str(), base.prefix.as_str()), (origin, prefix));
        }
        let elsewhere = Place { realm_domain: Some("oraclecloud99.com".to_owned()), ..place(Some("xx-far-1")) };
        assert_eq!(none.base(Service::Vaults, &elsewhere).unwrap().host, "vaults.xx-far-1.oci.oraclecloud99.com");
    }

    #[test]
    fn without_a_region_or_with_a_strange_one_nothing_is_called() {
        for region in [None, Some(""), Some("us-ashburn-1.example.com/"), Some("US"), Some("a@b")] {
            let error = OciEndpoints::default().base(Service::Vaults, &place(region)).unwrap_err();
            assert_eq!(error.kind, Kind::Denied, "{region:?}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (address, host, prefix) in [
            ("https://vpce.example.com", "vpce.example.com", "/20180608"),
            ("https://vpce.example.com:8443/", "vpce.example.com:8443", "/20180608"),
            ("http://127.0.0.1:5000/oci/", "127.0.0.1:5000", "/oci/20180608"),
            ("http://[::1]:80", "[::1]:80", "/20180608"),
        ] {
            let set = OciEndpoints { vaults: Some(address.to_owned()), ..OciEndpoints::default() };
            let base = set.base(Service::Vaults, &place(None)).unwrap();
            assert_eq!((base.host.as_str(), base.prefix.as_str()), (host, prefix), "{address}");
        }
        for address in [
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com:80",
            "ftp://127.0.0.1",
            "vaults.example.com",
            "https://user@example.com",
            "https://example.com/?a",
            "",
        ] {
            let set = OciEndpoints { vaults: Some(address.to_owned()), ..OciEndpoints::default() };
            assert_eq!(set.base(Service::Vaults, &place(None)).unwrap_err().kind, Kind::Tls, "{address}");
        }
    }
}
