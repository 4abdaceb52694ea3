//! Copies of the protocols that the build script made wrong, each by one replaced line.

include!(concat!(env!("OUT_DIR"), "/patched.rs"));
