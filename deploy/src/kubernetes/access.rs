//! The cluster that a context of the kubeconfig names, and what kind it is.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::{core::v1::Node, storage::v1::StorageClass};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::time::timeout;

/// How long the API server may take to answer at first.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Marks the storage class that claims get which name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// What made a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Distribution {
    /// minikube, with its profile.
    Minikube(String),
    /// kind, with its cluster's name.
    Kind(String),
    /// Anything else.
    Other,
}

/// A cluster that answers.
#[derive(Clone)]
pub struct Reach {
    client: Client,
    context: String,
    distribution: Distribution,
    nodes: Vec<Node>,
    budgets: Budgets,
    facts: BTreeMap<String, String>,
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Which disruption budgets a server knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Budgets {
    /// `policy/v1`, from 1.21 on.
    Current,
    /// `policy/v1beta1`, before.
    Beta,
}

impl Reach {
    /// Asks the cluster of a context who it is: of this one, or of the current one, if that is known
    /// to be somebody's own to play with.
    ///
    /// # Errors
    ///
    /// If no kubeconfig names the context, if it is the current one and neither minikube's nor kind's,
    /// or if no API server answers.
    pub async fn open(asked: Option<&str>) -> Result<Self> {
        let kubeconfig = Kubeconfig::read().context("no Kubernetes is known here")?;
        let context = match (asked, &kubeconfig.current_context) {
            (Some(asked), _) => asked.to_owned(),
            (None, Some(current)) if !current.is_empty() => current.clone(),
            _ => bail!("the kubeconfig has no current context; --context NAME chooses one"),
        };
        let distribution = distribution(&kubeconfig, &context);
        if asked.is_none() && distribution == Distribution::Other {
            bail!(
                "the current context '{context}' is neither minikube's nor kind's, and may be \
                 somebody's real cluster; --context {context} allows it"
            );
        }
        let options =
            KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.with_context(|| format!("the context '{context}' cannot be used"))?;
        let client = Client::try_from(config).context("no client can be made")?;
        let reached = timeout(ANSWER_WITHIN, Self::ask(client, context.clone(), distribution));
        let reached = reached.await.map_err(|_| anyhow!("not within {ANSWER_WITHIN:?}"));
        reached
            .and_then(|reached| reached)
            .with_context(|| format!("no Kubernetes answers at the context '{context}'"))
    }

    async fn ask(client: Client, context: String, distribution: Distribution) -> Result<Self> {
        let version = client.apiserver_version().await?;
        let groups = client.list_api_groups().await?;
        let policy = groups.groups.iter().find(|group| group.name == "policy");
        let has_v1 = policy.is_some_and(|group| group.versions.iter().any(|it| it.version == "v1"));
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?.items;
        let classes = Api::<StorageClass>::all(client.clone());
        let classes = classes.list(&ListParams::default()).await?.items;
        let mut facts = BTreeMap::from([
            ("cluster".to_owned(), named(&distribution).to_owned()),
            ("cluster's Kubernetes".to_owned(), version.git_version),
            ("cluster's nodes".to_owned(), nodes.len().to_string()),
        ]);
        facts.extend(nodes.first().into_iter().flat_map(node_facts));
        let default = classes.iter().find(|class| {
            class.annotations().get(DEFAULT_CLASS).is_some_and(|value| value == "true")
        });
        let class = default.map_or("none by default", |class| class.provisioner.as_str());
        facts.insert("cluster's volumes".to_owned(), class.to_owned());
        let budgets = if has_v1 { Budgets::Current } else { Budgets::Beta };
        Ok(Self { client, context, distribution, nodes, budgets, facts })
    }

    /// What reports tell of it, by name.
    pub const fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    /// The context's name.
    pub fn context(&self) -> &str {
        &self.context
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) const fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    pub(crate) const fn budgets(&self) -> Budgets {
        self.budgets
    }

    /// Whether every node has an image of this name, as far as the nodes tell.
    pub(crate) fn has_image(&self, image: &str) -> bool {
        let is_it = |name: &String| name == image || name.ends_with(&format!("/{image}"));
        let has = |node: &Node| {
            let images = node.status.iter().flat_map(|status| status.images.iter().flatten());
            images.flat_map(|image| image.names.iter().flatten()).any(is_it)
        };
        !self.nodes.is_empty() && self.nodes.iter().all(has)
    }
}

/// What made the cluster of this context, as its name and its kubeconfig tell.
fn distribution(kubeconfig: &Kubeconfig, context: &str) -> Distribution {
    let found = kubeconfig.contexts.iter().find(|known| known.name == context);
    let cluster = found.and_then(|found| Some(&found.context.as_ref()?.cluster));
    let cluster = kubeconfig.clusters.iter().find(|known| Some(&known.name) == cluster);
    let cluster = cluster.and_then(|known| known.cluster.as_ref());
    let extensions = cluster.and_then(|cluster| cluster.extensions.as_ref());
    let by_minikube = extensions.into_iter().flatten().any(|extension| {
        extension.extension.get("provider").is_some_and(|it| it == "minikube.sigs.k8s.io")
    });
    match context.strip_prefix("kind-") {
        _ if by_minikube || context == "minikube" => Distribution::Minikube(context.to_owned()),
        Some(name) => Distribution::Kind(name.to_owned()),
        None => Distribution::Other,
    }
}

const fn named(distribution: &Distribution) -> &'static str {
    match distribution {
        Distribution::Minikube(_) => "minikube",
        Distribution::Kind(_) => "kind",
        Distribution::Other => "neither minikube nor kind",
    }
}

/// What its first node says of itself.
fn node_facts(node: &Node) -> Vec<(String, String)> {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let facts = info.into_iter().flat_map(|info| {
        [
            ("node's system", &info.os_image),
            ("node's kernel", &info.kernel_version),
            ("node's kubelet", &info.kubelet_version),
            ("node's containers", &info.container_runtime_version),
        ]
    });
    facts.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters:
  - name: mine
    cluster:
      server: https://127.0.0.1:8443
      extensions:
        - name: cluster_info
          extension: { provider: minikube.sigs.k8s.io, version: v1.30.0 }
  - name: theirs
    cluster: { server: 'https://10.0.0.1:6443' }
contexts:
  - name: mine
    context: { cluster: mine, user: me }
  - name: kind-mine
    context: { cluster: theirs, user: me }
  - name: theirs
    context: { cluster: theirs, user: me }
users: []
";

    #[test]
    fn what_made_a_cluster_is_told_by_its_kubeconfig() {
        let kubeconfig = Kubeconfig::from_yaml(KUBECONFIG).unwrap();
        let of = |context| distribution(&kubeconfig, context);
        assert_eq!(of("mine"), Distribution::Minikube("mine".to_owned()));
        assert_eq!(of("kind-mine"), Distribution::Kind("mine".to_owned()));
        assert_eq!(of("theirs"), Distribution::Other);
        assert_eq!(of("nowhere"), Distribution::Other);
    }
}
