//! Hosts, time, sockets and disks.

use std::sync::{Arc, Mutex};

use serf_sim::net::{TcpListener, TcpStream, UdpSocket};
use serf_sim::{Network, check, run};
use serf_tokio::{Coalescing, Event, Serf, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ms, nodes, secs};

#[test]
fn ten_minutes_of_three_hosts_are_a_run_of_milliseconds() {
    let begun = std::time::Instant::now();
    let ran = run(1, async |net: Network| {
        nodes(&net, 3).await;
        net.settle(secs(30)).await;
        net.advance(secs(600)).await;
        net.assert_protocol();
    });
    assert!(ran.virtual_time >= secs(600));
    println!("{:?}", begun.elapsed());
}

#[test]
fn equal_seeds_give_equal_traces_and_other_seeds_other_ones() {
    let test = async |net: Network| {
        net.latency(ms(1)..ms(20)).loss(0.05);
        nodes(&net, 5).await;
        net.settle(secs(60)).await;
        net.chaos(secs(60)).await;
    };
    let [first, again, other] = [7, 7, 8].map(|seed| run(seed, test));
    assert_eq!(first.trace_hash, again.trace_hash);
    assert_eq!(first.timeline, again.timeline);
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn a_timer_of_the_application_fires_at_its_time() {
    check(1..=3, async |net: Network| {
        let fired = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&fired);
        net.hosts(1, move |_| {
            let fired = Arc::clone(&theirs);
            async move {
                let begun = tokio::time::Instant::now();
                tokio::spawn(async move {
                    for _ in 0..5 {
                        tokio::time::sleep(ms(777)).await;
                        fired.lock().unwrap().push(begun.elapsed());
                    }
                });
            }
        })
        .await;
        net.advance(secs(10)).await;
        assert_eq!(*fired.lock().unwrap(), [777, 1554, 2331, 3108, 3885].map(ms));
    });
}

#[test]
fn the_test_may_sleep_with_tokio_too() {
    check(1..=1, async |net: Network| {
        let begun = tokio::time::Instant::now();
        tokio::time::sleep(secs(5)).await;
        assert_eq!(begun.elapsed(), secs(5));
        assert!((secs(5)..secs(5) + ms(101)).contains(&net.elapsed()), "{:?}", net.elapsed());
    });
}

#[test]
fn user_events_and_queries_reach_all_hosts() {
    check(1..=10, async |net: Network| {
        net.loss(0.1);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&seen);
        let apps = net
            .hosts(4, move |host| {
                let seen = Arc::clone(&theirs);
                async move {
                    let serf = Serf::start(host.options()).unwrap();
                    let mut events = serf.events();
                    tokio::spawn(async move {
                        while let Some(Ok(event)) = events.next().await {
                            if let Event::User(user) = event {
                                seen.lock().unwrap().push((host.name().to_owned(), user.name));
                            }
                        }
                    });
                    serf.handle(serf_tokio::Handlers::new().on_query("uptime", |_| async {
                        tokio::time::sleep(ms(20)).await;
                        Some(b"three days".to_vec())
                    }));
                    serf
                }
            })
            .await;
        net.settle(secs(60)).await;
        // Joins that still run would ignore the event.
        net.advance(secs(2)).await;
        apps.of("n1").user_event("deploy", b"v1", Coalescing::Forbid).unwrap();
        net.eventually(secs(30), || seen.lock().unwrap().len() == 4).await;
        let answers = apps.of("n2").query(&serf_tokio::Question::new("uptime")).unwrap().answers().await.unwrap();
        assert!(!answers.responses.is_empty());
        net.assert_protocol();
    });
}

#[test]
fn a_service_talks_to_its_replicas_over_the_same_network() {
    check(1..=5, async |net: Network| {
        net.loss(0.2);
        let apps = net
            .hosts(2, async |host| {
                let listener = TcpListener::bind(host.addr(80)).await.unwrap();
                tokio::spawn(async move {
                    while let Ok((mut stream, _)) = listener.accept().await {
                        tokio::spawn(async move {
                            let mut request = Vec::new();
                            stream.read_to_end(&mut request).await.unwrap();
                            stream.write_all(&request.repeat(2)).await.unwrap();
                            stream.shutdown().await.unwrap();
                        });
                    }
                });
                let socket = UdpSocket::bind(host.addr(53)).await.unwrap();
                let (host, begin) = (host.name().to_owned(), Arc::new(tokio::sync::Notify::new()));
                let (result, begun) = (Arc::new(Mutex::new(None)), Arc::clone(&begin));
                let theirs = Arc::clone(&result);
                tokio::spawn(async move {
                    begun.notified().await;
                    let peer = if host == "n0" { "n1" } else { "n0" };
                    let mut stream = TcpStream::connect(format!("{peer}:80")).await.unwrap();
                    let request = vec![7; 300_000];
                    stream.write_all(&request).await.unwrap();
                    stream.shutdown().await.unwrap();
                    let mut reply = Vec::new();
                    stream.read_to_end(&mut reply).await.unwrap();
                    socket.send_to(b"ping", format!("{peer}:53")).await.unwrap();
                    *theirs.lock().unwrap() = Some((reply.len(), stream.peer_addr().unwrap().port()));
                });
                (begin, result)
            })
            .await;
        for app in apps.running() {
            app.0.notify_one();
        }
        net.eventually(secs(60), || apps.all(|(_, result)| *result.lock().unwrap() == Some((600_000, 80)))).await;
    });
}

