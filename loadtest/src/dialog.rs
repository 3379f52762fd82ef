//! What customers and operators say to each other.
//!
//! Owns the dialogue file (one JSON object a line) and a few dialogues of our own for runs without
//! one. Every text that is read is one that the router accepts. Texts never stand in errors.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use switchboard::domain::MessageText;

use crate::draw::Draw;

/// Who says a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The one who came.
    Customer,
    /// The one who answers.
    Operator,
}

/// One line of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who says it.
    pub speaker: Speaker,
    /// What.
    pub text: MessageText,
}

/// Dialogues to choose from; at least one, each of at least one line.
#[derive(Clone, PartialEq, Eq)]
pub struct Dialogs(Vec<Arc<[Turn]>>);

impl fmt::Debug for Dialogs {
    /// Only how many: texts stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialogs({})", self.0.len())
    }
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DialogRecord {
    #[serde(rename = "id")]
    _id: String,
    turns: Vec<TurnRecord>,
}

/// A turn of such a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnRecord {
    speaker: Speaker,
    text: String,
}

/// What is wrong with a dialogue file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// There is nothing to say.
    #[error("the file holds no dialogue")]
    Empty,
    /// A line is not such an object.
    #[error("line {line}, column {column}: not a dialogue ({what})")]
    Shape {
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
        /// The class of the fault.
        what: &'static str,
    },
    /// A dialogue without turns.
    #[error("line {line}: the dialogue has no turns")]
    NoTurns {
        /// Where.
        line: usize,
    },
    /// A text that the router would refuse.
    #[error("line {line}, turn {turn}: {why}")]
    Text {
        /// Where.
        line: usize,
        /// Which turn, the first being 1.
        turn: usize,
        /// Why.
        why: switchboard::domain::text::BadText,
    },
}

/// Dialogues of our own: a greeting, a question, an answer, thanks.
const OWN: [&[(Speaker, &str)]; 4] = [
    &[
        (Speaker::Customer, "Good morning, my parcel has not come yet."),
        (Speaker::Operator, "Good morning! Let me look where it is."),
        (Speaker::Operator, "It left our warehouse today, it should be there tomorrow."),
        (Speaker::Customer, "Thank you, that is all."),
    ],
    &[
        (Speaker::Customer, "Hello. Can I change the address of my order?"),
        (Speaker::Operator, "Hello! Yes, as long as it is not packed. Which address?"),
        (Speaker::Customer, "The one of my office, you have it already."),
        (Speaker::Operator, "Done: the order goes to your office."),
    ],
    &[
        (Speaker::Customer, "The invoice shows a line twice 🤔"),
        (Speaker::Operator, "I see it, sorry. I am sending you a corrected one."),
        (Speaker::Customer, "Got it, thanks!"),
    ],
    &[
        (Speaker::Customer, "Wie lange haben Sie heute geöffnet?"),
        (Speaker::Operator, "Bis achtzehn Uhr. Kann ich sonst noch helfen?"),
        (Speaker::Customer, "Nein, danke schön."),
    ],
];

impl Dialogs {
    /// Reads a dialogue file. Empty lines at its end are allowed, others are not.
    pub fn parse(text: &str) -> Result<Self, DialogError> {
        let dialogs: Result<Vec<_>, _> =
            (1..).zip(text.trim_end().lines()).map(|(line, text)| parse_line(line, text)).collect();
        match dialogs? {
            none if none.is_empty() => Err(DialogError::Empty),
            dialogs => Ok(Self(dialogs)),
        }
    }

    /// Dialogues of our own. Errors only when one of them breaks the router's limits.
    pub fn own() -> Result<Self, DialogError> {
        let dialogs: Result<Vec<_>, _> =
            (1..).zip(OWN).map(|(line, turns)| checked(line, turns.iter().copied())).collect();
        dialogs.map(Self)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One of them.
    pub fn choose(&self, draw: &mut Draw) -> Arc<[Turn]> {
        let chosen = self.0.get(draw.below(self.0.len()));
        chosen.map_or_else(|| Arc::from([]), Arc::clone)
    }
}

fn parse_line(line: usize, text: &str) -> Result<Arc<[Turn]>, DialogError> {
    let record: DialogRecord = serde_json::from_str(text).map_err(|error| DialogError::Shape {
        line,
        column: error.column(),
        what: match error.classify() {
            serde_json::error::Category::Syntax => "not JSON",
            serde_json::error::Category::Eof => "it breaks off",
            serde_json::error::Category::Data | serde_json::error::Category::Io => {
                "wanted {id, turns: [{speaker: customer|operator, text}]}"
            }
        },
    })?;
    let turns = record.turns.iter().map(|turn| (turn.speaker, turn.text.as_str()));
    checked(line, turns)
}

fn checked<'a>(
    line: usize,
    turns: impl Iterator<Item = (Speaker, &'a str)>,
) -> Result<Arc<[Turn]>, DialogError> {
    let turns: Result<Arc<[Turn]>, DialogError> = (1..)
        .zip(turns)
        .map(|(turn, (speaker, text))| {
            let text =
                MessageText::new(text).map_err(|why| DialogError::Text { line, turn, why })?;
            Ok(Turn { speaker, text })
        })
        .collect();
    match turns? {
        none if none.is_empty() => Err(DialogError::NoTurns { line }),
        turns => Ok(turns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Purpose;

    const GOOD: &str = r#"{"id":"a","turns":[{"speaker":"customer","text":"hi"},{"speaker":"operator","text":"hello"}]}"#;

    #[test]
    fn reads_lines() {
        let dialogs = Dialogs::parse(&format!("{GOOD}\n{GOOD}\n\n")).unwrap();
        assert_eq!(dialogs.count(), 2);
        let turns = dialogs.choose(&mut Draw::new(1, Purpose::Dialog, 0));
        assert_eq!(turns[1].speaker, Speaker::Operator);
        assert_eq!(turns[1].text.as_str(), "hello");
    }

    #[test]
    fn every_own_dialogue_is_sendable_and_begins_with_the_customer() {
        let own = Dialogs::own().unwrap();
        assert_eq!(own.count(), OWN.len());
        assert!(own.0.iter().all(|turns| turns[0].speaker == Speaker::Customer));
    }

    #[test]
    fn says_where_it_is_broken_and_not_what_it_says() {
        let error =
            |text: &str| Dialogs::parse(&format!("{GOOD}\n{text}")).unwrap_err().to_string();
        assert_eq!(error("secret"), "line 2, column 1: not a dialogue (not JSON)");
        assert_eq!(error(r#"{"id":"a","#), "line 2, column 10: not a dialogue (it breaks off)");
        let data = "not a dialogue (wanted {id, turns: [{speaker: customer|operator, text}]})";
        for shape in [
            r#"{"id":"a","turns":[{"speaker":"secret","text":"hi"}]}"#,
            r#"{"id":"a","turns":[],"secret":1}"#,
            r#"{"id":"a"}"#,
            r#"{"id":1,"turns":[]}"#,
        ] {
            assert!(error(shape).ends_with(data), "{shape}");
            assert!(!error(shape).contains("secret"), "{shape}");
        }
        assert_eq!(error(r#"{"id":"a","turns":[]}"#), "line 2: the dialogue has no turns");
        let blank = r#"{"id":"a","turns":[{"speaker":"customer","text":" "}]}"#;
        assert_eq!(error(blank), "line 2, turn 1: the text is empty");
        assert_eq!(Dialogs::parse("\n"), Err(DialogError::Empty));
    }
}
