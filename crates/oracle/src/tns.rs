//! Oracle Net descriptors: `tnsnames.ora`, and where a service is.
//!
//! A descriptor is a tree of `(KEY=value)`. Of it are taken: addresses, service name, and the name demanded of the server's certificate.
//! Settings for retries, time-outs, load balancing and wallets are left out: every wait here has a limit of our own, and an alias of the
//! Autonomous Database would try a wrong service for over a minute (`retry_count=20`, `retry_delay=3`). Every address must be TLS.
//! Syntax: Oracle documentation, "Database Net Services Reference", chapter "Local Naming Parameters in the tnsnames.ora File".

use std::collections::BTreeMap;

use dizzy_host::port::{Kind, PortError, PortResult};
use rustls_pki_types::ServerName;

use crate::dn::DistinguishedName;

/// Deepest nesting; real descriptors have five levels.
const DEPTH_LIMIT: usize = 16;
/// Most aliases of a file; the Autonomous Database lists five, a company's file some hundreds.
const ALIAS_LIMIT: usize = 4096;
/// Most addresses that one service is looked for at.
const ADDRESS_LIMIT: usize = 16;
/// Port of TLS listeners if a descriptor names none (Oracle documentation: "Database Net Services Administrator's Guide").
pub(crate) const DEFAULT_PORT: u16 = 2484;

/// One address of a listener that speaks TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    /// As written, for connect data and messages.
    pub(crate) host: String,
    /// As TLS verifies it.
    pub(crate) name: ServerName<'static>,
    pub(crate) port: u16,
}

/// Where a service is, and what its server must be called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// In the order in which they are tried; at least one.
    pub(crate) addresses: Vec<Address>,
    pub(crate) service: String,
    /// The name demanded of the certificate, instead of the host's.
    pub(crate) dn: Option<DistinguishedName>,
}

impl Address {
    /// Checks the host. It becomes part of connect data, so what could end a value there is refused with it.
    pub(crate) fn new(host: &str, port: u16) -> PortResult<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            malformed(format!("the host `{}` is neither a DNS name nor an IP address", host.escape_debug()))
        })?;
        Ok(Self { host: host.to_owned(), name, port })
    }
}

impl Place {
    /// A service at one address.
    pub(crate) fn at(host: &str, port: u16, service: &str) -> PortResult<Self> {
        Ok(Self { addresses: vec![Address::new(host, port)?], service: checked_service(service)?, dn: None })
    }

    /// Understands a descriptor.
    pub(crate) fn parse(descriptor: &str) -> PortResult<Self> {
        let mut reader = Reader { rest: descriptor };
        let node = reader.node(0)?;
        reader.skip_blank();
        if !reader.rest.is_empty() {
            return Err(malformed("there is text behind a descriptor"));
        }
        let mut found = Found::default();
        found.take(&node)?;
        let service = found.service.ok_or_else(|| match found.sid {
            true => {
                malformed("it names a SID").with_hint("name the service instead: (CONNECT_DATA=(SERVICE_NAME=...))")
            }
            false => malformed("it names no service"),
        })?;
        if found.addresses.is_empty() {
            return Err(malformed("it has no address"));
        }
        let dn = match found.dn {
            Some(text) => Some(DistinguishedName::parse(&text).ok_or_else(|| {
                malformed("its ssl_server_cert_dn is not understood")
                    .with_hint("write CN, OU, O, L, ST, C and DC only, as in the server's certificate")
            })?),
            None => None,
        };
        Ok(Self { addresses: found.addresses, service, dn })
    }
}

/// A `tnsnames.ora`: descriptors by alias, in upper case, understood when they are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aliases(BTreeMap<String, String>);

