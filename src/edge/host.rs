//! By which names the server goes. A page of another site may have its own name lead to this
//! address (DNS rebinding); its requests then look to the browser as if they stayed at home, and
//! only the header `Host` tells.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::header::HOST;
use axum::http::{Request, Version};

use crate::protocol::rest::{ErrorResponse, RestErrorKind};

/// Checks by which name a request came. IP literals and `localhost` always count, for nobody can
/// have them lead elsewhere; `allowed` has the further names, in lower case and without ports.
pub fn check_host<B>(request: &Request<B>, allowed: &[String]) -> Result<(), ErrorResponse> {
    let mut named = request.headers().get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    let host = match (request.uri().authority(), first, second) {
        (_, _, Some(_)) => return Err(bad("`Host` stands there twice")),
        // RFC 9112, 3.2.2: the target goes before the header.
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().map_err(|_| bad("`Host` is no text"))?,
        // No browser speaks it; checks of load balancers do.
        (None, None, None) if request.version() < Version::HTTP_11 => return Ok(()),
        (None, None, None) => return Err(bad("`Host` is missing")),
    };
    let name = name_of(host).ok_or_else(|| bad("`Host` is no name with a port"))?;
    if is_known(name, allowed) {
        return Ok(());
    }
    let what = "the server does not go by this name; server.allowed_hosts in the configuration \
                lists those that count beside addresses and `localhost`";
    Err(ErrorResponse::new(RestErrorKind::Misdirected, what))
}

fn bad(what: &str) -> ErrorResponse {
    ErrorResponse::new(RestErrorKind::InvalidRequest, what).at("host")
}

/// The part before the port.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 1;
            (&host[..=end], &host[end + 1..])
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
}

fn is_known(name: &str, allowed: &[String]) -> bool {
    if let Some(literal) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return literal.parse::<Ipv6Addr>().is_ok();
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.parse::<Ipv4Addr>().is_ok() || allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, hosts: &[&str], version: Version) -> Result<(), RestErrorKind> {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let allowed = ["chat.example".to_owned()];
        check_host(&request.body(()).unwrap(), &allowed).map_err(|error| error.kind())
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_let_in() {
        for host in [
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:9090",
            "[2001:db8::7]",
            "localhost:8080",
            "LOCALHOST",
            "localhost.",
            "chat.example",
            "Chat.Example:443",
            "chat.example.:443",
        ] {
            assert_eq!(asked("/", &[host], Version::HTTP_11), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "chat.example.evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xchat.example",
            "2130706433",
            "",
        ] {
            let refused = asked("/", &[host], Version::HTTP_11);
            assert_eq!(refused, Err(RestErrorKind::Misdirected), "{host}");
        }
        for host in ["chat.example:x", "[::1", "[::1]x", "a@chat.example:1:2"] {
            let refused = asked("/", &[host], Version::HTTP_11);
            assert_eq!(refused, Err(RestErrorKind::InvalidRequest), "{host}");
        }
    }

    #[test]
    fn the_target_goes_before_the_header_and_one_header_is_enough() {
        let evil = asked("http://evil.example/", &["chat.example"], Version::HTTP_11);
        assert_eq!(evil, Err(RestErrorKind::Misdirected));
        let two = asked("/", &["chat.example", "evil.example"], Version::HTTP_11);
        assert_eq!(two, Err(RestErrorKind::InvalidRequest));
        assert_eq!(asked("/", &[], Version::HTTP_11), Err(RestErrorKind::InvalidRequest));
        assert_eq!(asked("/", &[], Version::HTTP_10), Ok(()));
    }
}
