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
    let wrong = |field: &str, cause: &str| Wrong {
        field: field.to_owned(),
        cause: cause.to_owned(),
    };
    if !text.trim_start().starts_with('{') {
        return Err(wrong(name, "expected an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { name } else { &path };
        let cause = error.inner().to_string();
        // The position counts from the beginning of the object, which would mislead.
        wrong(field, cause.split(" at line ").next().unwrap_or_default())
    })?;
    match deserializer.end() {
        Ok(()) => Ok(read),
        Err(_) => Err(wrong(name, "there is something behind the object")),
    }
}