impl Aliases {
    /// Splits a file into its entries. An alias that is defined twice has its last meaning, as for Oracle's clients.
    pub(crate) fn parse(text: &str) -> PortResult<Self> {
        let text: String =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]).collect();
        let mut entries = BTreeMap::new();
        let mut rest = text.as_str();
        while let Some((names, after)) = rest.split_once('=') {
            let end = end_of_value(after).ok_or_else(|| malformed("tnsnames.ora: a parenthesis is not closed"))?;
            let (value, after) = after.split_at_checked(end).unwrap_or((after, ""));
            for name in names.split(',').map(str::trim) {
                entries.insert(name.to_ascii_uppercase(), value.trim().to_owned());
            }
            if entries.len() > ALIAS_LIMIT {
                return Err(malformed("tnsnames.ora has more than 4096 aliases"));
            }
            rest = after;
        }
        if !rest.trim().is_empty() {
            return Err(malformed("tnsnames.ora: there is text that is no entry"));
        }
        Ok(Self(entries))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Where an alias leads.
    pub(crate) fn find(&self, alias: &str) -> PortResult<Place> {
        if let Some(descriptor) = self.0.get(&alias.to_ascii_uppercase()) {
            return Place::parse(descriptor);
        }
        let known = self.names().map(str::to_ascii_lowercase).collect::<Vec<_>>().join(", ");
        let error = PortError::refused(Kind::NotFound, format!("find the alias `{}`", alias.escape_debug()));
        Err(error.with_hint(match known.is_empty() {
            true => "there is no tnsnames.ora: set `host`, `port` and `service_name`, or use a wallet that has one"
                .to_owned(),
            false => format!("the wallet's tnsnames.ora has: {known}"),
        }))
    }
}

