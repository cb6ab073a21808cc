//! Which addresses a host may turn out to have: public ones. A name is looked up here, and the connection goes to the
//! addresses that were judged, so that a second look-up cannot bring others (DNS rebinding).
//!
//! [`super`] puts [`Guard`] into its client; [`super::places`] judges addresses that are written in a URL.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 16;

/// Looks names up, and lets only public addresses through.
pub(super) struct Guard;

/// A name that leads to no public address.
#[derive(Debug)]
pub(super) struct NotPublic {
    name: String,
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has no public address; private, loopback and link-local ones are never asked",
            self.name
        )
    }
}

impl Error for NotPublic {}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(judged(name, found)?.into_iter()) as Addrs)
        })
    }
}

fn judged(name: String, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NotPublic> {
    let public: Vec<SocketAddr> =
        found.into_iter().filter(|found| is_public(found.ip())).take(MAX_ADDRESSES).collect();
    if public.is_empty() { Err(NotPublic { name }) } else { Ok(public) }
}

/// What [`Guard`] said, somewhere among the causes of `error`.
pub(super) fn refusal(error: &reqwest::Error) -> Option<&NotPublic> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(one) = cause {
        if let Some(found) = one.downcast_ref::<NotPublic>() {
            return Some(found);
        }
        cause = one.source();
    }
    None
}

/// Whether an address belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match a {
        0 | 240.. => true,
        // Shared by carriers.
        100 => (64..128).contains(&b),
        192 => b == 0 && c == 0 || b == 88 && c == 99,
        // Benchmarks.
        198 => b == 18 || b == 19,
        _ => false,
    };
    !(reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped (::ffff:a.b.c.d) and translated (64:ff9b::a.b.c.d) addresses lead where the inner one does.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo and other protocols' own, documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // Global unicast: everything else (loopback, link-local, unique local, multicast) lies outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_public, judged};

    #[test]
    fn only_public_addresses_are_asked() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "100.128.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2606:4700::1111",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn of_a_names_addresses_the_public_ones_are_taken() {
        let addresses = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"].map(|text| text.parse().unwrap());
        assert_eq!(judged("a".to_owned(), addresses.to_vec()).unwrap(), [addresses[1]]);
        let refused = judged("inner.example".to_owned(), vec![addresses[0]]).unwrap_err();
        assert!(refused.to_string().contains("inner.example"));
    }
}
