//! What the documents of the catalog have in common over REST: one description a kind, and reading,
//! lists, creation, change and deletion made from it.

use std::cmp::Ordering;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Answer;
use super::asked::{Asked, absent, invalid, is_new, json, new_id, not_ahead, written};
use crate::catalog::{Deletable, Entity, Kept, Snapshot, Usage};
use crate::domain::limits::NAME_MAX_BYTES;
use crate::edge::catalog_error;
use crate::protocol::rest::body::PageResponse;
use crate::protocol::rest::query::PAGE_MAX;
use crate::protocol::rest::{ErrorResponse, MergePatch};

/// A kind of document of the catalog, as it is read and written over REST.
pub(super) trait Resource {
    /// What is kept.
    type Entity: Entity;
    /// The body of a creation and of a change.
    type Request: Serialize + DeserializeOwned + JsonSchema + Send;
    /// What it looks like.
    type Response: Serialize + Send;

    /// The name of its id in paths.
    const ID: &'static str;

    /// The version that a body names.
    fn version(request: &Self::Request) -> u64;

    /// The body that would leave it as it is.
    fn present(entity: &Self::Entity) -> Self::Request;

    /// What it looks like; none: it is of another kind.
    fn shown(entity: &Self::Entity, snapshot: &Snapshot) -> Option<Self::Response>;

    /// Adds what others know of it.
    fn complete(_asked: &Asked, _shown: &mut Self::Response) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Whether it is the asker's own.
    fn is_own(_asked: &Asked, _id: <Self::Entity as Entity>::Id) -> bool {
        false
    }

    /// Whether it fits a filter of its list that not every list has.
    fn fits(_entity: &Self::Entity, _snapshot: &Snapshot, _name: &str, _value: &str) -> bool {
        true
    }

    /// What a body means, over the one that is there.
    fn meant(
        asked: &Asked,
        id: <Self::Entity as Entity>::Id,
        request: Self::Request,
        former: Option<&Self::Entity>,
    ) -> impl Future<Output = Result<Self::Entity, ErrorResponse>> + Send;
}

type Id<R> = <<R as Resource>::Entity as Entity>::Id;

/// A page of those that the asker may see.
pub(super) async fn list<R: Resource>(asked: &Asked) -> Answer {
    let snapshot = asked.edge.catalog.snapshot();
    let wanted = Wanted::read(asked)?;
    let mut found: Vec<(Position, &Arc<R::Entity>)> = R::Entity::all(&snapshot)
        .values()
        .filter(|entity| asked.scope.has(R::is_own(asked, entity.id())))
        .filter(|entity| fits::<R>(asked, &wanted, entity, &snapshot))
        .map(|entity| (wanted.position(&**entity), entity))
        .filter(|(position, _)| {
            let after = wanted.after.as_ref();
            after.is_none_or(|after| wanted.order(after, position) == Ordering::Less)
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| wanted.order(one, other));
    let (mut items, mut last, mut next) = (Vec::new(), None, None);
    for (position, entity) in found {
        let Some(mut shown) = R::shown(entity, &snapshot) else { continue };
        if items.len() == wanted.limit {
            next = last.as_ref().map(|last: &Position| last.written(wanted.sort));
            break;
        }
        R::complete(asked, &mut shown).await;
        items.push(shown);
        last = Some(position);
    }
    json(&PageResponse { items, next })
}

fn fits<R: Resource>(
    asked: &Asked,
    wanted: &Wanted,
    entity: &R::Entity,
    snapshot: &Snapshot,
) -> bool {
    asked.query().all(|(name, value)| match name {
        "after" | "limit" | "sort" => true,
        "name" => wanted.name.as_ref().is_none_or(|name| folded(entity.name()).contains(name)),
        _ => R::fits(entity, snapshot, name, value),
    })
}

pub(super) async fn read<R: Resource>(asked: &Asked) -> Answer {
    let id = id::<R>(asked)?;
    let snapshot = asked.edge.catalog.snapshot();
    let shown = R::shown(there::<R>(&snapshot, id)?, &snapshot);
    let mut shown = shown.ok_or_else(super::asked::not_found)?;
    R::complete(asked, &mut shown).await;
    json(&shown)
}

pub(super) async fn create<R: Resource>(asked: &Asked) -> Answer {
    let request: R::Request = asked.body()?;
    is_new(R::version(&request))?;
    let id = R::Entity::id_of(new_id());
    put(asked, R::meant(asked, id, request, None).await?).await
}

pub(super) async fn change<R: Resource>(asked: &Asked) -> Answer {
    let id = id::<R>(asked)?;
    let request: R::Request = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let former = there::<R>(&snapshot, id)?;
    put(asked, R::meant(asked, id, request, Some(former)).await?).await
}

pub(super) async fn patch<R: Resource>(asked: &Asked) -> Answer {
    let id = id::<R>(asked)?;
    let patch: MergePatch<R::Request> = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let former = there::<R>(&snapshot, id)?;
    let request = patch.over(&R::present(former))?;
    not_ahead(R::version(&request), former.version())?;
    put(asked, R::meant(asked, id, request, Some(former)).await?).await
}

async fn put<E: Entity>(asked: &Asked, entity: E) -> Answer {
    let (id, act) = (entity.id(), asked.act()?);
    let put = match asked.dry_run() {
        true => asked.edge.catalog.try_put(entity, &act).await,
        false => asked.edge.catalog.put(entity, &act).await,
    };
    written(id, &put.map_err(|error| catalog_error(&error))?)
}

/// A kind that can be deleted, once it is inactive and nothing refers to it.
pub(super) trait DeletableResource: Resource<Entity: Deletable> {
    /// Whether chats refer to one that is inactive.
    fn usage(
        asked: &Asked,
        entity: &Self::Entity,
    ) -> impl Future<Output = Result<Usage, ErrorResponse>> + Send;

    /// As [`Self::usage`], when it is about to be deleted: from now on nothing begins that refers to it.
    fn retire(
        asked: &Asked,
        entity: &Self::Entity,
    ) -> impl Future<Output = Result<Usage, ErrorResponse>> + Send;

    /// It was not deleted after all; it may have been activated in between.
    fn stays(_asked: &Asked, _id: Id<Self>) {}
}

/// Deletes the version that was seen.
pub(super) async fn delete<R: DeletableResource>(asked: &Asked) -> Answer {
    let id = id::<R>(asked)?;
    let (version, act) = (asked.number("version").unwrap_or_default(), asked.act()?);
    let snapshot = asked.edge.catalog.snapshot();
    // One that is active now is not closed, and is not to be deleted should it be inactive then.
    let inactive = R::Entity::all(&snapshot).get(&id).filter(|entity| !entity.is_active());
    let catalog = &asked.edge.catalog;
    if asked.dry_run() {
        let usage = match inactive {
            Some(entity) => R::usage(asked, entity).await?,
            None => Usage::InUse,
        };
        let tried = catalog.try_delete::<R::Entity>(id, version, usage, &act).await;
        return tried.map(|()| None).map_err(|error| catalog_error(&error));
    }
    let usage = match inactive {
        Some(entity) => R::retire(asked, entity).await,
        None => Ok(Usage::InUse),
    };
    let deleted = match usage {
        Ok(usage) => {
            let deleted = catalog.delete::<R::Entity>(id, version, usage, &act).await;
            deleted.map_err(|error| catalog_error(&error))
        }
        Err(error) => Err(error),
    };
    if deleted.is_err() {
        R::stays(asked, id);
    }
    deleted.map(|()| None)
}

fn id<R: Resource>(asked: &Asked) -> Result<Id<R>, ErrorResponse> {
    asked.id(R::ID, R::Entity::id_of, |id| R::is_own(asked, *id))
}

fn there<R: Resource>(snapshot: &Snapshot, id: Id<R>) -> Result<&R::Entity, ErrorResponse> {
    let found = R::Entity::all(snapshot).get(&id).map(|found| &**found);
    found.ok_or_else(absent(snapshot, id))
}

/// A name without its case: what differs in case alone is the same. Letter by letter, for what stands
/// around a letter has no say in it.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).collect()
}

