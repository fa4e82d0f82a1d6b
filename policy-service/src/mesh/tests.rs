//! The control plane over a real socket: a filter and an Envoy are played by tonic clients.

use envoy_types::pb::envoy::config::cluster::v3::Cluster as ClusterMessage;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::rpc;
use policy::compiled::{KeyTable, Mesh};
use policy::documents::{Access, Owner, ProviderAccess, ProviderKeySelector, ProviderSelector};
use policy::ids::{KeyId, ProviderId};
use policy::pattern::ModelPattern;
use policy::surface::Dialect;
use prost::Name;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status as GrpcStatus, Streaming};
use wire::mesh::mesh_client::MeshClient;
use wire::mesh::{
    ConsultRequest, Ended, ExchangeRecord, FollowAnswer, FollowRequest, ReportRequest,
    StatefulOwner, consult_answer, consult_request,
};

use super::*;
use crate::operations::exchanges::ExchangeFilter;
use crate::operations::fields::{
    KeyFields, ProviderFields, ProviderKeyFields, SettingsFields, TeamFields,
};
use crate::operations::{Caller, exchanges, keys, providers, settings, teams};
use crate::store::MasterKey;
use crate::xds::RefusedClusters;

const TOKEN: &str = "a-filter-token";
const NODE: &str = "node";
/// How long publishing may take on a loaded machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store, its control plane, and a server that ends with it.
struct Mounted {
    store: Store,
    control: Control,
    address: String,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
    folder: TempDir,
}

async fn mount() -> Mounted {
    mount_with(Options::default()).await
}

async fn mount_with(options: Options) -> Mounted {
    let folder = tempfile::tempdir().unwrap();
    let master_key = MasterKey::from_bytes([1; 32]);
    let store = Store::open(&folder.path().join("weir.db"), &master_key)
        .await
        .unwrap();
    Mounted {
        folder,
        ..mount_over(store, options).await
    }
}

async fn mount_over(store: Store, options: Options) -> Mounted {
    let control = Control::start(store.clone(), options).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        stopped.await.ok();
    };
    let served = tokio::spawn(serve(
        listener,
        control.clone(),
        Secret::new(TOKEN),
        shutdown,
    ));
    Mounted {
        store,
        control,
        address,
        stop: Some(stop),
        served,
        folder: tempfile::tempdir().unwrap(),
    }
}

