//! The manifests in `deploy/kubernetes`, rendered by `kubectl kustomize`, and what a cluster of the
//! harness's own has different: its namespace, image, size and parameters.

use std::{io::ErrorKind, process::Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use include_dir::{Dir, include_dir};
use serde_json::{Map, Value, json};
use tokio::process::Command;

use super::{
    PART_OF, RUN_LABEL,
    access::{Budgets, Reach},
    links::LINKS,
};
use crate::secrets::Secrets;

/// The very files that a person applies with kubectl.
static MANIFESTS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/kubernetes");

/// What the manifests call the image.
const IMAGE: &str = "consensus-lab";

/// Where the link faults in force are, in a replica's container.
const LINKS_FOLDER: &str = "/links";

/// What a replica's disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Volumes {
    /// A claim, which outlives its pod.
    #[default]
    Claims,
    /// An `emptyDir`, which ends with its pod.
    EmptyDir,
}

/// What is different from the manifests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Edition {
    pub namespace: String,
    pub run: String,
    pub image: String,
    pub protocol: String,
    pub volumes: Volumes,
    /// How many replicas.
    pub replicas: usize,
    /// What every replica is told: flags, each with its value.
    pub arguments: Vec<(String, String)>,
    /// What only replicas may read.
    pub secrets: Secrets,
    /// Whether there are gateways.
    pub gateway: bool,
    /// Whether link faults are there for whoever starts.
    pub links: bool,
}

/// The objects of a cluster, in the order in which they are applied.
pub(super) async fn render(reach: &Reach, edition: &Edition) -> Result<Vec<Value>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the manifests")?;
    MANIFESTS.extract(folder.path()).context("cannot write the manifests")?;
    let overlay = folder.path().join(overlay(edition, reach.budgets()));
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("kustomize").arg(&overlay).stdin(Stdio::null()).kill_on_drop(true);
    let rendered = kubectl.output().await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("there is no kubectl here, which renders the manifests (`kubectl kustomize`)")
        }
        _ => anyhow!("kubectl cannot be started: {error}"),
    })?;
    if !rendered.status.success() {
        let why = String::from_utf8_lossy(&rendered.stderr);
        bail!("kubectl cannot render the manifests: {}", why.trim());
    }
    let text = std::str::from_utf8(&rendered.stdout).context("manifests are text")?;
    customize(parse(text)?, edition)
}

fn overlay(edition: &Edition, budgets: Budgets) -> String {
    let volumes = match edition.volumes {
        Volumes::Claims => "claims",
        Volumes::EmptyDir => "emptydir",
    };
    let server = match budgets {
        Budgets::Current => "overlays",
        Budgets::Beta => "overlays/1.20",
    };
    format!("{server}/{}-{volumes}", edition.protocol)
}

fn parse(text: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(text).context("the rendered manifests are no YAML")
}

/// Makes the objects those of this edition; the namespace comes first.
fn customize(mut objects: Vec<Value>, edition: &Edition) -> Result<Vec<Value>> {
    if !edition.secrets.is_empty() {
        objects.insert(0, secret(&edition.secrets));
    }
    objects.sort_by_key(|object| object["kind"] != "Namespace");
    let (mut variables, mut appended) = (Vec::new(), Vec::new());
    for (flag, value) in &edition.arguments {
        match told_by(&objects, flag) {
            Some(variable) => variables.push((variable, value.clone())),
            None => appended.push(format!("{flag}={value}")),
        }
    }
    variables.push(("CLUSTER".to_owned(), edition.namespace.clone()));
    for object in &mut objects {
        place(object, edition)?;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "ConfigMap" => set_variables(object, &variables),
            "StatefulSet" => replicas(object, edition, &appended)?,
            "Deployment" if !edition.gateway => object["spec"]["replicas"] = json!(0),
            "PodDisruptionBudget" => {
                object["spec"]["minAvailable"] = json!(edition.replicas / 2 + 1);
            }
            _ => {}
        }
    }
    Ok(objects)
}

