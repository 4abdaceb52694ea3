//! The pods of a namespace, as its API server tells of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Preconditions},
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::PART_OF;

/// Why a container that waits will not start by itself.
const HOPELESS: [&str; 6] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// Pods by name.
pub(super) type Seen = BTreeMap<String, Pod>;

/// The pods of a namespace that are part of the laboratory. They are watched as long as anybody holds
/// this.
#[derive(Clone)]
pub(super) struct Pods {
    api: Api<Pod>,
    seen: watch::Receiver<Seen>,
    /// Who was ended: where one of their names is seen next, it is another pod that is meant.
    spent: Arc<Mutex<BTreeSet<String>>>,
    _watching: Arc<JoinSet<()>>,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pods").finish_non_exhaustive()
    }
}

impl Pods {
    /// Begins to watch.
    pub fn watch(client: &Client, namespace: &str) -> Self {
        let api = Api::<Pod>::namespaced(client.clone(), namespace);
        let (teller, seen) = watch::channel(Seen::new());
        let mut watching = JoinSet::new();
        watching.spawn(follow(api.clone(), teller));
        Self { api, seen, spent: Arc::default(), _watching: Arc::new(watching) }
    }

    pub const fn api(&self) -> &Api<Pod> {
        &self.api
    }

    /// What is seen now.
    pub fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Where a pod is.
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        self.seen.borrow().get(name)?.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
    }

    /// Waits until something holds of what is seen, and says what.
    pub async fn until<T>(&self, holds: impl Fn(&Seen) -> Option<T>) -> Result<T> {
        let mut seen = self.seen.clone();
        loop {
            if let Some(found) = holds(&seen.borrow_and_update()) {
                return Ok(found);
            }
            seen.changed().await.context("nobody watches the pods any more")?;
        }
    }

    /// The same, but not for ever.
    pub async fn within<T>(
        &self,
        limit: Duration,
        holds: impl Fn(&Seen) -> Option<T>,
    ) -> Result<Option<T>> {
        timeout(limit, self.until(holds)).await.ok().transpose()
    }

    /// Takes note that a pod was ended: its successor is another.
    pub fn spend(&self, uid: &str) {
        self.spent.lock().expect("nobody panics while holding it").insert(uid.to_owned());
    }

    pub fn is_spent(&self, uid: &str) -> bool {
        self.spent.lock().expect("nobody panics while holding it").contains(uid)
    }

    /// Deletes a pod without grace, if it is still this one.
    pub async fn delete_at_once(&self, name: &str, uid: &str) -> Result<()> {
        self.delete(name, uid, Some(0)).await
    }

    /// Deletes a pod with the grace that it asks for, if it is still this one.
    pub async fn delete_in_peace(&self, name: &str, uid: &str) -> Result<()> {
        self.delete(name, uid, None).await
    }

    async fn delete(&self, name: &str, uid: &str, grace: Option<u32>) -> Result<()> {
        let this = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let how = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(this),
            ..DeleteParams::default()
        };
        match self.api.delete(name, &how).await {
            Err(error) if !is_gone(&error) => {
                Err(error).with_context(|| format!("cannot delete the pod {name}"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether what was asked for was not there, or was another by then.
pub(super) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}

async fn follow(api: Api<Pod>, teller: watch::Sender<Seen>) {
    let label = format!("app.kubernetes.io/part-of={PART_OF}");
    let events = watcher(api, watcher::Config::default().labels(&label)).default_backoff();
    let mut events = std::pin::pin!(events);
    let mut listed = Seen::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => drop(listed.insert(pod.name_any(), pod)),
            Ok(watcher::Event::InitDone) => {
                teller.send_replace(std::mem::take(&mut listed));
            }
            Ok(watcher::Event::Apply(pod)) => {
                teller.send_modify(|seen| drop(seen.insert(pod.name_any(), pod)));
            }
            Ok(watcher::Event::Delete(pod)) => teller.send_modify(|seen| {
                let name = pod.name_any();
                if seen.get(&name).is_some_and(|known| known.uid() == pod.uid()) {
                    seen.remove(&name);
                }
            }),
            // It is asked again, after a while.
            Err(_interrupted) => {}
        }
    }
}

/// What the kubelet says of a pod's one container.
pub(super) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// Whether its container runs.
pub(super) fn runs(pod: &Pod) -> bool {
    let state = container(pod).and_then(|it| it.state.as_ref());
    state.is_some_and(|state| state.running.is_some())
}

/// Whether its container is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    container(pod).is_some_and(|container| container.ready)
}

/// Why a pod will not run, if that is certain.
pub(super) fn hopeless(pod: &Pod) -> Option<String> {
    let waiting = container(pod)?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| HOPELESS.contains(reason))?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(format!("{reason}: {message}"))
}

/// How the pod of this uid ended, or its container, which had been started so often; `None` if it has not.
pub(super) fn ended(pod: Option<&Pod>, uid: &str, restarts: i32) -> Option<String> {
    let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(uid)) else {
        return Some("its pod was deleted".to_owned());
    };
    let container = container(pod)?;
    let terminated = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.clone())
    };
    if let Some(how) = terminated(&container.state) {
        return Some(describe(&how));
    }
    let last = terminated(&container.last_state).filter(|_| container.restart_count > restarts);
    // A kubelet may clear a container away before it has told how that ended.
    let forgotten = || (!runs(pod)).then(|| "its container is gone".to_owned());
    last.map(|how| describe(&how)).or_else(forgotten)
}

fn describe(how: &ContainerStateTerminated) -> String {
    let reason = how.reason.as_deref().filter(|reason| !["Error", "Completed"].contains(reason));
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("exit status: {}{reason}", how.exit_code)
}

/// How a pod is, in a line.
pub(super) fn state(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("unknown");
    let restarts = container(pod).map_or(0, |container| container.restart_count);
    let why = hopeless(pod).or_else(|| {
        let conditions = status?.conditions.as_ref()?;
        let unmet = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False");
        unmet?.message.clone()
    });
    let ending = pod.metadata.deletion_timestamp.as_ref().map(|_| "is being deleted".to_owned());
    let ready = (phase == "Running" && !is_ready(pod)).then(|| "not ready".to_owned());
    let restarted = (restarts > 0).then(|| format!("restarted {restarts} times"));
    let words = [Some(phase.to_owned()), ready, restarted, ending, why];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(state: Value) -> Pod {
        let container = json!({
            "name": "replica", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state,
        });
        let pod =
            json!({ "metadata": { "uid": "one" }, "status": { "containerStatuses": [container] } });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_container_has_ended_however_that_is_told() {
        let end = |state, uid, restarts| ended(Some(&pod(state)), uid, restarts);
        assert_eq!(end(json!({ "running": {} }), "one", 1), None);
        assert_eq!(ended(None, "one", 1).unwrap(), "its pod was deleted");
        assert_eq!(end(json!({ "running": {} }), "other", 1).unwrap(), "its pod was deleted");
        let terminated = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        assert_eq!(end(terminated, "one", 1).unwrap(), "exit status: 137 (OOMKilled)");
        let waiting = json!({ "waiting": { "reason": "ContainerCreating" } });
        assert_eq!(end(waiting, "one", 1).unwrap(), "its container is gone");
    }
}
