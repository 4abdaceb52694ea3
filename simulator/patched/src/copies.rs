//! What the build script made.

use super::Visitor;

include!(concat!(env!("OUT_DIR"), "/copies.rs"));
