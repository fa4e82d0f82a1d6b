//! What an Envoy does when connections or memory run short.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::render::RenderOptions;
use crate::render::template::{Slot, fill, yaml};
use crate::xds::cluster;

/// How an Envoy learns that its memory runs short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MemoryMonitor {
    /// By the limit of the container that it runs in; none means no limit. Outside of any container Envoy does not
    /// start with it.
    #[default]
    Container,
    /// By this many bytes of heap. What filters hold in their VMs is not counted.
    Heap { bytes: u64 },
    /// By a number from 0 to 1 in this file, which is replaced, never written to.
    File(PathBuf),
}

impl MemoryMonitor {
    const fn name(&self) -> &'static str {
        match self {
            Self::Container => "envoy.resource_monitors.cgroup_memory",
            Self::Heap { .. } => "envoy.resource_monitors.fixed_heap",
            Self::File(_) => "envoy.resource_monitors.injected_resource",
        }
    }

    fn rendered(&self) -> Value {
        let kind =
            |tail: &str| format!("type.googleapis.com/envoy.extensions.resource_monitors.{tail}");
        let settings = match self {
            Self::Container => json!({"@type": kind("cgroup_memory.v3.CgroupMemoryConfig")}),
            Self::Heap { bytes } => json!({
                "@type": kind("fixed_heap.v3.FixedHeapConfig"),
                "max_heap_size_bytes": bytes,
            }),
            Self::File(path) => json!({
                "@type": kind("injected_resource.v3.InjectedResourceConfig"),
                "filename": path,
            }),
        };
        json!([{"name": self.name(), "typed_config": settings}])
    }
}

/// Returns the section `overload_manager` of a bootstrap.
pub(super) fn overload_manager(options: &RenderOptions) -> String {
    let slots = [
        ("descriptors", number(options.descriptors)),
        (
            "downstream_connections",
            number(cluster::third(options.descriptors)),
        ),
        (
            "memory_monitor",
            Slot::Block(yaml(&options.memory.rendered())),
        ),
        ("memory_name", Slot::text(options.memory.name())),
    ];
    fill(include_str!("overload.yaml"), &slots)
}

fn number(number: u32) -> Slot {
    Slot::Scalar(Value::from(number))
}
