//! A whole cluster in virtual time, deterministic, generic over the protocol
