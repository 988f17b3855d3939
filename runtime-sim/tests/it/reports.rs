//! Reports of failing tests.

use std::panic::catch_unwind;

use serf_sim::{Network, check};
use serf_tokio::Status;

use super::{nodes, secs};

fn report_of(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(test).expect_err("the test fails");
    *payload.downcast::<String>().expect("the report is text")
}

#[test]
fn a_failure_names_the_seed_the_command_and_only_the_needed_faults() {
    let report = report_of(|| {
        check(11..=11, async |net: Network| {
            let apps = nodes(&net, 4).await;
            net.settle(secs(60)).await;
            net.link("n0", "n1").loss(0.2);
            net.pause("n3", secs(1));
            net.crash("n2");
            let cut = net.isolate(["n3"]);
            net.advance(secs(2)).await;
            cut.heal();
            net.advance(secs(60)).await;
            let n2 = apps.of("n0").member("n2").map(|member| member.status());
            assert_eq!(n2, Some(Status::Alive), "a claim that a crash refutes");
        });
    });
    assert!(report.starts_with("seed 11 fails"), "{report}");
    assert!(report.contains("a claim that a crash refutes") && report.contains("reports.rs:"), "{report}");
    assert!(report.contains("SERF_SIM_SEED=11 cargo test reports::a_failure_names_the_seed"), "{report}");
    assert!(report.contains("1 of 4 faults are needed:\n") && report.contains("s  crash n2\n"), "{report}");
}

#[test]
fn a_panic_in_a_task_of_the_application_fails_the_test() {
    let report = report_of(|| {
        check(1..=1, async |net: Network| {
            net.hosts(1, async |_| {
                drop(tokio::spawn(async {
                    tokio::time::sleep(secs(1)).await;
                    panic!("in a task");
                }));
            })
            .await;
            net.advance(secs(2)).await;
        });
    });
    assert!(report.contains("in a task"), "{report}");
}

#[test]
fn views_that_differ_are_named() {
    let report = report_of(|| {
        check(1..=1, async |net: Network| {
            nodes(&net, 3).await;
            net.settle(secs(60)).await;
            net.isolate(["n2"]).forget();
            net.advance(secs(60)).await;
            net.settle(secs(1)).await;
        });
    });
    assert!(report.contains("n0 sees n2 as failed\n") && report.contains("n2 sees n0 as failed\n"), "{report}");
}

#[test]
fn a_test_that_is_not_deterministic_is_refused() {
    let report = report_of(|| {
        let runs = std::sync::atomic::AtomicU64::new(0);
        check(1..=3, async |net: Network| {
            nodes(&net, 2).await;
            let run = runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            net.advance(std::time::Duration::from_secs(1 + run)).await;
        });
    });
    assert!(report.contains("two runs of seed 1 differ"), "{report}");
}

#[test]
fn a_test_that_waits_for_ever_fails() {
    let report = report_of(|| {
        check(1..=1, async |net: Network| {
            net.limit(secs(600));
            core::future::pending::<()>().await;
        });
    });
    assert!(report.contains("has not ended after 600s of virtual time"), "{report}");
}
