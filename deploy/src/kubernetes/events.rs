//! What the cluster itself noted of a run: who was scheduled where, pulled what, was killed and why.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};

/// The file, in the folder of the logs.
const FILE: &str = "kubernetes.log";

/// How many events one answer of the API server holds, at most.
const PAGE: u32 = 500;

/// Writes down the events of a namespace, a line each, by their time.
pub(super) async fn keep(client: &Client, namespace: &str, logs: &Path) -> Result<()> {
    let events = Api::<Event>::namespaced(client.clone(), namespace);
    let (mut lines, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let listed = events.list(&page).await.context("cannot list the cluster's events")?;
        lines.extend(listed.items.iter().map(|event| (at(event), line(event))));
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    lines.sort();
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    let path = logs.join(FILE);
    tokio::fs::create_dir_all(logs).await.context("cannot make the folder of the logs")?;
    tokio::fs::write(&path, text).await.with_context(|| format!("cannot write {}", path.display()))
}

/// When it happened last.
fn at(event: &Event) -> Option<Timestamp> {
    let exact = event.event_time.as_ref().map(|time| time.0);
    exact.or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
}

fn line(event: &Event) -> String {
    let of = &event.involved_object;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let time = at(event).map_or_else(|| "-".to_owned(), |at| at.to_string());
    let message = text(&event.message).replace('\n', " ");
    let times = event.count.filter(|&count| count > 1);
    let times = times.map_or_else(String::new, |count| format!(" ({count} times)"));
    let (kind, name, reason) = (text(&of.kind), text(&of.name), text(&event.reason));
    format!("{time} {kind} {name} {reason}: {message}{times}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = serde_json::from_value::<Event>(serde_json::json!({
            "metadata": { "name": "replica-1.17" },
            "involvedObject": { "kind": "Pod", "name": "replica-1" },
            "reason": "Killing",
            "message": "Stopping container\nreplica",
            "lastTimestamp": "2026-11-29T01:03:20Z",
            "count": 3,
        }));
        let told =
            "2026-11-29T01:03:20Z Pod replica-1 Killing: Stopping container replica (3 times)\n";
        assert_eq!(line(&event.unwrap()), told);
    }
}
