//! Signed tokens: `sb1.<key>.<claims>.<mac>`, the MAC being HMAC-SHA256 over all in front of it.
//!
//! One algorithm and one form, so that nothing is negotiated. A token says who; what that person
//! may do is looked up at each use, so that a change takes effect at once. A token proves nothing
//! alone: [`Access`](super::Access) also asks whether its session still is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::limits::{KEY_BYTES, TOKEN_MAX_BYTES};

/// What every token begins with: the form.
const FORM: &str = "sb1";

/// What a token says. Points in time are UTC milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "use", rename_all = "snake_case", deny_unknown_fields)]
pub enum Claims {
    /// A user, for a short time.
    Access {
        /// The user.
        user: Uuid,
        /// The session.
        session: Uuid,
        /// When it ends.
        until: u64,
    },
    /// The right to the next tokens of a session, once.
    Refresh {
        /// The user.
        user: Uuid,
        /// The session.
        session: Uuid,
        /// Its number within the session.
        n: u64,
        /// When it ends.
        until: u64,
    },
    /// That a device logged in before. It gives no right and logs nobody in.
    Device {
        /// The device: whoever first got this device mark.
        device: Uuid,
        /// With this login.
        login: String,
        /// Under this epoch of the user.
        epoch: u64,
        /// When it ends.
        until: u64,
    },
    /// A customer on a channel.
    Visitor {
        /// The channel.
        channel: Uuid,
        /// The channel's visitor epoch.
        epoch: u64,
        /// The customer.
        customer: Uuid,
        /// The priority of its chats.
        priority: u8,
        /// The name that the site gave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// When it was issued.
        from: u64,
        /// When it ends.
        until: u64,
    },
    /// The server of a channel's site. Lives until it is made anew.
    Site {
        /// The channel.
        channel: Uuid,
        /// Its number.
        n: u64,
    },
}

/// The text is no token that this key signed. Says no more: whoever forges learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no valid token")]
pub struct NotAToken;

/// A key that signs tokens. It never shows in logs.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl TokenKey {
    /// A key of that name. The name stands in every token, so that keys can be replaced one day.
    pub fn new(id: &str, secret: &[u8; KEY_BYTES]) -> Self {
        let mac = Hmac::new(&block(secret));
        Self { id: id.to_owned(), mac }
    }

    /// A hash under this key of parts that are of fixed lengths behind the first, which says what for. No
    /// token is signed with such a text in front.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mac = parts.iter().fold(self.mac.clone(), |mac, part| mac.chain_update(part));
        mac.finalize().into_bytes().into()
    }

    /// The token for these claims. Errors only if they cannot be written as JSON.
    pub fn sign(&self, claims: &Claims) -> Result<String, serde_json::Error> {
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
        let signed = format!("{FORM}.{}.{claims}", self.id);
        let mac = self.mac.clone().chain_update(&signed).finalize();
        let mac = URL_SAFE_NO_PAD.encode(mac.into_bytes());
        Ok(format!("{signed}.{mac}"))
    }

    /// The claims of a token that this key signed. The comparison takes the same time for every
    /// wrong MAC, and claims are read only behind a right one.
    pub fn open(&self, token: &str) -> Result<Claims, NotAToken> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(NotAToken);
        }
        let (signed, mac) = token.rsplit_once('.').ok_or(NotAToken)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| NotAToken)?;
        let expected = self.mac.clone().chain_update(signed);
        expected.verify_slice(&mac).map_err(|_| NotAToken)?;
        let mut parts = signed.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(FORM), Some(id), Some(claims), None) if id == self.id => {
                let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| NotAToken)?;
                serde_json::from_slice(&claims).map_err(|_| NotAToken)
            }
            _ => Err(NotAToken),
        }
    }
}

/// HMAC's block, padded with zeros as the standard does for shorter keys.
fn block(secret: &[u8; KEY_BYTES]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..KEY_BYTES].copy_from_slice(secret);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> TokenKey {
        TokenKey::new("k1", &[byte; KEY_BYTES])
    }

    fn claims() -> Claims {
        Claims::Visitor {
            channel: Uuid::from_u128(1),
            epoch: 0,
            customer: Uuid::from_u128(2),
            priority: 3,
            name: Some("Ольга".to_owned()),
            from: 5,
            until: 9,
        }
    }

    #[test]
    fn comes_back_from_its_own_key_only() {
        let token = key(1).sign(&claims()).unwrap();
        assert_eq!(key(1).open(&token), Ok(claims()));
        assert_eq!(key(2).open(&token), Err(NotAToken));
        let other_name = TokenKey::new("k2", &[1; KEY_BYTES]);
        assert_eq!(other_name.open(&token), Err(NotAToken));
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = key(1).sign(&claims()).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(key(1).open(&changed), Err(NotAToken), "at {at}");
            assert_eq!(key(1).open(&token[..at]), Err(NotAToken), "cut at {at}");
        }
    }

    /// The MAC of RFC 4231, test case 2 has a shorter key; ours is checked against the generic
    /// constructor of the crate, which pads by itself.
    #[test]
    fn the_mac_is_hmac_sha256() {
        let token = key(9).sign(&claims()).unwrap();
        let (signed, mac) = token.rsplit_once('.').unwrap();
        let expected = <Hmac<Sha256> as KeyInit>::new_from_slice(&[9; KEY_BYTES]).unwrap();
        let expected = expected.chain_update(signed).finalize().into_bytes();
        assert_eq!(mac, URL_SAFE_NO_PAD.encode(expected));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,80}|sb1\\.k1\\.[A-Za-z0-9_.-]{0,80}") {
            prop_assert_eq!(key(1).open(&text), Err(NotAToken));
        }
    }
}
