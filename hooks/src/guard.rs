//! Which addresses may be spoken to. Endpoints are chosen by tenants, and the machine that speaks to them can reach what
//! tenants must not: the database, other machines' administration, a cloud's metadata. Pure: it resolves nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// The longest address.
pub const URL_MAX: usize = 2_000;

/// What may be spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Private, loopback and link-local addresses too, and without TLS: for a provider's own network.
    pub allow_private: bool,
}

/// Why an address cannot be an endpoint's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL.
    #[error("{0:?} is no address; write it like https://example.com/weir")]
    None(String),
    /// It is longer than [`URL_MAX`].
    #[error("the address has {0} characters; {URL_MAX} are allowed")]
    TooLong(usize),
    /// It is not https.
    #[error(
        "the address begins with {0}://; events are sent with https:// only, or the operator sets [webhooks] allow_private = true"
    )]
    Scheme(String),
    /// It has a user, a password or a fragment in it.
    #[error("the address holds {0}; leave it out: signatures tell the receiver who sends")]
    Holds(&'static str),
    /// It is an address that is not spoken to.
    #[error(
        "{0} is a private, local or reserved address, which is not spoken to; use a public one, or the operator sets [webhooks] allow_private = true"
    )]
    Private(String),
}

impl Guard {
    /// Checks an address before it is kept, and each time before it is used.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn check(self, text: &str) -> Result<Url, UrlError> {
        if URL_MAX < text.len() {
            return Err(UrlError::TooLong(text.len()));
        }
        let none = || UrlError::None(text.chars().take(80).collect());
        // The parser forgives blanks and line breaks; nothing of ours should.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(none());
        }
        let url = Url::parse(text).map_err(|_| none())?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            other => return Err(UrlError::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Holds("a user or a password"));
        }
        if url.fragment().is_some() {
            return Err(UrlError::Holds("a fragment (#...)"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(none)?;
        // The parser has turned 0x7f.1 and the like into four numbers.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_refused = bare.parse().is_ok_and(|address| !self.allows(address));
        if is_refused || (!self.allow_private && is_local_name(host)) {
            return Err(UrlError::Private(host.to_owned()));
        }
        Ok(url)
    }

    /// Whether this address may be connected to.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        // What reaches nobody or everybody is never a receiver.
        let is_none = address.is_unspecified() || address.is_multicast();
        !is_none && (self.allow_private || !is_reserved(address))
    }
}

/// RFC 6761: always this machine.
fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether the address is not one of the public internet (IANA's registries of special-purpose addresses).
fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_reserved_v4(address),
        IpAddr::V6(address) => is_reserved_v6(address),
    }
}

fn is_reserved_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // carriers' NAT
        || (a, b, c) == (192, 0, 0) // IETF protocols
        || (a, b, c) == (192, 88, 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)) // benchmarks
        || 240 <= a // reserved, and broadcast
}

fn is_reserved_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_reserved_v4(inner);
    }
    // Of IPv6, only 2000::/3 is given out; in it, these are not for everybody.
    let [a, b, ..] = address.segments();
    let is_global = (0x2000..0x4000).contains(&a);
    // Teredo, ORCHID and others; two ranges for documentation.
    let is_special = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || (a == 0x3fff && b < 0x1000);
    !is_global || is_special
}

/// The IPv4 address that an IPv6 one stands for: mapped (::ffff:0:0/96), compatible (::/96), NAT64 (64:ff9b::/96), 6to4
/// (2002::/16).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Guard = Guard { allow_private: false };
    const LAX: Guard = Guard { allow_private: true };

    #[test]
    fn no_spelling_of_an_inner_address_is_spoken_to() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://017700000001/",
            "https://10.1.2.3/",
            "https://172.31.0.1/",
            "https://192.168.1.1:8443/",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://255.255.255.255/",
            "https://224.0.0.1/",
            "https://198.18.0.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://[2001:db8::1]/",
            "https://[2001::1]/",
            "https://[::7f00:1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
        ] {
            assert!(matches!(STRICT.check(url), Err(UrlError::Private(_))), "{url}: {:?}", STRICT.check(url));
        }
        for url in [
            "https://93.184.216.34/",
            "https://example.com:8443/a?b=c",
            "https://[2606:2800:220:1::1]/",
            "https://172.32.0.1/",
        ] {
            assert!(STRICT.check(url).is_ok(), "{url}");
        }
        for url in ["http://127.0.0.1:8080/", "https://10.0.0.1/", "http://[::1]/", "http://localhost/"] {
            assert!(LAX.check(url).is_ok(), "{url}");
        }
        for url in ["http://0.0.0.0/", "http://224.0.0.1/", "http://[ff02::1]/"] {
            assert!(LAX.check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_so() {
        let check = |url: &str, words: &str| {
            let error = STRICT.check(url).unwrap_err().to_string();
            assert!(error.contains(words), "{url:?}: {error}");
        };
        check("", "https://example.com");
        check("example.com", "https://example.com");
        check("https://a b/", "https://example.com");
        check("https://a.example/\r\nx", "https://example.com");
        check("http://example.com/", "https:// only");
        check("ftp://example.com/", "https:// only");
        check("file:///etc/passwd", "https:// only");
        check("https://u:p@example.com/", "a user or a password");
        check("https://example.com/#x", "a fragment");
        check(&format!("https://example.com/{}", "x".repeat(URL_MAX)), "characters");
    }
}
