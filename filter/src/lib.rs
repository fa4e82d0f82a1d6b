//! The Envoy filter of Weir: a thin proxy-wasm adapter over the engine.
//!
//! One module, two roles, chosen by plugin configuration: `govern` stands in the downstream chain, once per
//! request; `adapt` stands in the router's upstream chain, once per attempt. Both run in one VM per worker and
//! share its [`vm`] state, so an attempt finds its exchange in memory.
//!
//! Only [`host`] calls the SDK. Nothing here decides: headers and chunks become engine inputs, engine commands
//! become host calls, and every host status becomes one or the other.

mod adapt;
mod blobs;
mod body;
mod config;
mod consult;
mod credit;
mod follower;
mod govern;
mod host;
mod marks;
mod prober;
mod records;
mod reporter;
mod root;
mod shared;
mod spares;
mod teller;
mod vm;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|id| -> Box<dyn RootContext> { Box::new(root::Root::new(id)) });
}}
