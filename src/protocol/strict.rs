//! Reading objects that clients send: only objects, and errors that name the field.

use serde::de::DeserializeOwned;

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {cause}")]
pub struct Wrong {
    /// Where, as a path; the object's own name when it is the object itself.
    pub field: String,
    /// What.
    pub cause: String,
}

/// Reads an object, which errors call `name`. Arrays are refused, though derived types would take
/// them: a client would rely on the order of our fields.
pub fn read_object<T: DeserializeOwned>(text: &str, name: &str) -> Result<T, Wrong> {
    let wrong =
        |field: &str, cause: &str| Wrong { field: field.to_owned(), cause: cause.to_owned() };
    if !text.trim_start().starts_with('{') {
        return Err(wrong(name, "expected an object"));
    }
    // The path of a field is kept track of only where it has to be told: that costs as much as reading.
    if let Ok(read) = serde_json::from_str(text) {
        return Ok(read);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // "." is the object itself, "?" what ends before a member is known.
        let whole = path == "." || path == "?";
        let field = if whole { name } else { &path };
        wrong(field, &cause(&error.inner().to_string()))
    })?;
    match deserializer.end() {
        Ok(()) => Ok(read),
        Err(_) => Err(wrong(name, "there is something behind the object")),
    }
}

/// What serde says, without the position, which counts from the beginning of the object and would
/// mislead, and without a text that was sent: it may be a message or a secret in the wrong place.
fn cause(said: &str) -> String {
    let said = match said.rfind(" at line ") {
        Some(at) => &said[..at],
        None => said,
    };
    let quotes = said.find("string \"");
    match (quotes, said.rfind(", expected ")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}string{}", &said[..from], &said[to..])
        }
        (Some(_), Some(_) | None) | (None, Some(_) | None) => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Numbers {
        #[serde(rename = "n")]
        _n: Vec<u8>,
    }

    fn refused(text: &str) -> Wrong {
        read_object::<Numbers>(text, "body").unwrap_err()
    }

    #[test]
    fn a_wrong_value_is_named_and_never_quoted() {
        let wrong = refused(r#"{"n": [1, "my card, expected \" at line 4111"]}"#);
        assert_eq!(wrong.field, "n[1]");
        assert_eq!(wrong.cause, "invalid type: string, expected u8");
        assert_eq!(refused(r#"{"n": [256]}"#).cause, "invalid value: integer `256`, expected u8");
    }

    #[test]
    fn only_one_object_is_taken() {
        assert!(read_object::<Numbers>(r#" {"n": []} "#, "body").is_ok());
        for other in ["", "[[]]", "7", r#"{"n": []} {}"#, r#"{"n": []"#] {
            assert_eq!(refused(other).field, "body", "{other}");
        }
    }
}
