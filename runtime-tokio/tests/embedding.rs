//! Conformance tests of an embedded node, on tokio's multi-thread scheduler.

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(test);
}

serf_tests::embedding_tests!(serf_tokio::Tokio, block_on);
