//! The Docker target: every replica a container on a private network of this machine, with a volume
//! of its own.
//!
//! Everything is done by the engine's own interface, and everything carries the label of its run. A
//! replica's place has a container, which keeps its address as long as it is only killed and started;
//! who is deleted comes back as another container, at another address, on the same volume; who loses
//! its disk leaves container and volume behind as evidence, and another takes the place.

mod archive;
mod cleanup;
mod container;
mod cut;
mod engine;
mod image;
mod inventory;
mod network;
mod pipe;

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use bollard::{
    models::{
        ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig,
        Mount, MountType, NetworkingConfig, VolumeCreateRequest,
    },
    query_parameters as query,
};
use consensus_core::NodeId;
use faults::LinkRules;
use futures::{TryStreamExt as _, future::try_join_all};
use tokio::{fs::OpenOptions, io::AsyncWriteExt as _, task::JoinSet};

pub use cleanup::{Removed, remove};
pub use container::DockerUnit;
pub use engine::{Engine, RUN_LABEL};
pub use image::{Image, ensure};
pub use inventory::{Standing, said, standing};

use crate::{
    cut::{Cut, for_network, for_shims},
    pipe::Pipe,
    secrets::Secrets,
    site::{Crossings, Evidence, Launch, Part, Site, Wanted},
};
use archive::Archive;
use cut::BridgeCut;
use engine::labels;
use network::Network;

/// HTTP, for clients and the administrator.
pub const CLIENT_PORT: u16 = 7100;

/// gRPC, for peers.
pub const PEER_PORT: u16 = 7200;

/// UDP, for gossip.
pub const GOSSIP_PORT: u16 = 7300;

/// Where a replica's volume is, in its container.
const DATA: &str = "/data";

/// Who runs in a container: nobody whom the host knows.
const USER: u32 = 65_532;

/// The file with the link faults in force, on a replica's volume.
const LINKS_FILE: &str = "links.json";

/// The folder with what only replicas may read, on a replica's volume.
const CERTIFICATES: &str = "certificates";

/// What to start.
#[derive(Clone, Debug)]
pub struct DockerSpec {
    /// Names the run, in labels and names.
    pub run: String,
    /// The image of every container.
    pub image: String,
    /// Where logs and fetched data go: `logs/node-N.log`, `data/node-N`; `data/node-N.lost-1` for
    /// a disk that was lost.
    pub directory: PathBuf,
    /// The replicas of the first start: whom any replica asks for the others, by name.
    pub members: Vec<NodeId>,
    /// What every replica is told, besides what is its own.
    pub replica_arguments: Vec<String>,
    /// What the gateway is told.
    pub gateway_arguments: Vec<String>,
    /// What only replicas may read.
    pub secrets: Secrets,
    /// What carries cuts out; the network does by the host's packet filter, on the bridge between the
    /// containers.
    pub cut: Cut,
    /// What is fetched of the volumes.
    pub wanted: Wanted,
}

/// The engine, and what a run has there.
#[derive(Debug)]
pub struct DockerSite {
    engine: Engine,
    spec: DockerSpec,
    network: Network,
    cut: Option<BridgeCut>,
    places: BTreeMap<Part, Place>,
    /// How many containers were made, which numbers them.
    made: u32,
    /// Containers that nobody is started in any more, with the replicas whose disks they keep.
    lost: Vec<(NodeId, Place)>,
    rules: LinkRules,
    /// Removals that nobody waits for.
    background: JoinSet<Result<()>>,
}

/// A place's container, and what it keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    container: String,
    volume: Option<String>,
    address: Ipv4Addr,
}

