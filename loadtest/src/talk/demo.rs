//! The people of `config/demo.toml`, by the names that the demonstration gives them.

use serde::Deserialize;

/// The demonstration's seed, as it stands in the repository.
const SEED: &str = include_str!("../../../config/demo.toml");

/// An operator, or somebody else with a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DemoUser {
    /// The login.
    pub login: String,
    /// The role.
    pub role: String,
    /// The published password.
    pub password: String,
}

#[derive(Deserialize)]
struct DemoSeed {
    #[serde(rename = "user")]
    users: Vec<DemoUser>,
}

/// All of them. Errors when the seed in the repository is none.
pub fn users() -> Result<Vec<DemoUser>, toml::de::Error> {
    toml::from_str::<DemoSeed>(SEED).map(|seed| seed.users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_has_operators_and_an_administrator() {
        let users = users().unwrap();
        let of = |role: &str| users.iter().filter(|user| user.role == role).count();
        assert_eq!((of("operator"), of("administrator")), (4, 1));
    }
}
