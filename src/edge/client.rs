//! Where a request comes from: the peer of its connection or, when that is a proxy of this
//! installation, what the proxy says.
//!
//! A proxy writes behind what it was sent, so the lists of `X-Forwarded-For` and of `Forwarded`
//! (RFC 7239) are read from their right ends: the first hop there that is no trusted proxy is the
//! client, and whatever it wrote itself stands further left and is never looked at. Where a proxy
//! did not say an address that can be read, the proxy itself counts: nobody can make itself
//! somebody else, at worst it shares the bounds of the proxy.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};

use super::limits::FORWARDED_HOPS_MAX;
use crate::access::Network;
use crate::telemetry;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of who asks, made once a request and used by all that bounds or notes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The address; an IPv4 one always in its own form.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The network that it counts as where something is bounded.
    pub fn network(self) -> Network {
        Network::of_client(self.0)
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The networks of the proxies in front of this server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// The proxies of these networks; none: every peer is a client.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether the address is one of them, so that its connections carry many clients.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who sent a request with these headers by a connection of this peer.
    ///
    /// Proxies write one of the two headers and may pass the other one on as the client sent it.
    /// Nobody can see which, so that two which differ both do not count.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let peer = peer.to_canonical();
        if !self.is_trusted(peer) {
            return ClientAddress(peer);
        }
        let said = |name: &HeaderName, read: fn(&[u8]) -> Said| {
            let lines: Vec<_> = headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
            (!lines.is_empty()).then(|| self.walk(peer, &lines, read))
        };
        let address = match (said(&X_FORWARDED_FOR, plain), said(&FORWARDED, element)) {
            (None, None) => peer,
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) if one == other => one,
            (Some(_), Some(_)) => {
                telemetry::forwarded_refused("conflict");
                peer
            }
        };
        ClientAddress(address)
    }

    /// Goes from hop to hop, from the last one backwards, for as long as they are proxies.
    fn walk(&self, peer: IpAddr, lines: &[&[u8]], read: fn(&[u8]) -> Said) -> IpAddr {
        let elements = lines.iter().rev().flat_map(|line| FromTheRight(Some(line))).map(read);
        let hops = elements.filter(|said| *said != Said::Nothing).take(FORWARDED_HOPS_MAX);
        let mut last = peer;
        for hop in hops {
            let Said::Address(address) = hop else {
                telemetry::forwarded_refused("unreadable");
                break;
            };
            last = address;
            if !self.is_trusted(address) {
                break;
            }
        }
        last
    }
}

/// What one element of a list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It is empty, as lists may have them.
    Nothing,
    /// Something else than an address: `unknown`, a made-up name, or what cannot be read.
    Other,
    Address(IpAddr),
}

/// The elements of a list from its right end, parted by commas that stand in no quotes. Read in
/// this direction, nothing further left can swallow the comma in front of what a proxy wrote.
struct FromTheRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for FromTheRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let mut quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(rest, at) => quoted = !quoted,
                b',' if !quoted => {
                    self.0 = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

/// Whether an odd number of backslashes stands in front.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let slashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    slashes % 2 == 1
}

/// An element of `X-Forwarded-For`.
fn plain(element: &[u8]) -> Said {
    match element.trim_ascii() {
        [] => Said::Nothing,
        text => node(text),
    }
}

/// An element of `Forwarded`: pairs of which `for` says who.
fn element(element: &[u8]) -> Said {
    if element.trim_ascii().is_empty() {
        return Said::Nothing;
    }
    let mut found = None;
    for pair in pairs(element) {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            return Said::Other;
        };
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if !name.trim_ascii().eq_ignore_ascii_case(b"for") {
            continue;
        }
        if found.is_some() {
            return Said::Other;
        }
        found = Some(node(unquoted(value.trim_ascii())));
    }
    found.unwrap_or(Said::Other)
}