impl DockerSite {
    /// Makes the run's network, on which nobody is yet.
    pub async fn create(engine: Engine, spec: DockerSpec) -> Result<Self> {
        let cut = match spec.cut {
            Cut::Shim => None,
            Cut::Network => Some(BridgeCut::create(&spec.run).await?),
        };
        let network = match Network::create(&engine, &spec.run).await {
            Ok(network) => network,
            Err(error) => {
                if let Some(cut) = cut {
                    cut.remove().await?;
                }
                remove(&engine, Some(&spec.run)).await?;
                return Err(error);
            }
        };
        Ok(Self {
            engine,
            spec,
            network,
            cut,
            places: BTreeMap::new(),
            made: 0,
            lost: Vec::new(),
            rules: LinkRules::default(),
            background: JoinSet::new(),
        })
    }

    /// Starts a container of the same image on the same network, with these arguments, to be talked
    /// to over its standard input and output.
    pub async fn pipe(&mut self, name: &str, arguments: &[String]) -> Result<Pipe> {
        let (container, address) = (self.name(name), self.network.next_address()?);
        let host = HostConfig {
            // What it says is heard, and need not be kept.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..confined()
        };
        let body = ContainerCreateBody {
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..self.body(name, address, arguments.to_vec(), host)
        };
        create(&self.engine, &container, body).await?;
        pipe::start(&self.engine, &container).await
    }

    /// A container's name, of which there was none before.
    fn name(&mut self, part: &str) -> String {
        self.made += 1;
        format!("lab-{}-{part}.{}", self.spec.run, self.made)
    }

    fn log(&self, part: Part) -> PathBuf {
        self.spec.directory.join("logs").join(format!("{}.log", host_name(part)))
    }

    /// What the container of a part is told.
    fn arguments(&self, part: Part, address: Ipv4Addr) -> Vec<String> {
        let own = |port| format!("{address}:{port}");
        let mut arguments = match part {
            Part::Replica(node) => {
                let node = node.place().to_string();
                let mut arguments = vec!["replica".to_owned(), "--node".to_owned(), node];
                arguments.extend(["--peer-address".to_owned(), own(PEER_PORT)]);
                arguments.extend(["--data".to_owned(), DATA.to_owned()]);
                arguments.extend(["--link-rules".to_owned(), format!("{DATA}/{LINKS_FILE}")]);
                arguments.extend(self.spec.replica_arguments.iter().cloned());
                if !self.spec.secrets.is_empty() {
                    arguments
                        .extend(["--certificates".to_owned(), format!("{DATA}/{CERTIFICATES}")]);
                }
                arguments
            }
            Part::Gateway => {
                let mut arguments = vec!["gateway".to_owned()];
                arguments.extend(self.spec.gateway_arguments.iter().cloned());
                arguments
            }
        };
        arguments.extend(["--client-address".to_owned(), own(CLIENT_PORT)]);
        arguments.extend(["--gossip-address".to_owned(), own(GOSSIP_PORT)]);
        for &member in self.spec.members.iter().filter(|&&member| Part::Replica(member) != part) {
            let seed = format!("{}:{GOSSIP_PORT}", host_name(Part::Replica(member)));
            arguments.extend(["--seed-address".to_owned(), seed]);
        }
        arguments
    }