/// The Secret that the replicas' pods have mounted, if there is one.
fn secret(secrets: &Secrets) -> Value {
    let files: Map<_, _> =
        secrets.files().map(|(name, text)| (name.to_owned(), json!(text))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "peers", "labels": { "app.kubernetes.io/part-of": PART_OF } },
        "stringData": files,
    })
}

/// The variable by which the manifests tell replicas this flag.
fn told_by(objects: &[Value], flag: &str) -> Option<String> {
    let all = objects.iter().filter(|object| object["kind"] == "StatefulSet");
    let containers =
        all.filter_map(|object| object["spec"]["template"]["spec"]["containers"].as_array());
    let arguments = containers.flatten().filter_map(|container| container["args"].as_array());
    let told = arguments.flatten().filter_map(|argument| {
        let value = argument.as_str()?.strip_prefix(flag)?.strip_prefix('=')?;
        Some(value.strip_prefix("$(")?.strip_suffix(')')?.to_owned())
    });
    told.into_iter().next()
}

/// Puts an object, and the pods that are made after it, into the namespace, and labels them.
fn place(object: &mut Value, edition: &Edition) -> Result<()> {
    let namespace = json!(edition.namespace);
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = namespace;
    } else {
        object["metadata"]["namespace"] = namespace;
    }
    let run = json!(edition.run);
    object["metadata"]["labels"][RUN_LABEL] = run.clone();
    let Some(pods) = object.pointer_mut("/spec/template") else { return Ok(()) };
    pods["metadata"]["labels"][RUN_LABEL] = run;
    let containers = pods["spec"]["containers"].as_array_mut();
    for container in containers.context("a pod has containers")? {
        if container["image"] == IMAGE {
            container["image"] = json!(edition.image);
        }
    }
    Ok(())
}

fn set_variables(object: &mut Value, variables: &[(String, String)]) {
    let Some(data) = object["data"].as_object_mut() else { return };
    for (name, value) in variables {
        if let Some(known) = data.get_mut(name) {
            *known = json!(value);
        }
    }
}

fn replicas(object: &mut Value, edition: &Edition, appended: &[String]) -> Result<()> {
    let spec = &mut object["spec"];
    spec["replicas"] = json!(edition.replicas);
    let pod = &mut spec["template"]["spec"];
    let container = &mut pod["containers"][0];
    let arguments = container["args"].as_array_mut().context("replicas are told something")?;
    arguments.extend(appended.iter().map(|argument| json!(argument)));
    if edition.links {
        arguments.push(json!(format!("--link-rules={LINKS_FOLDER}/{LINKS}")));
        let mount = json!({ "name": "links", "mountPath": LINKS_FOLDER, "readOnly": true });
        push(&mut container["volumeMounts"], mount);
        push(&mut pod["volumes"], json!({ "name": "links", "configMap": { "name": "links" } }));
    }
    Ok(())
}

fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

