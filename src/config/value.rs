//! How the types of settings are read from a file and from the environment, and written.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;

/// A type that a setting can have.
pub(super) trait SettingValue: Sized {
    /// What is expected, for errors.
    const EXPECTED: &'static str;

    /// From a file. None: another type.
    fn from_file(value: &DeValue<'_>) -> Option<Self>;

    /// From the environment or the command line. None: it cannot be read.
    fn from_text(text: &str) -> Option<Self>;

    /// As it stands in a file.
    fn written(&self) -> String;
}

impl SettingValue for u64 {
    const EXPECTED: &'static str = "a whole number";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        Self::from_str_radix(number.as_str(), number.radix()).ok()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.replace('_', "").parse().ok()
    }

    fn written(&self) -> String {
        let digits = self.to_string();
        let mut grouped = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                grouped.push('_');
            }
            grouped.push(digit);
        }
        grouped
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl SettingValue for SocketAddr {
    const EXPECTED: &'static str = "an address with a port as \"127.0.0.1:8080\"";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn written(&self) -> String {
        quoted(&self.to_string())
    }
}

impl SettingValue for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn written(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl SettingValue for String {
    const EXPECTED: &'static str = "a text";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn written(&self) -> String {
        quoted(self)
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl SettingValue for Secret {
    const EXPECTED: &'static str = "a text";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    /// Nothing of it: what is written is read by others.
    fn written(&self) -> String {
        "\"\"".to_owned()
    }
}

impl SettingValue for Vec<String> {
    const EXPECTED: &'static str = "a list of texts (in the environment with commas between)";

    fn from_file(value: &DeValue<'_>) -> Option<Self> {
        let texts = value.as_array()?.iter();
        texts.map(|text| text.get_ref().as_str().map(str::to_owned)).collect()
    }

    fn from_text(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim);
        Some(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    fn written(&self) -> String {
        let texts: Vec<_> = self.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    }
}
