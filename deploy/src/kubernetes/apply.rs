//! Server-side apply: whatever kind of objects the manifests hold.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use super::APPLIER;

/// Whether there is a namespace of this name.
pub(super) async fn exists(client: &Client, namespace: &str) -> Result<bool> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let found = namespaces.get_opt(namespace).await.context("cannot look for the namespace")?;
    Ok(found.is_some())
}

/// Whoever else set what we set must stand back.
pub(super) fn ours() -> PatchParams {
    PatchParams::apply(APPLIER).force()
}

/// Applies objects, in this order.
pub(super) async fn apply(client: &Client, objects: &[Value]) -> Result<()> {
    for object in objects {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let (group, version) =
            text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = match text("/metadata/namespace") {
            "" => Api::<DynamicObject>::all_with(client.clone(), &resource),
            namespace => Api::namespaced_with(client.clone(), namespace, &resource),
        };
        let applied = api.patch(name, &ours(), &Patch::Apply(object)).await;
        applied.with_context(|| format!("cannot apply the {kind} {name}"))?;
    }
    Ok(())
}