#[derive(Clone)]
struct Bearer(&'static str);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, GrpcStatus> {
        if !self.0.is_empty() {
            let value = MetadataValue::try_from(format!("Bearer {}", self.0)).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

type Filter = MeshClient<InterceptedService<Channel, Bearer>>;

impl Mounted {
    async fn channel(&self) -> Channel {
        Channel::from_shared(self.address.clone())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    async fn filter(&self) -> Filter {
        MeshClient::with_interceptor(self.channel().await, Bearer(TOKEN))
            .max_decoding_message_size(1 << 26)
    }

    async fn add_provider(&self, name: &str, base_url: &str) -> ProviderId {
        let fields = ProviderFields {
            name: Some(name.to_owned()),
            dialect: Some(Dialect::Openai),
            base_url: Some(base_url.to_owned()),
            keys: Some(vec![ProviderKeyFields {
                name: Some(String::from("main")),
                secret: Some(Secret::new("provider-secret")),
                ..ProviderKeyFields::default()
            }]),
            ..ProviderFields::default()
        };
        providers::create(&self.store, &caller(), fields)
            .await
            .unwrap()
            .id
    }

    async fn add_key(&self, name: &str) -> (KeyId, policy::key::KeyHash) {
        let team = TeamFields {
            name: Some(format!("team of {name}")),
            ..TeamFields::default()
        };
        let team = teams::create(&self.store, &caller(), team).await.unwrap();
        let everything = ProviderAccess {
            provider: ProviderSelector(String::from("*")),
            models: vec![ModelPattern::parse("*").unwrap()],
            denied_models: Vec::new(),
            provider_keys: vec![ProviderKeySelector(String::from("*"))],
            weight: 1,
        };
        let fields = KeyFields {
            name: Some(name.to_owned()),
            owner: Some(Owner::Team(team.id)),
            access: Some(Access {
                providers: vec![everything],
                ..Access::default()
            }),
            ..KeyFields::default()
        };
        let created = keys::create(&self.store, &caller(), fields).await.unwrap();
        (created.key.id, created.secret.hash())
    }

    /// Waits until every change so far is published; returns the version that filters get.
    async fn published(&self) -> u64 {
        let documents = self.store.version().await.unwrap();
        self.publishes(documents).await
    }

    /// Waits until this version of the documents, or a later one, is published; returns the version that filters get.
    /// That one is never guessed: changes that follow each other are published together or apart.
    async fn publishes(&self, documents: u64) -> u64 {
        let mut published = self.control.publisher().published();
        let waiting = published.wait_for(|published| published.documents_version >= documents);
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        let status = || self.control.status().policy;
        in_time
            .unwrap_or_else(|_| panic!("documents {documents} are not published: {:?}", status()))
            .unwrap()
            .version
    }
}

fn caller() -> Caller {
    Caller::system("test")
}

fn from_nothing() -> FollowRequest {
    FollowRequest {
        node_id: String::from(NODE),
        process_id: vec![1; 16],
        ..FollowRequest::default()
    }
}

fn after(answer: &FollowAnswer, wait_ms: u32) -> FollowRequest {
    FollowRequest {
        generation: answer.generation.clone(),
        version: answer.version,
        wait_ms,
        ..from_nothing()
    }
}

async fn follow(filter: &mut Filter, request: FollowRequest) -> FollowAnswer {
    filter.follow(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn every_call_needs_the_token() {
    let mesh = mount().await;
    for token in ["", "another"] {
        let mut filter = MeshClient::with_interceptor(mesh.channel().await, Bearer(token));
        let report = ReportRequest {
            process_id: vec![1],
            vm_id: vec![1],
            ..ReportRequest::default()
        };
        assert_eq!(
            filter.follow(from_nothing()).await.unwrap_err().code(),
            Code::Unauthenticated
        );
        assert_eq!(
            filter.report(report).await.unwrap_err().code(),
            Code::Unauthenticated
        );
        let consult = ConsultRequest::default();
        assert_eq!(
            filter.consult(consult).await.unwrap_err().code(),
            Code::Unauthenticated
        );
        let mut envoy =
            AggregatedDiscoveryServiceClient::with_interceptor(mesh.channel().await, Bearer(token));
        let refused = envoy
            .stream_aggregated_resources(tokio_stream::empty())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    assert!(mesh.control.status().vms.is_empty());
}

#[tokio::test]
async fn a_filter_without_policy_gets_all_of_it() {
    let mesh = mount().await;
    mesh.add_provider("local", "http://127.0.0.1:1/v1").await;
    let (_, hash) = mesh.add_key("ann").await;
    mesh.published().await;
    let answer = follow(&mut mesh.filter().await, from_nothing()).await;
    assert_eq!(answer.generation, mesh.control.version().generation);
    assert_eq!(answer.version, mesh.control.version().version);
    let compiled = Mesh::decode(&answer.mesh).unwrap();
    assert_eq!(compiled.providers[0].name, "local");
    assert_eq!(compiled.canary_secret, mesh.control.canary_secret());
    assert_eq!(answer.shards.len(), 256);
    let table = &answer.shards[usize::from(hash.shard())].table;
    assert!(KeyTable::find(table, &hash).unwrap().is_some());
}

#[tokio::test]
async fn addresses_that_the_mesh_is_started_for_are_hosts_of_every_version() {
    let mesh = mount_with(Options {
        extra_hosts: ["10.0.0.7", "mesh.example"].map(str::to_owned).into(),
        ..Options::default()
    })
    .await;
    let mut filter = mesh.filter().await;
    let first = follow(&mut filter, from_nothing()).await;
    let hosts = |answer: &FollowAnswer| Mesh::decode(&answer.mesh).unwrap().hosts;
    assert_eq!(hosts(&first), ["10.0.0.7", "mesh.example"]);
    let fields = SettingsFields {
        hosts: Some(["mesh.example", "other.example"].map(str::to_owned).into()),
        ..SettingsFields::default()
    };
    settings::update(&mesh.store, &caller(), fields)
        .await
        .unwrap();
    let second = follow(&mut filter, after(&first, 30_000)).await;
    assert_eq!(
        hosts(&second),
        ["mesh.example", "other.example", "10.0.0.7"]
    );
}

#[tokio::test]
async fn a_revocation_reaches_a_waiting_filter_as_one_shard() {
    let mesh = mount().await;
    let (key, hash) = mesh.add_key("ann").await;
    mesh.published().await;
    let mut filter = mesh.filter().await;
    let first = follow(&mut filter, from_nothing()).await;
    let mut waiting = filter.clone();
    let waits = tokio::spawn(async move { follow(&mut waiting, after(&first, 30_000)).await });
    keys::revoke(&mesh.store, &caller(), key).await.unwrap();
    let delta = waits.await.unwrap();
    assert!(delta.mesh.is_empty());
    assert_eq!(delta.shards.len(), 1);
    assert_eq!(delta.shards[0].index, u32::from(hash.shard()));
}

#[tokio::test]
async fn policy_that_does_not_compile_leaves_the_last_good_version_in_force() {
    let mesh = mount().await;
    mesh.add_provider("local", "http://127.0.0.1:1/v1").await;
    let version = mesh.published().await;
    let path = mesh.folder.path().join("weir.db");
    let database = sqlx::SqlitePool::connect(path.to_str().unwrap())
        .await
        .unwrap();
    let spoilt = sqlx::query("UPDATE providers SET name = 'not/a name'");
    spoilt.execute(&database).await.unwrap();

    let failure = mesh.control.publisher().publish().await.unwrap_err();
    assert!(matches!(failure, PublishError::Compile(_)), "{failure:?}");
    let status = mesh.control.status().policy;
    assert_eq!(status.version, version);
    assert!(status.failed_because.unwrap().contains("not/a name"));
    assert_eq!(
        follow(&mut mesh.filter().await, from_nothing())
            .await
            .version,
        version
    );

    let mended = sqlx::query("UPDATE providers SET name = 'local'");
    mended.execute(&database).await.unwrap();
    mesh.control.publisher().publish().await.unwrap();
    assert_eq!(mesh.control.status().policy.failed_because, None);
}

#[tokio::test]
async fn waiting_ends_with_nothing_new() {
    let mesh = mount().await;
    let mut filter = mesh.filter().await;
    let first = follow(&mut filter, from_nothing()).await;
    let second = follow(&mut filter, after(&first, 1)).await;
    assert_eq!(
        (second.version, &second.generation),
        (first.version, &first.generation)
    );
    assert!(second.mesh.is_empty() && second.shards.is_empty());
}

#[tokio::test]
async fn another_generation_gets_everything_whatever_its_version() {
    let mesh = mount().await;
    let request = FollowRequest {
        generation: vec![3; 16],
        version: 1_000,
        ..from_nothing()
    };
    let answer = follow(&mut mesh.filter().await, request).await;
    assert!(!answer.mesh.is_empty());
    assert_eq!(answer.shards.len(), 256);
}

#[tokio::test]
async fn a_page_of_a_forgotten_version_or_another_generation_starts_the_follower_over() {
    let mesh = mount().await;
    let current = mesh.control.version();
    for (generation, version) in [
        (current.generation, current.version + 98),
        ([3; 16], current.version),
    ] {
        let token = snapshot::PageToken {
            generation,
            version,
            from: snapshot::Place::default(),
        };
        let request = FollowRequest {
            page_token: token.encode(),
            ..from_nothing()
        };
        let refused = mesh.filter().await.follow(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted);
    }
}

#[tokio::test]
async fn a_refused_snapshot_is_visible() {
    let mesh = mount().await;
    let request = FollowRequest {
        refused_version: 1,
        refused_because: String::from("unknown field"),
        ..from_nothing()
    };
    follow(&mut mesh.filter().await, request).await;
    let refused = mesh.control.status().refused_snapshots;
    assert_eq!(
        (refused[0].version, refused[0].because.as_str()),
        (1, "unknown field")
    );
}

#[tokio::test]
async fn stopping_the_server_answers_those_who_wait() {
    let mut mesh = mount().await;
    let mut filter = mesh.filter().await;
    let first = follow(&mut filter, from_nothing()).await;
    let version = first.version;
    let waits = tokio::spawn(async move { follow(&mut filter, after(&first, 30_000)).await });
    let _envoy = envoy(&mesh).await;
    mesh.stop.take().unwrap().send(()).unwrap();
    assert_eq!(waits.await.unwrap().version, version);
    mesh.served.await.unwrap();
}

#[tokio::test]
async fn a_report_is_answered_when_it_is_stored() {
    let mesh = mount().await;
    let record = ExchangeRecord {
        exchange_id: vec![7; 16],
        started_ms: 1,
        surface: String::from("openai.chat"),
        status: 200,
        ended: Ended::Complete.into(),
        ..ExchangeRecord::default()
    };
    let report = ReportRequest {
        node_id: String::from(NODE),
        process_id: vec![1; 16],
        vm_id: vec![2; 16],
        generation: vec![9; 16],
        version: 4,
        records: vec![record],
        ..ReportRequest::default()
    };
    let mut filter = mesh.filter().await;
    filter.report(report.clone()).await.unwrap();
    filter.report(report).await.unwrap();
    let stored = exchanges::list(&mesh.store, &caller(), &ExchangeFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(stored.len(), 1);
    let vms = mesh.control.status().vms;
    assert_eq!(
        (vms.len(), vms[0].version, vms[0].node_id.as_str()),
        (1, 4, NODE)
    );
}

#[tokio::test]
async fn a_report_without_ids_is_refused() {
    let mesh = mount().await;
    let refused = mesh
        .filter()
        .await
        .report(ReportRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn ids_that_nobody_created_are_nobodys() {
    let mesh = mount().await;
    let question = StatefulOwner {
        ids: vec![String::from("resp_1")],
        key_id: vec![1; 16],
        ..StatefulOwner::default()
    };
    let consult = ConsultRequest {
        exchange_id: vec![1; 16],
        question: Some(consult_request::Question::StatefulOwner(question)),
    };
    let answer = mesh
        .filter()
        .await
        .consult(consult)
        .await
        .unwrap()
        .into_inner()
        .answer;
    let Some(consult_answer::Answer::StatefulOwner(answer)) = answer else {
        panic!("no answer")
    };
    assert!(!answer.owned);
}

/// The Envoy called [`NODE`]: it answers discovery responses when it is told to.
struct PlayedEnvoy {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

async fn envoy(mesh: &Mounted) -> PlayedEnvoy {
    let mut client =
        AggregatedDiscoveryServiceClient::with_interceptor(mesh.channel().await, Bearer(TOKEN));
    let (requests, receiver) = mpsc::channel(4);
    let hello = DiscoveryRequest {
        node: Some(Node {
            id: String::from(NODE),
            ..Node::default()
        }),
        type_url: ClusterMessage::type_url(),
        ..DiscoveryRequest::default()
    };
    requests.send(hello).await.unwrap();
    let responses = client
        .stream_aggregated_resources(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    PlayedEnvoy {
        requests,
        responses,
    }
}

impl PlayedEnvoy {
    async fn next(&mut self) -> (DiscoveryResponse, Vec<String>) {
        let response = self.responses.message().await.unwrap().unwrap();
        let names = response.resources.iter().map(|any| {
            let cluster: ClusterMessage = prost::Message::decode(any.value.as_slice()).unwrap();
            cluster.name
        });
        let names = names.collect();
        (response, names)
    }

    async fn answer(&self, response: &DiscoveryResponse, refusal: Option<&str>) {
        let answer = DiscoveryRequest {
            type_url: ClusterMessage::type_url(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|message| rpc::Status {
                message: message.to_owned(),
                ..rpc::Status::default()
            }),
            ..DiscoveryRequest::default()
        };
        self.requests.send(answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_waits_for_the_clusters_it_needs() {
    let mesh = mount().await;
    let mut played = envoy(&mesh).await;
    let (first, _) = played.next().await;
    played.answer(&first, None).await;
    let mut filter = mesh.filter().await;
    let ads = FollowRequest {
        clusters_from_service: true,
        wait_ms: 30_000,
        ..from_nothing()
    };
    let known = follow(&mut filter, ads.clone()).await;

    mesh.add_provider("local", "http://127.0.0.1:1/v1").await;
    let (second, names) = played.next().await;
    assert_eq!(names, ["provider/local"]);
    let version = mesh.published().await;
    let held_back = FollowRequest {
        clusters_from_service: true,
        ..after(&known, 1)
    };
    assert_eq!(follow(&mut filter, held_back).await.version, known.version);

    let waits = FollowRequest {
        wait_ms: 30_000,
        clusters_from_service: true,
        ..after(&known, 0)
    };
    let mut waiting = filter.clone();
    let waits = tokio::spawn(async move { follow(&mut waiting, waits).await });
    played.answer(&second, None).await;
    assert_eq!(waits.await.unwrap().version, version);
}

#[tokio::test]
async fn a_filter_with_clusters_of_its_own_does_not_wait() {
    let mesh = mount().await;
    mesh.add_provider("local", "http://127.0.0.1:1/v1").await;
    let version = mesh.published().await;
    assert_eq!(
        follow(&mut mesh.filter().await, from_nothing())
            .await
            .version,
        version
    );
}

#[tokio::test]
async fn refused_clusters_are_visible_and_policy_goes_on() {
    let mesh = mount().await;
    let mut played = envoy(&mesh).await;
    let (first, _) = played.next().await;
    played.answer(&first, Some("no such file")).await;
    let request = FollowRequest {
        clusters_from_service: true,
        wait_ms: 30_000,
        ..from_nothing()
    };
    assert_eq!(follow(&mut mesh.filter().await, request).await.version, 1);
    let streams = mesh.control.status().cluster_streams;
    assert_eq!(
        streams[0].refused,
        Some(RefusedClusters {
            version: 1,
            because: String::from("no such file"),
            clusters: Vec::new(),
        })
    );
}

#[tokio::test]
async fn a_removed_cluster_stays_until_filters_apply_its_removal() {
    let mesh = mount().await;
    let provider = mesh.add_provider("local", "http://127.0.0.1:1/v1").await;
    let with = mesh.published().await;
    providers::delete(&mesh.store, &caller(), provider)
        .await
        .unwrap();
    let without = mesh.published().await;
    let mut played = envoy(&mesh).await;
    let (_, names) = played.next().await;
    assert_eq!(names, ["provider/local"]);
    let generation = mesh.control.version().generation;
    let mut sweeper = sweeper::Sweeper::new(
        mesh.store.clone(),
        mesh.control.fleet().clone(),
        mesh.control.clusters().clone(),
        generation,
    );
    let report = |version| ReportRequest {
        node_id: String::from(NODE),
        process_id: vec![1; 16],
        vm_id: vec![2; 16],
        generation: generation.to_vec(),
        version,
        ..ReportRequest::default()
    };
    tokio::time::pause();
    for _ in 0..60 {
        mesh.control.fleet().heard(&report(with));
        sweeper.release();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(
        mesh.control.clusters().leaving(),
        [without],
        "a filter still routes to it"
    );
    for _ in 0..7 {
        mesh.control.fleet().heard(&report(without));
        sweeper.release();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(mesh.control.clusters().leaving().is_empty());
}

mod grants;
mod guards;
mod quotas;
mod replicas;