    /// A container on the run's network, under this name and address there.
    fn body(
        &self,
        part: &str,
        address: Ipv4Addr,
        arguments: Vec<String>,
        host_config: HostConfig,
    ) -> ContainerCreateBody {
        let endpoint = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(address.to_string()),
                ..EndpointIpamConfig::default()
            }),
            aliases: Some(vec![part.to_owned()]),
            ..EndpointSettings::default()
        };
        let network = self.network.name().to_owned();
        ContainerCreateBody {
            image: Some(self.spec.image.clone()),
            hostname: Some(part.to_owned()),
            cmd: Some(arguments),
            labels: Some(labels(&self.spec.run, part)),
            host_config: Some(HostConfig { network_mode: Some(network.clone()), ..host_config }),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(network, endpoint)])),
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// A container for this part where there is none, on this volume or a new one; and what is to be
    /// done before it can be started.
    fn make(
        &mut self,
        part: Part,
        kept: Option<String>,
    ) -> Result<(Place, impl Future<Output = Result<()>> + Send + use<>)> {
        let (name, address) = (host_name(part), self.network.next_address()?);
        let container = self.name(&name);
        let new_volume = || Some(container.clone()).filter(|_| matches!(part, Part::Replica(_)));
        let volume = kept.or_else(new_volume);
        let mounts = volume.iter().map(|volume| Mount {
            target: Some(DATA.to_owned()),
            source: Some(volume.clone()),
            typ: Some(MountType::VOLUME),
            ..Mount::default()
        });
        let host = HostConfig { mounts: Some(mounts.collect()), ..confined() };
        let body = self.body(&name, address, self.arguments(part, address), host);
        let place = Place { container: container.clone(), volume: volume.clone(), address };
        let request = VolumeCreateRequest {
            name: volume,
            labels: Some(labels(&self.spec.run, &name)),
            ..VolumeCreateRequest::default()
        };
        let engine = self.engine.clone();
        let made = async move {
            if request.name.is_some() {
                // One that is there already is left as it is.
                let made = engine.docker().create_volume(request).await;
                made.context("cannot make a volume")?;
            }
            create(&engine, &container, body).await
        };
        Ok((place, made))
    }

    /// Removes a container that nobody is started in any more, once its log is kept; its volume stays.
    fn discard(&mut self, part: Part, container: String) {
        let (engine, log) = (self.engine.clone(), self.log(part));
        self.background.spawn(async move {
            keep_log(&engine, &container, &log).await?;
            engine.remove_container(&container).await
        });
    }

    /// The links to be cut by the packet filter, between whoever has these places now.
    async fn cut_links(&self) -> Result<()> {
        let Some(cut) = &self.cut else { return Ok(()) };
        let at = |node: NodeId| self.places.get(&Part::Replica(node.place())).map(|it| it.address);
        let links = for_network(&self.rules).filter_map(|(from, to)| Some((at(from)?, at(to)?)));
        cut.set(&links.collect::<Vec<_>>(), self.rules.expires_in).await
    }

    /// What the replicas' own shims are to do.
    fn for_shims(&self) -> LinkRules {
        if self.cut.is_some() { for_shims(&self.rules) } else { self.rules.clone() }
    }

    /// What a replica finds on its volume when it starts.
    fn files(&self) -> Result<Archive> {
        let rules = serde_json::to_vec(&self.for_shims()).context("link rules are plain data")?;
        let mut files = Archive::new();
        files.file(LINKS_FILE, &rules, 0o644)?;
        for (name, text) in self.spec.secrets.files() {
            files.file(&format!("{CERTIFICATES}/{name}"), text.as_bytes(), 0o600)?;
        }
        Ok(files)
    }

    async fn settle(&mut self) -> Result<()> {
        while let Some(done) = self.background.join_next().await {
            done.context("a removal was lost")??;
        }
        Ok(())
    }
}

impl Site for DockerSite {
    type Unit = DockerUnit;

    async fn start(&mut self, part: Part, launch: Launch) -> Result<DockerUnit> {
        let part = in_place(part);
        let before = self.places.get(&part).cloned();
        let is_same = before.is_some() && launch.at.is_some();
        let (place, made) = match before {
            Some(place) if is_same => (place, None),
            before => {
                let volume = before.as_ref().and_then(|place| place.volume.clone());
                if let Some(before) = before {
                    self.discard(part, before.container);
                }
                let (place, made) = self.make(part, volume)?;
                self.places.insert(part, place.clone());
                // Whoever comes to another address is cut off there before it runs.
                self.cut_links().await?;
                (place, Some(made))
            }
        };
        let (engine, container) = (self.engine.clone(), place.container.clone());
        let files = self.files()?;
        let first = async move {
            if let Some(made) = made {
                made.await?;
            }
            match part {
                Part::Replica(_) => archive::put(&engine, &container, files).await,
                Part::Gateway => Ok(()),
            }
        };
        let named = (place.container, place.address);
        Ok(DockerUnit::start(&self.engine, part, named, self.log(part), first))
    }

