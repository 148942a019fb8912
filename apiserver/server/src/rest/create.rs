//! New objects.

use std::sync::Arc;

use corten_api_k8s::field::go_quote;
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::lifecycle;
use corten_apiserver_store::{Expect, Op, TxnError};
use http::StatusCode;
use serde_json::Value;

use super::{Context, Payload, Reply, names, storage};
use crate::admission::{self, Operation};
use crate::authz::escalation;
use crate::error;
use crate::state::Api;
use crate::user::User;

/// How many names are tried for a `generateName`.
const GENERATE_ATTEMPTS: usize = 8;

/// `create`.
pub(crate) async fn create(ctx: &Context<'_>) -> Result<Reply, Status> {
    let decoded = ctx.decode()?;
    let request = New {
        api: ctx.api,
        user: ctx.user,
        kind: ctx.kind,
        namespace: &ctx.resource.namespace,
        dry_run: ctx.dry_run()?,
    };
    let created = request.create(decoded.object).await?;
    Ok(Reply::new(StatusCode::CREATED, created, decoded.warnings))
}

/// Creates an object on the server's own behalf, by the road that every request takes.
pub(crate) async fn create_internal(
    api: &Api,
    kind: &'static Kind,
    object: Value,
) -> Result<(), Status> {
    let user = User::authenticated("system:apiserver", &[crate::user::MASTERS.to_owned()]);
    let namespace = meta::namespace(&object).to_owned();
    let request = New { api, user: &user, kind, namespace: &namespace, dry_run: false };
    request.create(object).await.map(drop)
}

struct New<'a> {
    api: &'a Api,
    user: &'a User,
    kind: &'static Kind,
    namespace: &'a str,
    dry_run: bool,
}

impl New<'_> {
    async fn create(&self, mut object: Value) -> Result<Payload, Status> {
        let kind = self.kind;
        check_namespace(kind, self.namespace, &object)?;
        self.prepare_metadata(&mut object)?;
        lifecycle::default(kind, &mut object);
        let admission = admission::Request {
            api: self.api,
            user: self.user,
            kind,
            subresource: "",
            namespace: self.namespace,
            operation: Operation::Create,
        };
        admission::admit(&admission, &mut object, None)?;
        let base = meta::generate_name(&object).to_owned();
        let generated = meta::name(&object).is_empty() && !base.is_empty();
        for attempt in 1.. {
            if generated {
                meta::set_name(&mut object, &names::generate(&base));
            }
            let name = meta::name(&object).to_owned();
            lifecycle::before_create(kind, &mut object)?;
            escalation::check(self.api, self.user, kind, &object, None)?;
            match self.store(&mut object).await? {
                Some(payload) => return Ok(payload),
                None if !generated => return Err(status::already_exists(kind, &name)),
                None if attempt < GENERATE_ATTEMPTS => {}
                None => return Err(status::generate_name_conflict(kind, &name)),
            }
        }
        Err(status::internal("no name was found"))
    }

    fn prepare_metadata(&self, object: &mut Value) -> Result<(), Status> {
        if !meta::resource_version(object).is_empty() {
            return Err(status::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        if self.kind.namespaced {
            meta::set_namespace(object, self.namespace);
        }
        let metadata = meta::metadata_mut(object);
        for field in
            ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"]
        {
            metadata.shift_remove(field);
        }
        meta::set_uid(object, &self.api.new_uid());
        meta::set_creation_timestamp(object, self.api.now());
        Ok(())
    }

    /// Writes the object; none if there is one of that name.
    async fn store(&self, object: &mut Value) -> Result<Option<Payload>, Status> {
        let kind = self.kind;
        let name = meta::name(object).to_owned();
        let key = storage::key(kind, self.namespace, &name);
        // Held until the object is there, so that nothing is given out twice.
        let _allocation = self.api.allocators.assign(self.api, kind, object, None).await?;
        if self.dry_run {
            let exists = self.api.store.get(&key).is_some();
            return Ok((!exists).then(|| Payload::Object(Arc::new(object.clone()))));
        }
        let stored = storage::unview(kind, object.clone());
        let value = storage::encode(&stored)?;
        let put = Op::Put { key, value, expect: Expect::Absent };
        match self.api.store.txn(vec![put]).await {
            Ok(done) => match done.entries.into_iter().next().flatten() {
                Some(entry) => {
                    Ok(Some(Payload::Wire(storage::wire(kind, &entry, entry.modified()))))
                }
                None => Err(status::internal("the write left nothing")),
            },
            Err(TxnError::Conflict { current: Some(_), .. }) => Ok(None),
            Err(failed) => Err(error::from_txn(kind, &name, &failed)),
        }
    }
}

/// The namespace in an object must be that of the URL, or be left out.
pub(crate) fn check_namespace(kind: &Kind, namespace: &str, object: &Value) -> Result<(), Status> {
    let own = meta::namespace(object);
    if own.is_empty() || (kind.namespaced && own == namespace) {
        return Ok(());
    }
    if !kind.namespaced {
        return Err(status::bad_request(format!(
            "namespace is not allowed on cluster-scoped {}, got {}",
            kind.plural,
            go_quote(own)
        )));
    }
    Err(status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}
