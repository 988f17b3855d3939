//! What a service may expect of a node that it embeds, on tokio with several threads.

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(test);
}

serf_tests::embedding_tests!(serf_tokio::Tokio, block_on);
