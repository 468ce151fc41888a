//! The data model of rumour: clocks, stamps, registers, merge laws and slot digests.
