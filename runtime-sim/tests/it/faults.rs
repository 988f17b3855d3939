//! Faults of links and hosts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serf_sim::net::UdpSocket;
use serf_sim::{Network, check, run};
use serf_tokio::{Serf, Status};

use super::{ms, nodes, secs};

fn sees(serf: &Serf, name: &str, status: Status) -> bool {
    serf.member(name).is_some_and(|member| member.status() == status)
}

#[test]
fn a_partition_splits_the_cluster_and_ends_with_its_guard() {
    check(1..=20, async |net: Network| {
        net.latency(ms(1)..ms(20)).loss(0.05);
        let apps = nodes(&net, 6).await;
        net.settle(secs(60)).await;
        let cut = net.partition(["n0", "n1"], ["n2", "n3", "n4", "n5"]);
        net.eventually(secs(60), || {
            sees(&apps.of("n0"), "n5", Status::Failed) && sees(&apps.of("n5"), "n0", Status::Failed)
        })
        .await;
        assert!(sees(&apps.of("n0"), "n1", Status::Alive));
        cut.heal();
        net.settle(secs(120)).await;
        net.assert_protocol();
    });
}

#[test]
fn the_tasks_of_a_crashed_host_end_and_those_of_a_stalled_one_wait() {
    check(1..=5, async |net: Network| {
        let ticks = Arc::new(AtomicU32::new(0));
        let theirs = Arc::clone(&ticks);
        net.hosts(1, move |_| {
            let ticks = Arc::clone(&theirs);
            async move {
                drop(tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(ms(100)).await;
                        ticks.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            }
        })
        .await;
        let count = || ticks.load(Ordering::Relaxed);
        net.advance(secs(1)).await;
        assert!((9..=10).contains(&count()), "{}", count());
        let before = count();
        net.pause("n0", secs(10));
        net.advance(secs(9)).await;
        assert_eq!(count(), before);
        net.advance(secs(2)).await;
        assert!((before + 9..=before + 11).contains(&count()), "one late, then on time: {}", count() - before);
        let before = count();
        net.crash("n0");
        net.advance(secs(5)).await;
        assert_eq!(count(), before);
        net.restart("n0").await;
        net.advance(secs(1)).await;
        assert!((before + 9..=before + 10).contains(&count()));
    });
}

#[test]
fn timers_of_a_stopped_clock_wait_for_it_and_what_arrives_is_handled() {
    check(1..=5, async |net: Network| {
        let apps = net
            .hosts(2, async |host| {
                let (begun, ticks) = (tokio::time::Instant::now(), Arc::new(Mutex::new(Vec::new())));
                let theirs = Arc::clone(&ticks);
                tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(secs(1)).await;
                        theirs.lock().unwrap().push(begun.elapsed());
                    }
                });
                let (socket, heard) = (UdpSocket::bind(host.addr(53)).await.unwrap(), Arc::new(AtomicU32::new(0)));
                let (theirs, is_sender) = (Arc::clone(&heard), host.name() == "n0");
                tokio::spawn(async move {
                    loop {
                        if is_sender {
                            tokio::time::sleep(ms(500)).await;
                            socket.send_to(b"beat", "n1:53").await.unwrap();
                        } else {
                            socket.recv_from(&mut [0; 8]).await.unwrap();
                            theirs.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
                (ticks, heard)
            })
            .await;
        let app = apps.of("n1");
        let (ticks, heard) = (|| app.0.lock().unwrap().len(), || app.1.load(Ordering::Relaxed));
        net.advance(ms(2400)).await;
        assert_eq!(ticks(), 2);
        let before = heard();
        net.stop_clock("n1", secs(20));
        net.advance(secs(19)).await;
        assert_eq!(ticks(), 2);
        assert!((37..=38).contains(&(heard() - before)), "{}", heard() - before);
        net.advance(ms(4600)).await;
        // 3.6 seconds after the fault, with 0.6 of the third second to go at its begin.
        // An input between two ticks lets a timer fire late by less than one.
        let shown: Vec<u64> = app.0.lock().unwrap().iter().map(Duration::as_secs).collect();
        assert_eq!(shown, [1, 2, 3, 4, 5]);
        // A crash does not mend the clock.
        net.stop_clock("n1", secs(20));
        net.crash("n1");
        net.restart("n1").await;
        net.advance(secs(19)).await;
        assert_eq!(apps.of("n1").0.lock().unwrap().len(), 0);
        net.advance(ms(2500)).await;
        assert_eq!(apps.of("n1").0.lock().unwrap().len(), 1);
    });
}

#[test]
fn a_node_whose_clock_stands_still_answers_and_stays_a_member_and_notices_a_crash_later() {
    check(1..=10, async |net: Network| {
        let apps = nodes(&net, 5).await;
        net.settle(secs(60)).await;
        net.stop_clock("n2", secs(60));
        net.crash("n4");
        net.always(secs(60), || ["n0", "n1", "n3"].iter().all(|name| sees(&apps.of(name), "n2", Status::Alive))).await;
        assert!(sees(&apps.of("n0"), "n4", Status::Failed));
        net.eventually(secs(60), || sees(&apps.of("n2"), "n4", Status::Failed)).await;
        net.restart("n4").await;
        net.settle(secs(120)).await;
        net.assert_protocol();
    });
}

#[test]
fn a_short_stall_is_forgiven_and_a_long_one_is_noticed_and_refuted() {
    check(1..=10, async |net: Network| {
        let apps = nodes(&net, 4).await;
        net.settle(secs(60)).await;
        net.pause("n2", secs(1));
        net.advance(secs(10)).await;
        assert!(apps.all(|serf| sees(serf, "n2", Status::Alive)));
        net.pause("n2", secs(60));
        net.eventually(secs(40), || sees(&apps.of("n0"), "n2", Status::Failed)).await;
        net.settle(secs(120)).await;
        net.assert_protocol();
    });
}

#[test]
fn one_way_loss_between_two_hosts_fails_neither() {
    check(1..=10, async |net: Network| {
        let apps = nodes(&net, 5).await;
        net.settle(secs(60)).await;
        net.link("n0", "n4").one_way().loss(0.9);
        net.always(secs(60), || apps.all(|serf| sees(serf, "n4", Status::Alive) && sees(serf, "n0", Status::Alive)))
            .await;
    });
}

#[test]
fn hosts_agree_after_any_drawn_faults() {
    check(1..=30, async |net: Network| {
        net.latency(ms(1)..ms(30)).loss(0.03).duplicate(0.02).stream_resets(0.02);
        nodes(&net, 5).await;
        net.settle(secs(60)).await;
        net.chaos(secs(120)).await;
        net.settle(secs(180)).await;
        net.assert_protocol();
    });
}

#[test]
fn a_reset_stream_fails_on_both_sides_and_a_join_is_tried_again() {
    check(1..=5, async |net: Network| {
        net.stream_resets(1.0);
        let apps =
            net.hosts(2, async |host| Serf::start(host.options().with(|options| options.join.clear())).unwrap()).await;
        let error = apps.of("n1").join(&["n0"]).await.unwrap_err();
        assert!(error.to_string().contains("n0"), "{error}");
        net.stream_resets(0.0);
        apps.of("n1").join(&["n0"]).await.unwrap();
        net.settle(secs(10)).await;
    });
}

#[test]
fn the_timeline_says_what_was_done_and_who_noticed_it() {
    let ran = run(3, async |net: Network| {
        let apps = nodes(&net, 3).await;
        net.settle(secs(60)).await;
        net.crash("n2");
        net.eventually(secs(30), || sees(&apps.of("n0"), "n2", Status::Failed)).await;
    });
    let text = ran.timeline.to_string();
    for part in ["*        crash n2", "n0       member-failed: n2", "n1       suspects n2"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}
