//! `corten apply`: enough to start without kubectl.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use serde::Deserialize as _;

use crate::command::{print, with_client};
use crate::config::Config;

/// Options of `apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Wait until the Deployments among the objects are available
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, default_value_t = 120)]
    timeout_seconds: u64,
    /// YAML files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(config: &Config, options: &Options) -> Result<ExitCode> {
    // All files are read before the first object is written.
    let mut objects = Vec::new();
    for file in &options.files {
        objects.extend(read(file)?);
    }
    with_client(config, async |client| {
        for object in &objects {
            apply(&client, object).await?;
        }
        if options.wait {
            let limit = Duration::from_secs(options.timeout_seconds);
            for object in objects.iter().filter(|object| is_deployment(object)) {
                wait(&client, object, limit).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn read(file: &Path) -> Result<Vec<DynamicObject>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("read {shown}"))?;
    let mut objects = Vec::new();
    for (index, document) in serde_norway::Deserializer::from_str(&text).enumerate() {
        let place = || format!("{shown}, document {}", index + 1);
        let object = Option::<DynamicObject>::deserialize(document).with_context(place)?;
        // Documents may be empty.
        let Some(object) = object else { continue };
        if object.types.is_none() {
            bail!("{}: apiVersion or kind is missing", place());
        }
        if object.metadata.name.is_none() {
            bail!("{}: metadata.name is missing", place());
        }
        objects.push(object);
    }
    Ok(objects)
}

fn is_deployment(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == "Deployment")
}

async fn apply(client: &Client, object: &DynamicObject) -> Result<()> {
    let types = object.types.as_ref().context("an object has a kind")?;
    let name = object.name_any();
    let kind = &types.kind;
    let gvk = GroupVersionKind::try_from(types)?;
    let (resource, capabilities) = pinned_kind(client, &gvk)
        .await
        .with_context(|| format!("{}/{kind} is not known to the API server", types.api_version))?;
    let failed = || format!("{kind}/{name}");
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let object =
        &with_last_applied(object, capabilities.scope == Scope::Namespaced).with_context(failed)?;
    let word = match api.get_opt(&name).await.with_context(failed)? {
        None => {
            api.create(&PostParams::default(), object).await.with_context(failed)?;
            "created"
        }
        Some(before) => {
            let patch = Patch::Merge(object);
            let after =
                api.patch(&name, &PatchParams::default(), &patch).await.with_context(failed)?;
            let changed = after.resource_version() != before.resource_version();
            if changed { "configured" } else { "unchanged" }
        }
    };
    print(&format!("{}/{name} {word}", kind.to_lowercase()));
    Ok(())
}

/// What kubectl's `apply` compares a manifest with the next time; without it, it warns.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object with itself noted, as kubectl writes it: with a namespace and annotations, ordered by
/// name, and on a line of its own.
fn with_last_applied(object: &DynamicObject, namespaced: bool) -> Result<DynamicObject> {
    let mut object = object.clone();
    if namespaced {
        object.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    }
    object.annotations_mut().remove(LAST_APPLIED);
    let mut plain = serde_json::to_value(&object).context("write it as JSON")?;
    plain.sort_all_objects();
    // Serializing leaves out an empty map, which kubectl does not.
    if object.annotations().is_empty()
        && let Some(metadata) = plain["metadata"].as_object_mut()
    {
        metadata.shift_insert(0, "annotations".to_owned(), serde_json::json!({}));
    }
    // Go's encoder keeps JSON safe inside HTML; these characters are in strings alone.
    let text = plain
        .to_string()
        .replace('&', r"\u0026")
        .replace('<', r"\u003c")
        .replace('>', r"\u003e")
        .replace('\u{2028}', r"\u2028")
        .replace('\u{2029}', r"\u2029");
    object.annotations_mut().insert(LAST_APPLIED.to_owned(), text + "\n");
    Ok(object)
}

async fn wait(client: &Client, object: &DynamicObject, limit: Duration) -> Result<()> {
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
    let api: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let available = await_condition(api, &name, |deployment: Option<&Deployment>| {
        deployment.is_some_and(|deployment| {
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            deployment.status.as_ref().is_some_and(|status| {
                status.observed_generation == deployment.metadata.generation
                    && status.available_replicas.unwrap_or(0) >= wanted
            })
        })
    });
    print(&format!("waiting for deployment/{name}"));
    match tokio::time::timeout(limit, available).await {
        Ok(outcome) => outcome.map(drop).with_context(|| format!("wait for deployment/{name}")),
        Err(_elapsed) => bail!(
            "deployment/{name} is not available after {} s; `corten status` and \
             `kubectl describe pods` tell more",
            limit.as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_noted_as_kubectl_notes_it() {
        let manifest = serde_json::json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": { "name": "a", "annotations": { LAST_APPLIED: "old" } },
            "data": { "z": "<&>", "b": "c" },
        });
        let object: DynamicObject = serde_json::from_value(manifest).unwrap();
        let noted = with_last_applied(&object, true).unwrap();
        let expected = r#"{"apiVersion":"v1","data":{"b":"c","z":"\u003c\u0026\u003e"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"a","namespace":"default"}}"#;
        assert_eq!(noted.annotations()[LAST_APPLIED], format!("{expected}\n"));
        assert_eq!(noted.namespace().as_deref(), Some("default"));
    }
}
