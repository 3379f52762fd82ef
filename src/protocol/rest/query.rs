//! What may stand in the query of a route. What the server takes and what the OpenAPI document says
//! are both made from it.

use serde_json::{Value, json};

/// Most entries in a page of a list; also the default.
pub const PAGE_MAX: usize = 200;

/// What the value of a parameter looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An id.
    Id,
    /// Text that the handler reads.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number {
        /// At least.
        least: u64,
        /// At most; none: what fits 64 bits.
        most: Option<u64>,
    },
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A parameter of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Whether it has to be there.
    pub required: bool,
    /// What it does.
    pub meaning: &'static str,
}

const fn optional(name: &'static str, kind: Kind, meaning: &'static str) -> Parameter {
    Parameter { name, kind, required: false, meaning }
}

const AFTER: Parameter = optional("after", Kind::Text, "The `next` of the page before.");
const LIMIT: Parameter = optional(
    "limit",
    Kind::Number { least: 1, most: Some(PAGE_MAX as u64) },
    "Most entries of the page.",
);
const NAME: Parameter =
    optional("name", Kind::Text, "Those whose name has this text in it, whatever its case.");
const ACTIVE: Parameter = optional("active", Kind::Flag, "Those that are active, or are not.");
const SORT: Parameter = optional(
    "sort",
    Kind::Word(&["id", "-id", "name", "-name"]),
    "The order: by `id`, or by `name` whatever its case; `-` turns it round.",
);

/// Of every list of documents.
pub const PAGE: &[Parameter] = &[AFTER, LIMIT, NAME, SORT];

/// Of lists of what can be deactivated.
pub const ACTIVE_ONES: &[Parameter] = &[ACTIVE];

/// Of the list of users.
pub const OF_ROLE: &[Parameter] = &[optional(
    "role",
    Kind::Word(&["administrator", "chat_administrator", "operator"]),
    "Those of this role.",
)];

/// Of the list of queues.
pub const OF_RULE: &[Parameter] = &[optional(
    "rule",
    Kind::Word(&["to_all", "least_loaded", "longest_idle", "manual"]),
    "Those with this rule.",
)];

/// Of the list of channels.
pub const OF_QUEUE: &[Parameter] =
    &[optional("queue", Kind::Id, "Those whose chats wait in this queue.")];

/// Of the list of operators.
pub const MEMBERS_OF: &[Parameter] =
    &[optional("queue", Kind::Id, "Those who are members of this queue.")];

/// Of a deletion.
pub const SEEN: &[Parameter] = &[Parameter {
    name: "version",
    kind: Kind::Number { least: 1, most: None },
    required: true,
    meaning: "The version that was seen.",
}];

/// Of a change of configuration.
pub const DRY_RUN: &[Parameter] = &[optional(
    "dry_run",
    Kind::Flag,
    "`true`: answers what the change would be answered now, with its warnings, and changes nothing.",
)];

const FROM_OPENED: Parameter = optional(
    "from",
    Kind::Number { least: 0, most: None },
    "Chats that were opened at this time or later, ms since 1970 in UTC.",
);
const TO_OPENED: Parameter = optional(
    "to",
    Kind::Number { least: 0, most: None },
    "Chats that were opened before this time, ms since 1970 in UTC.",
);

/// Of the list of chats.
pub const CHATS: &[Parameter] = &[
    optional(
        "state",
        Kind::Word(&["waiting", "offered", "new", "in_progress", "completed", "missed"]),
        "Those in this state.",
    ),
    optional("queue", Kind::Id, "Those that are or were in this queue."),
    optional("channel", Kind::Id, "Those of this channel."),
    optional("operator", Kind::Id, "Those that this operator owns or owned."),
    optional("customer", Kind::Id, "Those of this customer; needs `channel`."),
    FROM_OPENED,
    TO_OPENED,
    optional(
        "sort",
        Kind::Word(&["started_at", "-started_at"]),
        "The order: by when they were opened; `-`, which is the default, has the newest first.",
    ),
    AFTER,
    LIMIT,
];

/// Of the audit trail.
pub const TRAIL: &[Parameter] = &[
    optional(
        "from",
        Kind::Number { least: 0, most: None },
        "Entries from this time on, ms since 1970 in UTC.",
    ),
    optional(
        "to",
        Kind::Number { least: 0, most: None },
        "Entries before this time, ms since 1970 in UTC.",
    ),
    optional(
        "actor",
        Kind::Text,
        "By whom: `system`, `command_line`, `unknown`, `user:ID` or `site:CHANNEL`.",
    ),
    optional(
        "subject",
        Kind::Text,
        "About what: `user:ID`, `queue:ID`, `channel:ID`, `away_reason:ID`, `customer:CHANNEL:ID`, \
         `store` or `trail`.",
    ),
    AFTER,
    LIMIT,
];

impl Kind {
    /// What is wrong with a value of it.
    pub fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Text => Ok(()),
            Self::Id => match uuid::Uuid::parse_str(value) {
                Ok(_) => Ok(()),
                Err(_) => Err("expected a UUID".to_owned()),
            },
            Self::Flag => Self::Word(&["true", "false"]).check(value),
            Self::Word(words) if words.contains(&value) => Ok(()),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                Err(format!("expected {}", words.join(" or ")))
            }
            Self::Number { least, most } => {
                let number: Result<u64, _> = value.parse();
                let number = number.map_err(|_| "expected a whole number".to_owned())?;
                match most {
                    Some(most) if !(least..=most).contains(&number) => {
                        Err(format!("expected {least} to {most}"))
                    }
                    None if number < least => Err(format!("expected {least} or more")),
                    Some(_) | None => Ok(()),
                }
            }
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Id => json!({"type": "string", "format": "uuid"}),
            Self::Text => json!({"type": "string"}),
            Self::Flag => json!({"type": "boolean"}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Number { least, most: None } => json!({"type": "integer", "minimum": least}),
            Self::Number { least, most: Some(most) } => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
        }
    }
}

impl Parameter {
    pub(super) fn described(&self) -> Value {
        json!({
            "name": self.name,
            "in": "query",
            "required": self.required,
            "schema": self.kind.schema(),
            "description": self.meaning,
        })
    }
}
