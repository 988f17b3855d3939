//! Faults drawn from the seed.

use core::time::Duration;

use crate::network::{Fault, Network};

/// Faults that are under way, with the time of their end.
#[derive(Default)]
struct UnderWay {
    links: Vec<(Duration, Fault)>,
    down: Vec<(Duration, String)>,
}

impl Network {
    /// Injects random faults for a time, and lets the time pass: crashes and power failures with restarts, stalls of hosts
    /// and of clocks, partitions, one-way cuts, loss and delays, one to three at a time. The first host never goes down, so that a
    /// restarted node finds a seed. At the end all links are healed and all hosts are up.
    ///
    /// # Panics
    ///
    /// Panics if a restarted application does.
    pub async fn chaos(&self, time: Duration) {
        let names = self.host_names();
        let end = self.elapsed() + time;
        let mut under_way = UnderWay::default();
        while self.elapsed() < end {
            if under_way.count() < FAULTS_AT_ONCE && names.len() > 1 {
                let until = self.elapsed() + FAULT_MIN + self.random_time(FAULT_SPAN);
                self.draw(&names, until.min(end), &mut under_way);
            }
            let pause = PAUSE_MIN + self.random_time(PAUSE_SPAN);
            self.advance(pause.min(end.saturating_sub(self.elapsed()))).await;
            self.end_faults(&mut under_way, self.elapsed()).await;
        }
        self.end_faults(&mut under_way, Duration::MAX).await;
    }

    fn draw(&self, names: &[String], until: Duration, under_way: &mut UnderWay) {
        let one = || &names[self.random_below(u32::try_from(names.len()).unwrap_or(u32::MAX)) as usize];
        let two = || {
            let at = 1 + self.random_below(u32::try_from(names.len() - 1).unwrap_or(u32::MAX)) as usize;
            &names[at]
        };
        match self.random_below(9) {
            kind @ 0..=2 => {
                let host = two();
                if self.is_up(host) {
                    if kind == 2 {
                        self.power_off(host)
                    } else {
                        self.crash(host)
                    }
                    under_way.down.push((until, host.clone()));
                }
            }
            3 => self.pause(one(), until.saturating_sub(self.elapsed())),
            4 | 5 => {
                let (some, others): (Vec<&String>, Vec<&String>) =
                    names.iter().partition(|_| self.random_below(2) == 0);
                if !some.is_empty() && !others.is_empty() {
                    under_way.links.push((until, self.partition(some, others)));
                }
            }
            6 => self.stop_clock(one(), until.saturating_sub(self.elapsed())),
            7 => under_way.links.push((until, self.cut_one_way(one(), two()))),
            _ => under_way
                .links
                .push((until, self.lose_between(one(), two(), 0.2 + f64::from(self.random_below(60)) / 100.0))),
        }
    }

    async fn end_faults(&self, under_way: &mut UnderWay, now: Duration) {
        under_way.links.retain(|(until, _)| *until > now);
        let (over, down) = core::mem::take(&mut under_way.down).into_iter().partition(|(until, _)| *until <= now);
        under_way.down = down;
        let over: Vec<(Duration, String)> = over;
        for (_, host) in over {
            self.restart(&host).await;
        }
    }
}

impl UnderWay {
    const fn count(&self) -> usize {
        self.links.len() + self.down.len()
    }
}

const FAULTS_AT_ONCE: usize = 3;
const FAULT_MIN: Duration = Duration::from_secs(1);
const FAULT_SPAN: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_SPAN: Duration = Duration::from_secs(10);
