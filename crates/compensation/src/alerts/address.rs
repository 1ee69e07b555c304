//! Which urls alerts may be sent to. A url that points into one's own network makes the sender a tool against its neighbours, so
//! such targets need a word in the settings. Names are looked at as they are written here; what they resolve to, the resolver looks at.

use reqwest::Url;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Nothing but other protocols: a developer's machine, or `alerts.allow_private`.
    Any,
    /// Addresses of one's own network, and requests that are not encrypted.
    PublicOnly,
}

/// Why a url is not used. It never repeats the url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none.
    #[error("the url is malformed")]
    Malformed,
    /// Another protocol.
    #[error("the url must begin with http:// or https://")]
    Scheme,
    /// Anyone on the way could read it.
    #[error("the url must begin with https:// unless alerts.allow_private is true")]
    NotEncrypted,
    /// One's own network.
    #[error("the url points to a private address, which alerts.allow_private must allow")]
    Private,
}

/// A url with what its host may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: Url,
    pub(super) targets: Targets,
}

/// Whoever says nothing of it means others' hosts.
impl FromStr for Address {
    type Err = BadUrl;

    fn from_str(url: &str) -> Result<Self, BadUrl> {
        Ok(Self {
            url: Url::parse(url).map_err(|_| BadUrl::Malformed)?,
            targets: Targets::PublicOnly,
        })
    }
}

/// Parses a url as the sender will read it: 2130706433 and 0x7f.1 are 127.0.0.1 to it.
pub(super) fn allowed(url: &str, targets: Targets) -> Result<Address, BadUrl> {
    let url = Url::parse(url.trim()).map_err(|_| BadUrl::Malformed)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadUrl::Scheme);
    }
    let host = url.host_str().ok_or(BadUrl::Malformed)?;
    if targets == Targets::PublicOnly {
        if is_private(host) {
            return Err(BadUrl::Private);
        }
        if url.scheme() != "https" {
            return Err(BadUrl::NotEncrypted);
        }
    }
    Ok(Address { url, targets })
}

/// Whether an address is in one's own network, or nobody's.
pub(super) fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private(host: &str) -> bool {
    let bare = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.');
    match bare.parse() {
        Ok(address) => is_private_address(address),
        Err(_) => bare == "localhost" || bare.ends_with(".localhost") || !bare.contains('.'),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    // 192.0.0/24 is the protocols' own (RFC 6890), 100.64/10 is carriers' and clouds' own (RFC 6598), 198.18/15 for benchmarks (RFC 2544), 240/4 reserved (RFC 1112).
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || first == 0
        || (first == 192 && second == 0 && third == 0)
        || (first == 100 && second & 0xc0 == 64)
        || (first == 198 && second & 0xfe == 18)
        || first >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let pair = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // ::ffff:a.b.c.d is that IPv4 address; 64:ff9b::/96 is what gateways make of one (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            pair(high, low)
        }
        // ::, ::1, and ::a.b.c.d, which nobody uses any longer (RFC 4291, 2.5.5.1); what gateways make within one's own network (RFC 8215).
        [0, 0, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, ..] => true,
        // 6to4 carries it in front (RFC 3056).
        [0x2002, high, low, ..] => pair(high, low),
        // fec0::/10 was what fc00::/7 is (RFC 3879).
        [first, ..] if first & 0xffc0 == 0xfec0 => true,
        _ => address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_targets_are_refused_however_they_are_written() {
        for url in [
            "https://127.0.0.1/x",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://10.1.2.3/",
            "https://192.168.0.1",
            "https://172.16.9.9/",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[64:ff9b:1::808:808]/",
            "https://[fec0::1]/",
            "https://[::]/",
            "https://[::127.0.0.1]/",
            "https://[::8.8.8.8]/",
            "https://[2002:7f00:1::1]/",
            "https://[2002:c0a8:101::]/",
            "https://[ff02::1]/",
            "https://192.0.0.8/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://mysql/",
        ] {
            assert_eq!(
                allowed(url, Targets::PublicOnly),
                Err(BadUrl::Private),
                "{url}"
            );
            assert!(allowed(url, Targets::Any).is_ok(), "{url}");
        }
    }

    #[test]
    fn public_targets_are_encrypted_and_http_at_all() {
        assert!(
            allowed(
                "https://oapi.dingtalk.com/robot/send?access_token=x",
                Targets::PublicOnly
            )
            .is_ok()
        );
        for public in [
            "https://[2606:4700::1111]/",
            "https://[2002:808:808::1]/",
            "https://[64:ff9b::808:808]/",
            "https://192.0.1.1/",
        ] {
            assert!(allowed(public, Targets::PublicOnly).is_ok(), "{public}");
        }
        assert_eq!(
            allowed("http://example.com/", Targets::PublicOnly),
            Err(BadUrl::NotEncrypted)
        );
        for targets in [Targets::Any, Targets::PublicOnly] {
            assert_eq!(allowed("ftp://example.com/", targets), Err(BadUrl::Scheme));
            assert_eq!(allowed("file:///etc/passwd", targets), Err(BadUrl::Scheme));
            assert_eq!(allowed("example.com", targets), Err(BadUrl::Malformed));
            assert_eq!(allowed("http://", targets), Err(BadUrl::Malformed));
        }
    }
}