/// Where an entry stands in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// Empty in the order of ids.
    name: String,
    id: Uuid,
}

impl Position {
    /// As the `next` of a page in that order. Who is renamed while pages are read may be met twice or
    /// not at all; nobody else is.
    fn written(&self, sort: &str) -> String {
        match sort {
            // As it was before there were others.
            "id" => self.id.to_string(),
            _ => format!("{}.{sort}.{}", self.id, URL_SAFE_NO_PAD.encode(&self.name)),
        }
    }

    fn read(text: &str, sort: &str) -> Option<Self> {
        let (id, name) = match sort {
            "id" => (text, ""),
            _ => {
                let (id, rest) = text.split_once('.')?;
                (id, rest.strip_prefix(sort)?.strip_prefix('.')?)
            }
        };
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        Some(Self { name, id: Uuid::parse_str(id).ok()? })
    }
}

/// What a list is asked for.
struct Wanted<'a> {
    sort: &'a str,
    /// What is to be in the names, folded.
    name: Option<String>,
    after: Option<Position>,
    limit: usize,
}

impl<'a> Wanted<'a> {
    fn read(asked: &'a Asked) -> Result<Self, ErrorResponse> {
        let sort = asked.parameter("sort").unwrap_or("id");
        let name = asked.parameter("name");
        if name.is_some_and(|name| name.len() > NAME_MAX_BYTES) {
            return Err(invalid("name", &format!("a name has at most {NAME_MAX_BYTES} bytes")));
        }
        let name = name.map(folded);
        let wrong = || invalid("after", "expected the `next` of a page in this order");
        let after = asked.parameter("after");
        let after = after.map(|text| Position::read(text, sort).ok_or_else(wrong)).transpose()?;
        let limit = asked.number("limit").and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(PAGE_MAX);
        Ok(Self { sort, name, after, limit })
    }

    fn position<E: Entity>(&self, entity: &E) -> Position {
        let by_name = self.sort.ends_with("name");
        let name = if by_name { folded(entity.name()) } else { String::new() };
        Position { name, id: E::uuid(entity.id()) }
    }

    fn order(&self, one: &Position, other: &Position) -> Ordering {
        let order = one.name.cmp(&other.name).then(one.id.cmp(&other.id));
        if self.sort.starts_with('-') { order.reverse() } else { order }
    }
}