    async fn lose_disk(&mut self, node: NodeId) -> Result<()> {
        if let Some(place) = self.places.remove(&in_place(Part::Replica(node))) {
            self.lost.push((node, place));
        }
        Ok(())
    }

    async fn set_links(&mut self, rules: &LinkRules) -> Result<LinkRules> {
        self.rules = rules.clone();
        self.cut_links().await?;
        Ok(self.for_shims())
    }

    async fn crossings(&self) -> Result<Option<Crossings>> {
        match &self.cut {
            Some(cut) => cut.crossings().await.map(Some),
            None => Ok(None),
        }
    }

    async fn evidence(&mut self, nodes: &[NodeId]) -> Result<Vec<Evidence>> {
        self.settle().await?;
        let data = self.spec.directory.join("data");
        let lost = self.lost.iter().enumerate().map(|(number, (node, place))| {
            let part = in_place(Part::Replica(*node));
            let directory = data.join(format!("{}.lost-{}", host_name(part), number + 1));
            (part, place.container.clone(), Evidence { node: *node, directory })
        });
        let present = nodes.iter().filter_map(|&node| {
            let part = in_place(Part::Replica(node));
            let place = self.places.get(&part)?;
            let directory = data.join(host_name(part));
            Some((part, place.container.clone(), Evidence { node, directory }))
        });
        let all: Vec<_> = lost.chain(present).collect();
        // One after the other: lost and present containers of a place share its log.
        for (part, container, _) in &all {
            keep_log(&self.engine, container, &self.log(*part)).await?;
        }
        if let Some(gateway) = self.places.get(&Part::Gateway) {
            keep_log(&self.engine, &gateway.container, &self.log(Part::Gateway)).await?;
        }
        let fetched = all.iter().map(|(_, container, evidence)| {
            archive::fetch(&self.engine, container, self.spec.wanted, &evidence.directory)
        });
        try_join_all(fetched).await?;
        Ok(all.into_iter().map(|(.., evidence)| evidence).collect())
    }

    async fn clear(&mut self) -> Result<()> {
        let settled = self.settle().await;
        if let Some(cut) = self.cut.take() {
            cut.remove().await?;
        }
        remove(&self.engine, Some(&self.spec.run)).await?;
        settled
    }
}

/// The part as its place is named.
const fn in_place(part: Part) -> Part {
    match part {
        Part::Replica(node) => Part::Replica(node.place()),
        Part::Gateway => Part::Gateway,
    }
}

/// A part's name on the run's network.
fn host_name(part: Part) -> String {
    match part {
        Part::Replica(node) => format!("node-{}", node.place()),
        Part::Gateway => "gateway".to_owned(),
    }
}

/// What no container of ours may do: write outside its volume, or become somebody else.
fn confined() -> HostConfig {
    HostConfig {
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        // A name that means nothing yet is soon asked for again: nobody waits for the uplink's servers.
        dns_options: Some(vec!["timeout:1".to_owned(), "attempts:1".to_owned()]),
        ..HostConfig::default()
    }
}

async fn create(engine: &Engine, name: &str, body: ContainerCreateBody) -> Result<()> {
    let options = query::CreateContainerOptionsBuilder::default().name(name).build();
    let created = engine.docker().create_container(Some(options), body).await;
    created.map(|_| ()).with_context(|| format!("cannot make the container {name}"))
}

/// Appends everything that a container said, in all its lives, to a log.
async fn keep_log(engine: &Engine, container: &str, log: &Path) -> Result<()> {
    let shown = || format!("cannot write {}", log.display());
    if let Some(folder) = log.parent() {
        tokio::fs::create_dir_all(folder).await.with_context(shown)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(log).await;
    let mut file = file.with_context(shown)?;
    let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let mut pieces = engine.docker().logs(container, Some(options));
    let lost = || format!("what the container {container} said is lost");
    while let Some(piece) = pieces.try_next().await.with_context(lost)? {
        file.write_all(&piece.into_bytes()).await.with_context(shown)?;
    }
    file.flush().await.with_context(shown)
}
