//! Generates the message types from `proto/`, without asking for `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["mesh.proto"], ["proto"])?;
    let stubs = std::env::var_os("CARGO_FEATURE_SERVICE").is_some();
    tonic_prost_build::configure()
        // Values that were found in somebody's text must not be printed by accident.
        .skip_debug(["weir.mesh.v1.VaultEntry"])
        .build_client(stubs)
        .build_server(stubs)
        .compile_fds(files)?;
    Ok(())
}
