//! Every setting: name, text, default and bounds, in one list.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::read::{BadConfig, Problem};
use super::value::{Secret, SettingValue};
use crate::access::limits::{
    ACCESS_TOKEN_MS, ADDRESS_OPENINGS, OPENINGS_MAX, REFRESH_TOKEN_MS, TOKEN_MS_MAX,
    VISITOR_OPENINGS, VISITOR_TOKEN_MS,
};
use crate::access::{Network, TokenLives};
use crate::audit::limits::{KEPT_DAYS, KEPT_DAYS_MAX, KEPT_DAYS_MIN};
use crate::domain::RoutingSettings;
use crate::domain::limits::{
    COOL_DOWN_MS, LAPSES_TO_AWAY, PRIORITY_STEP_MS, VISITOR_OFFER_EVERY_MS,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A day, ms.
const DAY_MS: u64 = 24 * 3_600_000;

/// One setting, whatever its type.
pub(super) struct Entry {
    pub section: &'static str,
    pub key: &'static str,
    pub text: &'static [&'static str],
    pub from_file: fn(&mut Settings, &DeValue<'_>) -> Result<(), String>,
    pub from_text: fn(&mut Settings, &str) -> Result<(), String>,
    pub written: fn(&Settings) -> String,
}

macro_rules! settings {
    ($($(#[doc = $about:literal])+ $section:ident: $type:ident {
        $($(#[doc = $text:literal])+ $key:ident: $value:ty = $default:expr, $check:expr;)*
    })*) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $type {
                $($(#[doc = $text])+ pub $key: $value,)*
            }

            impl Default for $type {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// All settings of a process.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Settings {
            $($(#[doc = $about])+ pub $section: $type,)*
        }

        /// The sections with their texts.
        pub(super) const SECTIONS: &[(&str, &[&str])] =
            &[$((stringify!($section), &[$($about),+])),*];

        /// The list.
        pub(super) const ENTRIES: &[Entry] = &[$($(
            Entry {
                section: stringify!($section),
                key: stringify!($key),
                text: &[$($text),+],
                from_file: |settings, value| {
                    let read = <$value as SettingValue>::from_file(value);
                    settings.$section.$key = checked(read, $check)?;
                    Ok(())
                },
                from_text: |settings, text| {
                    let read = <$value as SettingValue>::from_text(text);
                    settings.$section.$key = checked(read, $check)?;
                    Ok(())
                },
                written: |settings| settings.$section.$key.written(),
            },
        )*)*];
    };
}

settings! {
    /// Where the server is and what it works with.
    server: ServerSettings {
        /// Where customers and operators connect.
        listen: SocketAddr = SocketAddr::new(LOOPBACK, 8080), any;
        /// Where metrics, health and the tree of actors are read. Keep it from the public.
        ops_listen: SocketAddr = SocketAddr::new(LOOPBACK, 9090), any;
        /// The folder of the embedded store. One process at a time.
        data: PathBuf = "data".into(), path;
        /// The file of erasures (docs/deploy.md), which outlives restored copies of the store. Empty:
        /// `switchboard.erasures` in `data`; with ScyllaDB none.
        erasures: PathBuf = PathBuf::new(), any;
        /// A seed file that fills an empty store, once; empty: none.
        seed: PathBuf = PathBuf::new(), any;
        /// The sites whose pages may open sockets, as `https://shop.example`; a browser says where
        /// a page comes from. Empty: only pages of this server itself.
        allowed_origins: Vec<String> = Vec::new(), origins;
        /// The names by which clients, proxies and scrapers reach this server, without ports, as
        /// `chat.example`. Requests for other names are refused; addresses and localhost always count.
        allowed_hosts: Vec<String> = Vec::new(), hosts;
        /// The proxies in front of this server, as networks: `10.1.0.0/16`, `fd00::/8`, `192.0.2.7`.
        /// Only what these say in `X-Forwarded-For` or `Forwarded` counts as a client's address
        /// (docs/deploy.md). Empty: nobody's; then all clients of a proxy count as one address.
        trusted_proxies: Vec<String> = Vec::new(), proxies;
    }
    /// Where everything is kept.
    store: StoreSettings {
        /// "sqlite": embedded, in server.data. "scylla": ScyllaDB, or another server that speaks
        /// CQL; only then what follows counts (docs/scylladb.md).
        kind: StoreKind = StoreKind::Sqlite, any;
        /// Nodes to ask for all others.
        contact_points: Vec<String> = vec!["127.0.0.1:9042".to_owned()], points;
        /// The keyspace. One process at a time; a second one waits.
        keyspace: String = "switchboard".to_owned(), filled;
        /// The datacentre to stay in, as the database calls it. Empty: all of them, and only with
        /// consistency "quorum".
        datacentre: String = "datacenter1".to_owned(), any;
        /// Replicas of a keyspace that `switchboard schema apply` makes.
        replication: u64 = 3, between(1, 7);
        /// Who this is to the database; empty: it does not ask.
        user: String = String::new(), any;
        /// The password. Better given as SWITCHBOARD_STORE_PASSWORD than in a file.
        password: Secret = Secret::default(), any;
        /// A PEM file of the authorities to trust; empty: no TLS.
        tls_ca: PathBuf = PathBuf::new(), any;
        /// "local_quorum": most replicas of the datacentre agree; "quorum": of all of them.
        consistency: StoreConsistency = StoreConsistency::LocalQuorum, any;
        /// How long a request to the database may take, ms; a conditional one twice that.
        request_ms: u64 = 1_000, between(100, 30_000);
        /// How long a connection to the database may take to be made, ms.
        connect_ms: u64 = 5_000, between(100, 60_000);
    }
    /// What one client, and all together, may ask of the server.
    limits: LimitSettings {
        /// Most sockets at a time. An idle one takes about 10 KB.
        connections: u64 = 10_000, between(1, 1_000_000);
        /// Most sockets of one address at a time. A whole office may sit behind one.
        connections_per_address: u64 = 2_000, between(1, 1_000_000);
        /// Calls a second of one socket, in the long run.
        calls_per_second: u64 = 50, between(1, 100_000);
        /// Calls of one socket at once, beyond which the pace above holds. A client that comes back
        /// sends up to 64 unanswered calls again.
        call_burst: u64 = 200, between(64, 100_000);
        /// Calls of all sockets that may be under way; further ones are answered `overloaded`.
        calls_in_flight: u64 = 10_000, between(16, 1_000_000);
        /// Chats that one visitor may open in a minute. What it writes after the end of a chat opens
        /// one, too.
        visitor_openings_per_minute: u64 = VISITOR_OPENINGS, between(1, OPENINGS_MAX);
        /// Chats that all visitors of one address may open in a minute. A whole office may sit
        /// behind one; a proxy that server.trusted_proxies does not name is one.
        address_openings_per_minute: u64 = ADDRESS_OPENINGS, between(1, OPENINGS_MAX);
        /// Frames that wait for a slow client before its socket is closed; it resumes.
        outbox_frames: u64 = 256, between(16, 65_536);
        /// Largest body of a REST request, bytes.
        request_bytes: u64 = 65_536, between(1_024, 1_048_576);
    }
    /// What holds for all queues.
    routing: RoutingSection {
        /// How much waiting a point of priority is worth, ms.
        priority_step_ms: u64 = PRIORITY_STEP_MS, between(1, DAY_MS);
        /// How long an operator who declined a chat is not asked for it again, ms.
        cool_down_ms: u64 = COOL_DOWN_MS, between(0, DAY_MS);
        /// How long an operator is not offered another chat of the same visitor while others wait, ms.
        visitor_offer_every_ms: u64 = VISITOR_OFFER_EVERY_MS, between(0, DAY_MS);
        /// Directed offers lapsed in a row after which an operator is set away.
        lapses_to_away: u64 = u64::from(LAPSES_TO_AWAY), between(1, 1_000);
    }
    /// How long tokens live.
    access: AccessSettings {
        /// Access tokens of operators and administrators, ms.
        access_token_ms: u64 = ACCESS_TOKEN_MS, between(10_000, DAY_MS);
        /// Refresh tokens, ms: how long somebody stays logged in without coming back.
        refresh_token_ms: u64 = REFRESH_TOKEN_MS, between(60_000, TOKEN_MS_MAX);
        /// Visitors' tokens, ms.
        visitor_token_ms: u64 = VISITOR_TOKEN_MS, between(10_000, TOKEN_MS_MAX);
    }
    /// Who changed what, who came in and who tried to (GET /api/v1/audit).
    audit: AuditSettings {
        /// How long entries are kept, days.
        kept_days: u64 = KEPT_DAYS, between(KEPT_DAYS_MIN, KEPT_DAYS_MAX);
    }
    /// What the process says of itself, to standard error. Texts of messages and secrets never.
    log: LogSettings {
        /// Least level: "error", "warn", "info", "debug" or "trace"; also per module, as
        /// "info,switchboard::edge=debug". Of the actors' library ("ractor") only warnings
        /// show, at most, unless the filter names it.
        filter: String = "info".to_owned(), filled;
        /// "text" for people or "json" for collectors.
        format: LogFormat = LogFormat::Text, any;
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

impl SettingValue for LogFormat {
    const EXPECTED: &'static str = "\"text\" or \"json\"";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Text => "\"text\"".to_owned(),
            Self::Json => "\"json\"".to_owned(),
        }
    }
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The embedded one.
    Sqlite,
    /// The distributed one.
    Scylla,
}

impl SettingValue for StoreKind {
    const EXPECTED: &'static str = "\"sqlite\" or \"scylla\"";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "sqlite" => Some(Self::Sqlite),
            "scylla" => Some(Self::Scylla),
            _ => None,
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Sqlite => "\"sqlite\"".to_owned(),
            Self::Scylla => "\"scylla\"".to_owned(),
        }
    }
}

/// How many replicas of the distributed store agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreConsistency {
    /// Most of the datacentre.
    LocalQuorum,
    /// Most of all.
    Quorum,
}

impl SettingValue for StoreConsistency {
    const EXPECTED: &'static str = "\"local_quorum\" or \"quorum\"";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "local_quorum" => Some(Self::LocalQuorum),
            "quorum" => Some(Self::Quorum),
            _ => None,
        }
    }

    fn written(&self) -> String {
        match self {
            Self::LocalQuorum => "\"local_quorum\"".to_owned(),
            Self::Quorum => "\"quorum\"".to_owned(),
        }
    }
}

fn checked<T: SettingValue>(
    read: Option<T>,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T, String> {
    let value = read.ok_or_else(|| format!("expected {}", T::EXPECTED))?;
    check(&value)?;
    Ok(value)
}

/// Every value of the type will do.
fn any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

fn between(least: u64, most: u64) -> impl Fn(&u64) -> Result<(), String> {
    move |value| match value {
        value if (least..=most).contains(value) => Ok(()),
        value => Err(format!("expected {least} to {most}, got {value}")),
    }
}

fn filled<T: AsRef<str>>(text: &T) -> Result<(), String> {
    if text.as_ref().trim().is_empty() {
        return Err("expected a text that is not empty".to_owned());
    }
    Ok(())
}

fn path<T: AsRef<Path>>(path: &T) -> Result<(), String> {
    if path.as_ref().as_os_str().is_empty() {
        return Err("expected a path that is not empty".to_owned());
    }
    Ok(())
}

/// At least one, each with a port.
fn points<T: AsRef<[String]>>(points: &T) -> Result<(), String> {
    let port = |point: &String| {
        let (host, port) = point.rsplit_once(':')?;
        (!host.is_empty()).then_some(())?;
        port.parse::<u16>().ok()
    };
    if points.as_ref().is_empty() {
        return Err("expected at least one, as \"127.0.0.1:9042\"".to_owned());
    }
    match points.as_ref().iter().find(|point| port(point).is_none()) {
        Some(wrong) => Err(format!("`{wrong}` has no port; write it as \"127.0.0.1:9042\"")),
        None => Ok(()),
    }
}

/// An origin is scheme, host and port as a browser sends it: nothing behind, no capitals.
fn origins<T: AsRef<[String]>>(origins: &T) -> Result<(), String> {
    for origin in origins.as_ref() {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && c != '/';
        if !host.is_some_and(|host| !host.is_empty() && host.chars().all(plain)) {
            let example = "\"https://shop.example\", without a path and in lower case";
            return Err(format!("`{origin}` is no origin; write it as {example}"));
        }
    }
    Ok(())
}

/// A name as it stands in front of the port: no address, no capitals.
fn hosts<T: AsRef<[String]>>(hosts: &T) -> Result<(), String> {
    for host in hosts.as_ref() {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        if host.is_empty() || host.ends_with('.') || !host.bytes().all(plain) {
            let example = "\"chat.example\", in lower case, without a scheme, a port or a path";
            return Err(format!("`{host}` is no name of a host; write it as {example}"));
        }
    }
    Ok(())
}

fn proxies<T: AsRef<[String]>>(networks: &T) -> Result<(), String> {
    networks_of(networks.as_ref()).map(drop)
}

/// The networks of proxies. One of everybody would let every client choose its address.
fn networks_of(texts: &[String]) -> Result<Vec<Network>, String> {
    let read = |text: &String| match text.parse::<Network>() {
        Ok(network) if network.is_everybody() => Err(format!(
            "`{text}` is everybody, so that each client could say that it is another one; name \
             the networks of your proxies"
        )),
        Ok(network) => Ok(network),
        Err(bad) => Err(bad.to_string()),
    };
    texts.iter().map(read).collect()
}

impl Settings {
    /// The networks of the proxies in front of the server. Errors only for what was not read by
    /// [`read`](super::read()), which checks them.
    pub fn trusted_proxies(&self) -> Result<Vec<Network>, BadConfig> {
        networks_of(&self.server.trusted_proxies).map_err(|what| {
            let at = "server.trusted_proxies".to_owned();
            BadConfig { problems: vec![Problem { at, what }] }
        })
    }

    /// The routing machines' share.
    pub fn routing(&self) -> RoutingSettings {
        RoutingSettings {
            priority_step_ms: self.routing.priority_step_ms,
            cool_down_ms: self.routing.cool_down_ms,
            visitor_offer_every_ms: self.routing.visitor_offer_every_ms,
            lapses_to_away: u32::try_from(self.routing.lapses_to_away).unwrap_or(u32::MAX),
        }
    }

    /// The tokens' share.
    pub fn token_lives(&self) -> TokenLives {
        TokenLives {
            access_ms: self.access.access_token_ms,
            refresh_ms: self.access.refresh_token_ms,
            visitor_ms: self.access.visitor_token_ms,
        }
    }

    /// The settings as a file with every setting and its text.
    pub fn file(&self) -> String {
        let mut file = String::from(
            "# Every setting with its default. Copy the lines that you change; leave out the rest.\n\
             # A variable SWITCHBOARD_SECTION_KEY, as SWITCHBOARD_SERVER_LISTEN, goes before the file,\n\
             # and the command line before both. Queues, users and channels are not settings: they\n\
             # live in the store and are changed through /api/v1 while the server runs.\n",
        );
        for (section, about) in SECTIONS {
            file.push('\n');
            push_comment(&mut file, about);
            file.push_str(&format!("[{section}]\n"));
            for entry in ENTRIES.iter().filter(|entry| entry.section == *section) {
                file.push('\n');
                push_comment(&mut file, entry.text);
                let value = (entry.written)(self);
                file.push_str(&format!("{} = {value}\n", entry.key));
            }
        }
        file
    }
}

fn push_comment(file: &mut String, lines: &[&str]) {
    for line in lines {
        file.push('#');
        file.push_str(line);
        file.push('\n');
    }
}
