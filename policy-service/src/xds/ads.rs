//! The aggregated discovery server: state of the world, clusters only.
//!
//! An Envoy opens one stream, asks for clusters, and answers every response with an acknowledgement or a
//! refusal. A refused version stays visible in [`Clusters::streams`] and is not sent again; the next one is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster as ClusterMessage;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::value::Kind;
use prost::Name;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::debug;

use crate::xds::Clusters;
use crate::xds::cluster::{ASSUMED_DESCRIPTORS, METADATA};
use crate::xds::served::Served;

/// Responses that may wait for a slow Envoy.
const QUEUE: usize = 4;
/// Responses of which an answer may still come.
const UNANSWERED: usize = 64;

/// The discovery service over [`Clusters`].
#[derive(Clone, Debug)]
pub struct Ads {
    clusters: Clusters,
    stop: watch::Receiver<bool>,
}

impl Ads {
    /// Makes the gRPC service; its streams end when `stop` becomes true.
    pub fn server(
        clusters: Clusters,
        stop: watch::Receiver<bool>,
    ) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(Self { clusters, stop })
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let conversation = Conversation {
            clusters: self.clusters.clone(),
            sender,
            stream: None,
            sent: VecDeque::new(),
            nonce: 0,
            descriptors: ASSUMED_DESCRIPTORS,
        };
        tokio::spawn(conversation.run(request.into_inner(), self.stop.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn delta_aggregated_resources(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "this service speaks state-of-the-world discovery: set `api_type: GRPC`",
        ))
    }
}

/// One Envoy's stream.
struct Conversation {
    clusters: Clusters,
    sender: mpsc::Sender<Result<DiscoveryResponse, Status>>,
    /// Set once the Envoy has said who it is and that it wants clusters.
    stream: Option<u64>,
    /// Nonce and version of responses without an answer, oldest first.
    sent: VecDeque<(u64, u64)>,
    nonce: u64,
    /// How many descriptors that Envoy has, as far as it says.
    descriptors: u32,
}

impl Conversation {
    async fn run(
        mut self,
        mut requests: Streaming<DiscoveryRequest>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut served = self.clusters.served();
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => if !self.asked(request, &mut served).await { break },
                    Ok(None) => break,
                    Err(status) => {
                        debug!(%status, "cluster stream broke");
                        break;
                    }
                },
                Ok(()) = served.changed(), if self.stream.is_some() => {
                    let latest = served.borrow_and_update().clone();
                    if !self.send(&latest).await { break }
                }
                () = stopped(&mut stop) => break,
            }
        }
        if let Some(stream) = self.stream {
            self.clusters.close(stream);
        }
    }

    /// Takes one request; false when the Envoy is gone.
    async fn asked(
        &mut self,
        request: DiscoveryRequest,
        served: &mut watch::Receiver<Arc<Served>>,
    ) -> bool {
        if request.type_url != ClusterMessage::type_url() {
            debug!(type_url = %request.type_url, "a resource type that is not served here");
            return true;
        }
        let Some(stream) = self.stream else {
            let node = request.node.unwrap_or_default();
            self.descriptors = descriptors(&node).unwrap_or(ASSUMED_DESCRIPTORS);
            let node_id = node.id;
            self.stream = Some(self.clusters.open(&node_id));
            let latest = served.borrow_and_update().clone();
            return self.send(&latest).await;
        };
        let Some(version) = self.answered(&request.response_nonce) else {
            return true;
        };
        match request.error_detail {
            None => self.clusters.acknowledge(stream, version),
            Some(error) => self.clusters.refuse(stream, version, &error.message),
        }
        true
    }

    async fn send(&mut self, served: &Served) -> bool {
        self.nonce = self.nonce.saturating_add(1);
        if self.sent.len() == UNANSWERED {
            self.sent.pop_front();
        }
        self.sent.push_back((self.nonce, served.version));
        let response = DiscoveryResponse {
            version_info: self.clusters.version_text(served.version),
            resources: self.clusters.resources(served, self.descriptors),
            type_url: ClusterMessage::type_url(),
            nonce: self.nonce.to_string(),
            ..DiscoveryResponse::default()
        };
        self.sender.send(Ok(response)).await.is_ok()
    }

    /// Returns the version that the response `nonce` carried, and forgets it and those before it.
    fn answered(&mut self, nonce: &str) -> Option<u64> {
        let nonce: u64 = nonce.parse().ok()?;
        let at = self.sent.iter().position(|(sent, _)| *sent == nonce)?;
        self.sent
            .drain(..=at)
            .next_back()
            .map(|(_, version)| version)
    }
}

/// Reads what `render` writes into a node's metadata: `weir: {descriptors: N}`.
fn descriptors(node: &Node) -> Option<u32> {
    let told = node
        .metadata
        .as_ref()?
        .fields
        .get(METADATA)?
        .kind
        .as_ref()?;
    let Kind::StructValue(told) = told else {
        return None;
    };
    match told.fields.get("descriptors")?.kind.as_ref()? {
        // The text of a whole number is exact, and tells fractions and negative ones.
        Kind::NumberValue(number) => number.to_string().parse().ok().filter(|count| *count > 0),
        Kind::NullValue(_)
        | Kind::StringValue(_)
        | Kind::BoolValue(_)
        | Kind::StructValue(_)
        | Kind::ListValue(_) => None,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody can stop this any more, which is a stop too.
    stop.wait_for(|stop| *stop).await.ok();
}
