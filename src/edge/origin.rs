//! Which pages may open sockets. A browser sends cookies and reaches local addresses for any page,
//! but it says truly where the page comes from.

/// Whether a socket may be opened. `origin` is the header of that name: programs that are no
/// browser send none and are let in, for they hold a token or get nowhere. `host` is the header of
/// that name: a page of this server itself is always let in.
pub fn origin_allowed(origin: Option<&str>, host: Option<&str>, allowed: &[String]) -> bool {
    let Some(origin) = origin else {
        return true;
    };
    let origin = origin.to_ascii_lowercase();
    let own = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    let same = match (own, host) {
        (Some(own), Some(host)) => own == host.to_ascii_lowercase(),
        (Some(_) | None, Some(_) | None) => false,
    };
    same || allowed.contains(&origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_pages_and_our_own_are_let_in() {
        let allowed = ["https://shop.example".to_owned()];
        let ask = |origin| origin_allowed(origin, Some("chat.example:8080"), &allowed);
        assert!(ask(None));
        assert!(ask(Some("https://shop.example")));
        assert!(ask(Some("https://SHOP.example")));
        assert!(ask(Some("http://chat.example:8080")));
        for foreign in [
            "http://shop.example",
            "https://shop.example:444",
            "https://shop.example.evil.example",
            "https://evil.example",
            "http://chat.example",
            "null",
            "",
            "chat.example:8080",
        ] {
            assert!(!ask(Some(foreign)), "{foreign}");
        }
        assert!(!origin_allowed(Some("http://a"), None, &allowed));
    }
}
