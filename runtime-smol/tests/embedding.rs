//! Conformance tests of an embedded node, on the adapter's shared executor.

serf_tests::embedding_tests!(serf_smol::Smol, smol::block_on);
