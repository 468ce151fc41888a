//! rumour: a gossip-based peer-to-peer cache with CRDTs.
