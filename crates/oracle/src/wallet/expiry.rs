//! For how long a wallet is good: its client certificate and the certificates of authorities in it, in days left.

use dizzy_host::port::{Finding, Kind, Severity};
use rustls_pki_types::CertificateDer;

use crate::{der::Certificate, dn};

/// With this much left or less, a warning begins: a wallet is renewed by people, who may be away for some weeks.
const WARNING_MS: i64 = 30 * MS_PER_DAY;
const MS_PER_DAY: i64 = 86_400_000;
/// How much is shown of a name that a certificate gives itself.
const NAME_LIMIT: usize = 64;
const RENEW: &str = "download the database's wallet again; if the new one ends as soon, rotate the wallet first";

/// When the certificates of a wallet end, in milliseconds since 1970. Empty for no wallet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Expiry {
    /// The client's own.
    pub(crate) client_ms: Option<i64>,
    /// Those of issuers.
    authorities: Vec<Authority>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Authority {
    name: String,
    ends_ms: i64,
}

impl Expiry {
    /// Reads the dates. What cannot be read has none; whether it can be used is for TLS to say.
    pub(super) fn of(client: Option<&CertificateDer<'_>>, others: &[CertificateDer<'_>]) -> Self {
        let authority = |der: &CertificateDer<'_>| {
            let certificate = Certificate::read(der)?;
            let name = dn::common_name(certificate.subject).unwrap_or_else(|| "without a name".to_owned());
            let name = name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(NAME_LIMIT).collect();
            Some(Authority { name, ends_ms: certificate.not_after_ms })
        };
        Self {
            client_ms: client.and_then(|der| Certificate::read(der)).map(|certificate| certificate.not_after_ms),
            authorities: others.iter().filter_map(authority).collect(),
        }
    }

    /// What there is to say about it at a moment.
    pub(crate) fn findings(&self, now_ms: i64) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(ends_ms) = self.client_ms {
            findings.push(finding("the client certificate in the wallet", ends_ms - now_ms));
        }
        // TLS takes an authority for what the wallet says it is, whatever its date. Other clients do not, and a wallet whose
        // authorities are all over is an old one.
        let (over, good): (Vec<_>, Vec<_>) = self.authorities.iter().partition(|authority| authority.ends_ms < now_ms);
        if let Some(first) = good.iter().min_by_key(|authority| authority.ends_ms) {
            let what = format!("the certificate of the authority `{}` in the wallet", first.name);
            findings.push(finding(&what, first.ends_ms - now_ms));
        }
        if let Some(last) = over.iter().max_by_key(|authority| authority.ends_ms) {
            let what = format!("the certificate of the authority `{}` in the wallet", last.name);
            let mut finding = finding(&what, last.ends_ms - now_ms);
            if !good.is_empty() {
                finding.severity = Severity::Warning;
                finding.what.push_str("; others in it are good");
            }
            findings.push(finding);
        }
        findings
    }
}

fn finding(what: &str, left_ms: i64) -> Finding {
    let days = left_ms / MS_PER_DAY;
    if left_ms < 0 {
        let what = format!("{what} has expired, {} days ago", days.unsigned_abs());
        return Finding {
            severity: Severity::Error,
            kind: Kind::Expired,
            what,
            hint: Some(RENEW.to_owned()),
            mend: None,
        };
    }
    let what = format!("{what} expires in {days} days");
    if left_ms <= WARNING_MS {
        Finding { severity: Severity::Warning, kind: Kind::Other, what, hint: Some(RENEW.to_owned()), mend: None }
    } else {
        Finding { severity: Severity::Note, kind: Kind::Other, what, hint: None, mend: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_374_000_000;

    fn told(client: Option<i64>, authorities: &[i64]) -> Vec<(Severity, String)> {
        let at = |left: i64| NOW + left;
        let authorities = authorities.iter().enumerate();
        let expiry = Expiry {
            client_ms: client.map(at),
            authorities: authorities
                .map(|(n, left)| Authority { name: format!("ca{n}"), ends_ms: at(*left) })
                .collect(),
        };
        expiry.findings(NOW).into_iter().map(|finding| (finding.severity, finding.what)).collect()
    }

    #[test]
    fn the_line_between_note_warning_and_error_is_at_thirty_days_and_at_the_end() {
        for (left, severity, words) in [
            (31 * MS_PER_DAY, Severity::Note, "in 31 days"),
            (WARNING_MS + 1, Severity::Note, "in 30 days"),
            (WARNING_MS, Severity::Warning, "in 30 days"),
            (0, Severity::Warning, "in 0 days"),
            (-1, Severity::Error, "0 days ago"),
            (-400 * MS_PER_DAY, Severity::Error, "400 days ago"),
        ] {
            let told = told(Some(left), &[]);
            assert_eq!(told.len(), 1);
            assert!(told[0].0 == severity && told[0].1.ends_with(words), "{left}: {told:?}");
        }
    }

    #[test]
    fn of_authorities_the_next_to_end_is_told_and_an_old_one_beside_a_good_one_warns() {
        let (month, years) = (30 * MS_PER_DAY, 4000 * MS_PER_DAY);
        let found = told(None, &[years, month, -MS_PER_DAY]);
        assert_eq!(
            found,
            [
                (Severity::Warning, "the certificate of the authority `ca1` in the wallet expires in 30 days".to_owned()),
                (
                    Severity::Warning,
                    "the certificate of the authority `ca2` in the wallet has expired, 1 days ago; others in it are good".to_owned()
                ),
            ]
        );
        let found = told(None, &[-years, -MS_PER_DAY]);
        assert!(found.len() == 1 && found[0].0 == Severity::Error && found[0].1.contains("`ca1`"), "{found:?}");
        assert_eq!(told(None, &[]), []);
    }
}
