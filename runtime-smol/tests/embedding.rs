//! Conformance tests of an embedded node, on smol's global executor.

serf_tests::embedding_tests!(serf_smol::Smol, smol::block_on);
