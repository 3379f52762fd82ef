//! Changes of a part: merge patches (RFC 7396) over the bodies that `PUT` takes.
//!
//! Owns how a patch is read and merged. Refuses to know what there is: the caller gives it, and holds
//! the version of what it gave against the one that the patch names.
//! Invariants: what comes of a patch is read as strictly as a whole body, so that there is none that
//! `PUT` would refuse; a member that no such body has is refused, also when it is to be removed; a
//! patch names the version that was seen, which is never taken from what is there.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::body::{Secret, read_body};
use super::error::{ErrorResponse, RestErrorKind};

/// The media type of a merge patch.
pub const MERGE_PATCH_TYPE: &str = "application/merge-patch+json";

/// The member with the version that was seen.
const VERSION: &str = "version";

/// The member that is set and never shown: it is not there to be removed.
const PASSWORD: &str = "password";

/// Merges a patch into a value: members of objects by their names, `null` removes, all else replaces.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// A merge patch over a body. It may have a password, so it does not show in logs.
pub struct MergePatch<R> {
    members: Map<String, Value>,
    over: PhantomData<fn() -> R>,
}

impl<R: Serialize + DeserializeOwned + JsonSchema> MergePatch<R> {
    /// The body that it makes of what there is; with the patch's own version, 0 when it names none.
    /// Errors as a whole body would be refused.
    pub fn over(self, present: &R) -> Result<R, ErrorResponse> {
        let internal = |error: serde_json::Error| {
            tracing::error!(%error, "a patch was not merged");
            ErrorResponse::of(RestErrorKind::Internal)
        };
        let mut whole = serde_json::to_value(present).map_err(internal)?;
        let known = members_of::<R>();
        let removed = self.members.get(PASSWORD).is_some_and(Value::is_null);
        if removed && known.contains(PASSWORD) {
            let what = "a password is not taken away; set another one, or deactivate the user";
            return Err(ErrorResponse::new(RestErrorKind::InvalidValue, what).at(PASSWORD));
        }
        let (patch, foreign): (Map<_, _>, Map<_, _>) =
            self.members.into_iter().partition(|(name, _)| known.contains(name));
        merge(&mut whole, json!({VERSION: null}));
        merge(&mut whole, Value::Object(patch));
        if let Value::Object(whole) = &mut whole {
            // Whatever they say, also `null`: whoever reads the whole refuses them.
            whole.extend(foreign);
        }
        read_body(&serde_json::to_vec(&whole).map_err(internal)?)
    }
}

/// The names that members of such a body can have.
fn members_of<R: JsonSchema>() -> BTreeSet<String> {
    let schema = R::json_schema(&mut SchemaGenerator::default());
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

impl<'de, R> Deserialize<'de> for MergePatch<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = deserializer.deserialize_map(Members)?;
        Ok(Self { members, over: PhantomData })
    }
}

/// Reads the members of an object, each of which comes once, as in a whole body.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            members.insert(name, value);
        }
        Ok(members)
    }
}

impl<R: JsonSchema> JsonSchema for MergePatch<R> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}PatchRequest", R::schema_name().trim_end_matches("Request")).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = R::json_schema(generator);
        let required: BTreeSet<String> = schema
            .remove("required")
            .and_then(|names| serde_json::from_value(names).ok())
            .unwrap_or_default();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            if properties.contains_key(PASSWORD) {
                let what = "A new password, 10 characters or more; not one's own.";
                let mut password = generator.subschema_for::<Secret>();
                password.insert("description".to_owned(), what.into());
                properties.insert(PASSWORD.to_owned(), password.to_value());
            }
            for (name, property) in properties.iter_mut() {
                if let Value::Object(property) = property {
                    property.remove("default");
                }
                let stays = [VERSION, PASSWORD].contains(&name.as_str()) || required.contains(name);
                if !stays && !takes_null(property) {
                    *property = json!({"anyOf": [property.take(), {"type": "null"}]});
                }
            }
            if let Some(version) = properties.get_mut(VERSION) {
                version["description"] = "The version that was seen.".into();
            }
        }
        schema.insert("required".to_owned(), json!([VERSION]));
        let what = format!(
            "A merge patch (RFC 7396) over `{}`: a member that is absent stays as it is, `null` makes it \
             what it is when `PUT` does not name it, another value replaces it, a list as a whole.",
            R::schema_name()
        );
        schema.insert("description".to_owned(), what.into());
        schema
    }
}

/// Whether a schema says that `null` will do.
fn takes_null(schema: &Value) -> bool {
    let of_type = |schema: &Value| match &schema["type"] {
        Value::String(one) => one == "null",
        Value::Array(several) => several.iter().any(|one| one == "null"),
        _ => false,
    };
    of_type(schema) || schema["anyOf"].as_array().is_some_and(|any| any.iter().any(of_type))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merged(mut target: Value, patch: Value) -> Value {
        merge(&mut target, patch);
        target
    }

    /// The examples of RFC 7396, appendix A: target, patch, result.
    #[test]
    fn the_examples_of_the_standard_come_out_as_it_says() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (target, patch, result) in cases {
            assert_eq!(merged(target.clone(), patch.clone()), result, "{patch} over {target}");
        }
    }

    /// A patch that makes `to` of `from`, neither of which has a `null`.
    fn difference(from: &Value, to: &Value) -> Value {
        let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
        let gone = from.keys().filter(|name| !to.contains_key(*name));
        let mut patch: Map<_, _> = gone.map(|name| (name.clone(), Value::Null)).collect();
        for (name, value) in to {
            match from.get(name) {
                Some(before) if before == value => {}
                Some(before) if before.is_object() && value.is_object() => {
                    patch.insert(name.clone(), difference(before, value));
                }
                // What was no object is replaced, and is one of the same members then.
                Some(_) | None => drop(patch.insert(name.clone(), value.clone())),
            }
        }
        Value::Object(patch)
    }

    fn tree(leaf: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
        leaf.prop_recursive(3, 24, 4, |inner| {
            let member = ("[a-d]", inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..3).prop_map(Value::Array),
                prop::collection::vec(member, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn leaf() -> BoxedStrategy<Value> {
        prop_oneof![any::<bool>().prop_map(Value::Bool), (0..3_u8).prop_map(Value::from)].boxed()
    }

    fn without_null() -> impl Strategy<Value = Value> {
        tree(leaf())
    }

    fn with_null() -> impl Strategy<Value = Value> {
        tree(prop_oneof![leaf(), Just(Value::Null)].boxed())
    }

    proptest! {
        #[test]
        fn a_patch_that_is_applied_again_changes_nothing(target in with_null(), patch in with_null()) {
            let once = merged(target, patch.clone());
            prop_assert_eq!(merged(once.clone(), patch), once);
        }

        #[test]
        fn an_empty_patch_changes_no_object(target in with_null()) {
            let object = json!({"of": target});
            prop_assert_eq!(merged(object.clone(), json!({})), object);
        }

        #[test]
        fn members_that_are_not_named_stay(target in with_null(), patch in with_null()) {
            let (target, patch) = (json!({"kept": target, "a": 1}), json!({"a": patch}));
            prop_assert_eq!(&merged(target.clone(), patch)["kept"], &target["kept"]);
        }

        #[test]
        fn there_is_a_patch_between_any_two_without_null(from in without_null(), to in without_null()) {
            let patch = difference(&from, &to);
            prop_assert_eq!(merged(from, patch), to);
        }
    }
}
