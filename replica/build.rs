//! Turns `proto/transport.proto` into the transport's client and server. The compiler is protox, so
//! that no protoc needs to be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/transport.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .message_attribute(".", "#[allow(missing_docs)]")
        .compile_fds(descriptors)?;
    Ok(())
}
