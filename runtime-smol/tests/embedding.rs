//! What a service may expect of a node that it embeds, on smol's global executor.

serf_tests::embedding_tests!(serf_smol::Smol, smol::block_on);
