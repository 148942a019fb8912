//! A ServiceAccount `default` in every namespace.

use corten_client::Informer;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, namespace};
use crate::runner::{Controller, Next, Runner, Writes};

const NAME: &str = "default";

struct ServiceAccountController {
    context: Context,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    let controller = ServiceAccountController {
        context: context.clone(),
        namespaces: context.informers.get(),
        accounts: context.informers.select(&format!("metadata.name={NAME}")),
        writes: Writes::default(),
    };
    let (namespaces, accounts) = (controller.namespaces.clone(), controller.accounts.clone());
    Runner::new(context, controller)
        .watch(namespaces, |_, namespace| vec![Key::of(namespace)])
        .watch(accounts, |_, account| vec![Key::new("", namespace(account))])
        .start(1);
}

impl Controller for ServiceAccountController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn all(&self) -> Vec<Key> {
        self.namespaces.store().state().iter().map(|one| Key::of(&**one)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let namespace = self.namespaces.object(None, &key.name);
        if namespace.is_none_or(|namespace| is_deleted(&*namespace))
            || self.accounts.object(Some(&key.name), NAME).is_some()
        {
            return Ok(Next::Done);
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(key.name.clone()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        let api = Api::<ServiceAccount>::namespaced(self.context.client(), &key.name);
        let created = api.create(&PostParams::default(), &account).await;
        match created.map_err(on::<ServiceAccount>("create", Some(&key.name), NAME)) {
            Ok(created) => self.writes.wrote(key, &created),
            Err(error) if error.is_already_exists() || error.is_namespace_terminating() => {}
            Err(error) => return Err(error),
        }
        Ok(Next::Done)
    }
}