/// Where the value that begins here ends: behind its last parenthesis, or at the end of a line without any.
fn end_of_value(text: &str) -> Option<usize> {
    let start = text.len() - text.trim_start().len();
    if !text.trim_start().starts_with('(') {
        return Some(text.get(start..)?.find('\n').map_or(text.len(), |end| start + end));
    }
    let (mut depth, mut quoted) = (0_usize, false);
    for (place, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(place + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// `(KEY=value)`, the key in upper case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// What a key holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// A text, without its quotes.
    Text(String),
    /// More keys.
    Nodes(Vec<Node>),
}

impl Node {
    /// Reads one whole `(KEY=...)`.
    pub(crate) fn parse(text: &str) -> PortResult<Self> {
        Reader { rest: text }.node(0)
    }

    /// The nodes below, if that is what it holds.
    pub(crate) fn nodes(&self) -> &[Self] {
        match &self.value {
            Value::Nodes(nodes) => nodes,
            Value::Text(_) => &[],
        }
    }

    /// As it is written on the wire.
    pub(crate) fn render(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("({}={text})", self.key),
            Value::Nodes(nodes) => format!("({}={})", self.key, nodes.iter().map(Self::render).collect::<String>()),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expect(&mut self, character: char) -> PortResult<()> {
        self.skip_blank();
        self.rest =
            self.rest.strip_prefix(character).ok_or_else(|| malformed(format!("a `{character}` is missing")))?;
        Ok(())
    }

    fn until(&mut self, ends: &[char]) -> String {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        text.trim().to_owned()
    }

    fn node(&mut self, depth: usize) -> PortResult<Node> {
        if depth > DEPTH_LIMIT {
            return Err(malformed("a descriptor is nested too deeply"));
        }
        self.expect('(')?;
        let key = self.until(&['=', '(', ')']).to_ascii_uppercase();
        self.expect('=')?;
        self.skip_blank();
        let value = if self.rest.starts_with('(') {
            let mut nodes = Vec::new();
            while self.rest.starts_with('(') {
                nodes.push(self.node(depth + 1)?);
                self.skip_blank();
            }
            Value::Nodes(nodes)
        } else if let Some(quoted) = self.rest.strip_prefix('"') {
            let (text, rest) = quoted.split_once('"').ok_or_else(|| malformed("a quote is not closed"))?;
            self.rest = rest;
            Value::Text(text.to_owned())
        } else {
            Value::Text(self.until(&['(', ')']))
        };
        self.expect(')')?;
        Ok(Node { key, value })
    }
}

/// What a walk through a descriptor has come across.
#[derive(Default)]
struct Found {
    addresses: Vec<Address>,
    service: Option<String>,
    sid: bool,
    dn: Option<String>,
}

impl Found {
    fn take(&mut self, node: &Node) -> PortResult<()> {
        match (node.key.as_str(), &node.value) {
            ("ADDRESS", Value::Nodes(fields)) => self.take_address(fields),
            (
                "DESCRIPTION_LIST" | "DESCRIPTION" | "ADDRESS_LIST" | "CONNECT_DATA" | "SECURITY",
                Value::Nodes(nodes),
            ) => nodes.iter().try_for_each(|node| self.take(node)),
            ("SERVICE_NAME", Value::Text(service)) => {
                let service = checked_service(service)?;
                if self.service.as_ref().is_some_and(|known| *known != service) {
                    return Err(malformed("it names two services"));
                }
                self.service = Some(service);
                Ok(())
            }
            ("SID", Value::Text(_)) => {
                self.sid = true;
                Ok(())
            }
            ("SSL_SERVER_CERT_DN", Value::Text(name)) => {
                if self.dn.as_ref().is_some_and(|known| known != name) {
                    return Err(malformed("it demands two names of the server's certificate"));
                }
                self.dn = Some(name.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_address(&mut self, fields: &[Node]) -> PortResult<()> {
        let field = |key: &str| {
            fields.iter().find_map(|node| match &node.value {
                Value::Text(text) if node.key == key => Some(text.as_str()),
                Value::Text(_) | Value::Nodes(_) => None,
            })
        };
        if !field("PROTOCOL").is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcps")) {
            return Err(malformed("an address is not TLS")
                .with_hint("use the listener's TLS port and (PROTOCOL=tcps); a connection without TLS is never used"));
        }
        if self.addresses.len() >= ADDRESS_LIMIT {
            return Err(malformed("it has more than 16 addresses"));
        }
        let host = field("HOST").ok_or_else(|| malformed("an address has no host"))?;
        let port = match field("PORT") {
            Some(port) => port.parse().map_err(|_| malformed("an address has a port that is no number"))?,
            None => DEFAULT_PORT,
        };
        self.addresses.push(Address::new(host, port)?);
        Ok(())
    }
}

/// Service names become part of connect data: what could end a value there is refused.
fn checked_service(service: &str) -> PortResult<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$' | '#');
    if service.is_empty() || service.len() > 255 || !service.chars().all(plain) {
        return Err(malformed("the service name is empty, too long, or has characters that no service name has"));
    }
    Ok(service.to_owned())
}

fn malformed(why: impl core::fmt::Display) -> PortError {
    PortError::refused(Kind::Malformed, format!("read the service's descriptor: {why}")).with_hint(
        "compare it with what the database service writes into its wallets, or set `host`, `port` and `service_name`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADB: &str = r#"# made by the database service
orders_high, ORDERS_HI = (description= (retry_count=20)(retry_delay=3)(address=(protocol=tcps)(port=1522)(host=adb.example.com))
  (connect_data=(service_name=g1_orders_high.adb.example.com))(security=(ssl_server_dn_match=yes)))

orders_low =
  (DESCRIPTION=
    (ADDRESS=(PROTOCOL=TCPS)(HOST=adb.example.com)(PORT=1522))
    (CONNECT_DATA=(SERVICE_NAME=g1_orders_low.adb.example.com))
    (SECURITY=(SSL_SERVER_CERT_DN="CN=adb.example.com, O=Example (US), C=US")))
"#;

    #[test]
    fn aliases_are_found_in_any_case_and_under_each_name() {
        let aliases = Aliases::parse(ADB).unwrap();
        assert_eq!(aliases.names().collect::<Vec<_>>(), ["ORDERS_HI", "ORDERS_HIGH", "ORDERS_LOW"]);
        for alias in ["orders_high", "Orders_Hi"] {
            let place = aliases.find(alias).unwrap();
            assert_eq!(place, Place::at("adb.example.com", 1522, "g1_orders_high.adb.example.com").unwrap());
        }
        let dn = aliases.find("orders_low").unwrap().dn.unwrap();
        assert!(dn.matches(&DistinguishedName::parse("C=US,O=Example (US),CN=adb.example.com").unwrap()));
    }

    #[test]
    fn an_unknown_alias_names_the_known_ones() {
        let error = Aliases::parse(ADB).unwrap().find("orders_tp").unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.hint.unwrap().contains("orders_high, orders_low"));
        assert!(Aliases::default().find("x").unwrap_err().hint.unwrap().contains("no tnsnames.ora"));
    }

    #[test]
    fn several_addresses_are_kept_in_order() {
        let place = Place::parse(
            "(DESCRIPTION_LIST=(DESCRIPTION=(LOAD_BALANCE=ON)(ADDRESS_LIST=(ADDRESS=(PROTOCOL=tcps)(HOST=a.test)(PORT=1))\
             (ADDRESS=(PROTOCOL=tcps)(HOST=10.0.0.2)))(CONNECT_DATA=(SERVICE_NAME=s))))",
        )
        .unwrap();
        let seen: Vec<_> = place.addresses.iter().map(|address| (address.host.as_str(), address.port)).collect();
        assert_eq!(seen, [("a.test", 1), ("10.0.0.2", DEFAULT_PORT)]);
    }

    #[test]
    fn an_address_without_tls_refuses_the_descriptor() {
        for protocol in ["(PROTOCOL=tcp)", "", "(PROTOCOL=ipc)"] {
            let text = format!("(DESCRIPTION=(ADDRESS={protocol}(HOST=h)(PORT=1))(CONNECT_DATA=(SERVICE_NAME=s)))");
            assert!(Place::parse(&text).unwrap_err().what.contains("not TLS"), "{protocol}");
        }
    }

    #[test]
    fn what_could_break_out_of_connect_data_is_refused() {
        for (host, service) in [("h)(X=1", "s"), ("h", "s)(SERVER=x"), ("", "s"), ("h", ""), ("a b", "s"), ("h", "s s")]
        {
            assert!(Place::at(host, 1, service).is_err(), "{host} {service}");
        }
    }

    #[test]
    fn broken_descriptors_say_what_is_wrong() {
        let security = "(SECURITY=(SSL_SERVER_CERT_DN=E=a@b))";
        for (text, why) in [
            ("(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=s)))".to_owned(), "no address"),
            ("(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=h))(CONNECT_DATA=(SID=x)))".to_owned(), "a SID"),
            ("(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=h)))".to_owned(), "no service"),
            ("(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(PORT=1))(CONNECT_DATA=(SERVICE_NAME=s)))".to_owned(), "no host"),
            ("(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=h)(PORT=99999)))".to_owned(), "no number"),
            ("(DESCRIPTION=".to_owned(), "missing"),
            ("(A=1) b".to_owned(), "text behind"),
            ("(".repeat(40), "missing"),
            ("(A=".repeat(40), "too deeply"),
            (
                format!("(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=h))(CONNECT_DATA=(SERVICE_NAME=s)){security})"),
                "ssl_server_cert_dn",
            ),
        ] {
            let error = Place::parse(&text).unwrap_err();
            assert!(error.what.contains(why), "{text}: {}", error.what);
        }
        for text in ["a = (b", "a = (b=c))\nd", "just text"] {
            assert_eq!(Aliases::parse(text).unwrap_err().kind, Kind::Malformed, "{text}");
        }
    }

    #[test]
    fn nodes_are_rendered_as_they_were_read() {
        let text = "(CONNECT_DATA=(SERVICE_NAME=s)(CID=(PROGRAM=dizzy-keys)(HOST=h)))";
        assert_eq!(Node::parse(text).unwrap().render(), text);
    }
}