#[test]
fn a_connection_that_nothing_listens_for_is_refused() {
    check(1..=1, async |net: Network| {
        net.hosts(2, async |host| {
            if host.name() == "n0" {
                let error = TcpStream::connect("n1:81").await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
                assert!(TcpStream::connect("n7:81").await.is_err());
            }
        })
        .await;
    });
}

#[test]
fn a_node_with_a_snapshot_returns_from_a_crash_by_itself_and_hears_nothing_twice() {
    check(1..=20, async |net: Network| {
        let apps = net
            .hosts(3, async |host| {
                let options = host.options().with(|options| {
                    options.snapshot = Some("/var/serf.snapshot".into());
                    options.join = if host.name() == "n2" { Vec::new() } else { vec!["n0".into()] };
                });
                Serf::start(options).unwrap()
            })
            .await;
        apps.of("n2").join(&["n0"]).await.unwrap();
        net.settle(secs(60)).await;
        apps.of("n0").user_event("deploy", b"v1", Coalescing::Forbid).unwrap();
        net.advance(secs(5)).await;
        let snapshot = net.disk("n2").read("/var/serf.snapshot").unwrap();
        assert!(String::from_utf8(snapshot).unwrap().contains("alive: n0 10.0.0.1:7946"));
        net.crash("n2");
        let failed = |serf: &Serf| serf.member("n2").is_some_and(|member| member.status() == Status::Failed);
        net.eventually(secs(30), || apps.all(failed)).await;
        net.restart("n2").await;
        net.settle(secs(60)).await;
        net.assert_protocol();
    });
}

#[test]
fn a_power_failure_loses_what_was_not_synced_and_a_full_disk_keeps_the_node_up() {
    check(1..=10, async |net: Network| {
        let apps = net
            .hosts(2, async |host| {
                let snapshot = Some("snapshot".into());
                Serf::start(host.options().with(|options| options.snapshot = snapshot)).unwrap()
            })
            .await;
        net.settle(secs(60)).await;
        net.disk("n1").set_full(true);
        apps.of("n0").user_event("a", b"", Coalescing::Forbid).unwrap();
        net.eventually(secs(60), || apps.of("n1").stats().snapshot_failing).await;
        net.disk("n1").set_full(false);
        net.eventually(secs(60), || !apps.of("n1").stats().snapshot_failing).await;
        net.disk("n1").set_delay(ms(300));
        net.power_off("n1");
        net.advance(secs(30)).await;
        net.restart("n1").await;
        net.settle(secs(60)).await;
    });
}

#[test]
fn a_second_node_on_a_port_or_a_snapshot_is_refused() {
    check(1..=1, async |net: Network| {
        net.hosts(1, async |host| {
            let options = || host.options().with(|options| options.snapshot = Some("snapshot".into()));
            let first = Serf::start(options()).unwrap();
            let taken = Serf::start(options()).unwrap_err();
            assert!(matches!(taken, serf_tokio::StartError::Bind { .. }), "{taken}");
            let locked = Serf::start(options().with(|options| options.bind.set_port(7947))).unwrap_err();
            assert!(matches!(locked, serf_tokio::StartError::InUse { .. }), "{locked}");
            first.shutdown().await.unwrap();
            let again = Serf::start(options()).unwrap();
            again.leave().await.unwrap();
        })
        .await;
    });
}

#[test]
fn a_node_that_listens_on_all_addresses_announces_that_of_its_host() {
    check(1..=1, async |net: Network| {
        let apps = net
            .hosts(2, async |host| {
                let all = "0.0.0.0:7946".parse().unwrap();
                Serf::start(host.options().with(|options| options.bind = all)).unwrap()
            })
            .await;
        net.settle(secs(60)).await;
        assert_eq!(apps.of("n1").local().addr(), "10.0.0.2:7946".parse().unwrap());
    });
}