/// The pairs of an element, parted by semicolons that stand in no quotes.
fn pairs(element: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = element.split(move |byte| {
        let literal = escaped;
        escaped = quoted && !literal && *byte == b'\\';
        quoted ^= *byte == b'"' && !literal;
        *byte == b';' && !quoted
    });
    parts.filter(|pair| !pair.trim_ascii().is_empty())
}

/// What stands in the quotes. An address has nothing that would have to be escaped.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        bare => bare,
    }
}

/// An address, maybe with a port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`, and `2001:db8::1` as many proxies write it.
fn node(text: &[u8]) -> Said {
    let Ok(text) = std::str::from_utf8(text) else { return Said::Other };
    let address = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, port)) if port.is_empty() || port.strip_prefix(':').is_some_and(is_port) => {
            inside.parse().map(IpAddr::V6).ok()
        }
        Some(_) => None,
        None => text.parse().ok().or_else(|| {
            let (v4, port) = text.rsplit_once(':')?;
            v4.parse().map(IpAddr::V4).ok().filter(|_| is_port(port))
        }),
    };
    address.map_or(Said::Other, |address| Said::Address(address.to_canonical()))
}

/// A number, or a made-up name, which begins with an underscore.
fn is_port(text: &str) -> bool {
    let made_up =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && made_up(name),
        None => text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn headers(lines: &[(&HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    /// Who it is, asked by a proxy with these lines of one header.
    fn by(name: &HeaderName, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| (name, line.as_bytes())).collect();
        proxies().client(address(PROXY), &headers(&lines)).to_string()
    }

    fn list(line: &str) -> String {
        by(&X_FORWARDED_FOR, &[line])
    }

    fn forwarded(line: &str) -> String {
        by(&FORWARDED, &[line])
    }

    #[test]
    fn only_a_proxy_is_believed() {
        let lines =
            headers(&[(&X_FORWARDED_FOR, b"203.0.113.9"), (&FORWARDED, b"for=203.0.113.9")]);
        let ask = |peer| proxies().client(address(peer), &lines).to_string();
        assert_eq!(ask("10.0.0.1"), "203.0.113.9");
        assert_eq!(ask("::ffff:10.0.0.1"), "203.0.113.9", "one form of an address");
        assert_eq!(ask("fd00::1"), "203.0.113.9");
        assert_eq!(ask("192.0.2.1"), "192.0.2.1");
        assert_eq!(ask("::ffff:192.0.2.1"), "192.0.2.1");
        let nobody = TrustedProxies::default();
        assert_eq!(nobody.client(address("127.0.0.1"), &lines).to_string(), "127.0.0.1");
        assert!(!nobody.is_trusted(address("127.0.0.1")));
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_is_the_client() {
        assert_eq!(list("203.0.113.9"), "203.0.113.9");
        assert_eq!(list("198.51.100.1, 203.0.113.9"), "203.0.113.9");
        assert_eq!(list("198.51.100.1, 203.0.113.9, 10.0.0.7,10.0.0.8"), "203.0.113.9");
        assert_eq!(forwarded("for=198.51.100.1, for=203.0.113.9, for=10.0.0.7"), "203.0.113.9");
        // A proxy may write a line of its own.
        assert_eq!(by(&X_FORWARDED_FOR, &["198.51.100.1", "203.0.113.9, 10.0.0.7"]), "203.0.113.9");
        let lines = ["for=198.51.100.1", "for=203.0.113.9;proto=https", "for=10.0.0.7"];
        assert_eq!(by(&FORWARDED, &lines), "203.0.113.9");
        // Nobody but proxies: the farthest one asks.
        assert_eq!(list("10.0.0.9, 10.0.0.7"), "10.0.0.9");
        assert_eq!(proxies().client(address(PROXY), &HeaderMap::new()).to_string(), PROXY);
    }

    #[test]
    fn ports_brackets_and_quotes_are_read() {
        for line in
            ["203.0.113.9:4711", " 203.0.113.9 ", ", 203.0.113.9, ,", "[::ffff:203.0.113.9]"]
        {
            assert_eq!(list(line), "203.0.113.9", "{line}");
        }
        for line in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", "[2001:DB8::1]:_web"] {
            assert_eq!(list(line), "2001:db8::1", "{line}");
        }
        for line in [
            "for=\"[2001:db8::1]:4711\"",
            "For=\"[2001:db8::1]\";proto=https;by=10.0.0.1",
            "by=\"_a;b,c\"; proto=https; FOR=\"[2001:db8::1]:_web\";",
            "for=_before, host=\"a\\\",b;for=c\";for=\"[2001:db8::1]\"",
            "for=[2001:db8::1]",
        ] {
            assert_eq!(forwarded(line), "2001:db8::1", "{line}");
        }
    }

    #[test]
    fn where_a_proxy_says_no_address_it_counts_itself() {
        for line in [
            "unknown",
            "_hidden",
            "203.0.113.9:x",
            "203.0.113.9:99999",
            "[203.0.113.9]",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "fe80::1%eth0",
            "203.0.113",
            "for=203.0.113.9",
        ] {
            assert_eq!(list(&format!("203.0.113.9, {line}")), PROXY, "{line}");
            assert_eq!(list(&format!("203.0.113.9, {line}, 10.0.0.7")), "10.0.0.7", "{line}");
        }
        for line in [
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden:80\"",
            "proto=https",
            "203.0.113.9",
            "for=203.0.113.9;for=203.0.113.9",
            "for=\"203.0.113.9",
            "for=",
            "for",
        ] {
            assert_eq!(forwarded(&format!("for=203.0.113.9, {line}")), PROXY, "{line}");
        }
    }

    #[test]
    fn nothing_that_the_client_wrote_itself_counts() {
        let own = "203.0.113.9";
        for forged in
            ["198.51.100.1", "unknown", "\"", "\\", "\"\\", "[", ",,,", "10.0.0.9", "a=\"b"]
        {
            assert_eq!(list(&format!("{forged}, {own}")), own, "{forged}");
            assert_eq!(forwarded(&format!("{forged}, for={own}")), own, "{forged}");
            assert_eq!(forwarded(&format!("for={forged}, for={own}")), own, "{forged}");
        }
        let bytes = headers(&[(&X_FORWARDED_FOR, b"\xff\xfe, 203.0.113.9")]);
        assert_eq!(proxies().client(address(PROXY), &bytes).to_string(), own);
    }

    #[test]
    fn two_headers_count_only_when_they_agree() {
        let both = |list: &[u8], element: &[u8]| {
            let lines = headers(&[(&X_FORWARDED_FOR, list), (&FORWARDED, element)]);
            proxies().client(address(PROXY), &lines).to_string()
        };
        assert_eq!(both(b"203.0.113.9, 10.0.0.7", b"for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both(b"203.0.113.9", b"for=198.51.100.1"), PROXY);
        assert_eq!(both(b"198.51.100.1", b"for=203.0.113.9"), PROXY);
        assert_eq!(both(b"203.0.113.9", b"for=unknown"), PROXY);
    }

    #[test]
    fn a_list_is_walked_for_so_many_hops_only() {
        let hops = vec!["10.0.0.7"; FORWARDED_HOPS_MAX];
        assert_eq!(list(&format!("203.0.113.9, {}", hops[1..].join(","))), "203.0.113.9");
        assert_eq!(list(&format!("203.0.113.9, {}", hops.join(","))), "10.0.0.7");
    }

    proptest! {
        /// Whatever comes in front, the client is the address that the proxy wrote.
        #[test]
        fn no_text_makes_reading_panic_or_hides_the_last_hop(
            text in proptest::collection::vec(prop_oneof![32_u8..127, 128_u8..], 0..60)
        ) {
            let plain = [&text, b", 203.0.113.9".as_slice()].concat();
            let element = [&text, b", for=203.0.113.9".as_slice()].concat();
            for (name, line) in [(&X_FORWARDED_FOR, plain), (&FORWARDED, element)] {
                let lines = headers(&[(name, &line)]);
                let client = proxies().client(address(PROXY), &lines);
                prop_assert_eq!(client.ip(), address("203.0.113.9"));
            }
        }
    }
}