/// A Job of the run's own beside the replicas, whose pod may do as little as they may, and is tried once.
pub(super) fn errand(
    edition: &Edition,
    name: &str,
    component: &str,
    arguments: &[&str],
    more: Value,
) -> Value {
    let mut container = json!({
        "name": "harness",
        "image": edition.image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    let mut spec = json!({
        "serviceAccountName": "replica",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    merge(&mut container, &more["container"]);
    merge(&mut spec, &more["spec"]);
    spec["containers"] = json!([container]);
    let labels = json!({
        "app.kubernetes.io/part-of": PART_OF,
        "app.kubernetes.io/component": component,
        RUN_LABEL: edition.run,
    });
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "namespace": edition.namespace, "labels": labels },
        "spec": {
            "backoffLimit": 0,
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    })
}

fn merge(into: &mut Value, more: &Value) {
    let more: Option<&Map<String, Value>> = more.as_object();
    for (name, value) in more.into_iter().flatten() {
        into[name] = value.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition() -> Edition {
        let told = [("--members", "1,2,3"), ("--seed", "7"), ("--storage", "memory")];
        Edition {
            namespace: "consensus-mine".to_owned(),
            run: "mine".to_owned(),
            image: "consensus-lab:abc".to_owned(),
            protocol: "raft".to_owned(),
            volumes: Volumes::Claims,
            replicas: 3,
            arguments: told.map(|(flag, value)| (flag.to_owned(), value.to_owned())).into(),
            secrets: Secrets::default(),
            gateway: false,
            links: true,
        }
    }

    /// The files of the base, as they are.
    fn base() -> Vec<Value> {
        let files = ["namespace", "parameters", "replicas", "gateway"];
        let text = files.map(|name| {
            let file = MANIFESTS.get_file(format!("base/{name}.yaml")).unwrap();
            file.contents_utf8().unwrap()
        });
        parse(&text.join("\n---\n")).unwrap()
    }

    fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
        objects.iter().find(|object| object["kind"] == kind).unwrap()
    }

    #[test]
    fn an_edition_is_told_by_the_variables_that_there_are_and_by_flags_else() {
        let objects = customize(base(), &edition()).unwrap();
        assert_eq!(objects[0]["kind"], "Namespace");
        assert_eq!(objects[0]["metadata"]["name"], "consensus-mine");
        let parameters = &of_kind(&objects, "ConfigMap")["data"];
        assert_eq!(
            (&parameters["MEMBERS"], &parameters["STORAGE"]),
            (&json!("1,2,3"), &json!("memory"))
        );
        assert_eq!(parameters["CLUSTER"], "consensus-mine");
        let replicas = &of_kind(&objects, "StatefulSet")["spec"];
        assert_eq!(replicas["replicas"], 3);
        let container = &replicas["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "consensus-lab:abc");
        let arguments = container["args"].as_array().unwrap();
        assert!(arguments.contains(&json!("--members=$(MEMBERS)")));
        assert!(arguments.contains(&json!("--seed=7")));
        assert!(!arguments.iter().any(|argument| argument == "--storage=memory"));
        assert_eq!(of_kind(&objects, "Deployment")["spec"]["replicas"], 0);
    }

    #[test]
    fn what_only_replicas_may_read_is_in_the_secret_that_their_pods_mount() {
        let told = |secrets: Secrets, peers: &str| {
            let arguments = vec![("--peers".to_owned(), peers.to_owned())];
            customize(base(), &Edition { secrets, arguments, ..edition() }).unwrap()
        };
        let plain = told(Secrets::default(), "plain");
        assert!(!plain.iter().any(|object| object["kind"] == "Secret"));
        assert_eq!(of_kind(&plain, "ConfigMap")["data"]["PEERS"], "plain");

        let objects = told(Secrets::new([("tls.key", "hidden".to_owned())]), "tls");
        assert_eq!(objects[0]["kind"], "Namespace");
        assert_eq!(of_kind(&objects, "ConfigMap")["data"]["PEERS"], "tls");
        let secret = of_kind(&objects, "Secret");
        assert_eq!(secret["metadata"]["namespace"], "consensus-mine");
        assert_eq!(secret["stringData"], json!({ "tls.key": "hidden" }));
        let pod = &of_kind(&objects, "StatefulSet")["spec"]["template"]["spec"];
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == "certificates").unwrap();
        assert_eq!(volume["secret"]["secretName"], secret["metadata"]["name"]);
    }

    #[test]
    fn every_overlay_that_may_be_asked_for_is_there() {
        for protocol in ["raft", "multipaxos"] {
            for volumes in [Volumes::Claims, Volumes::EmptyDir] {
                for budgets in [Budgets::Current, Budgets::Beta] {
                    let edition = Edition { protocol: protocol.to_owned(), volumes, ..edition() };
                    let path = format!("{}/kustomization.yaml", overlay(&edition, budgets));
                    assert!(MANIFESTS.get_file(&path).is_some(), "{path}");
                }
            }
        }
    }
}
