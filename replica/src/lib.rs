//! One running replica: transport, storage, gossip over UDP, client API; and the gateway in front
