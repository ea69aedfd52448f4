//! A handler that misbehaves is cut off and tried again, and another mapping of the same process
//! goes on as if nothing were.

use std::fs;
use std::time::{Duration, Instant};

use gristmill_testkit::wait::until;

use crate::support::{Broker, LONG, drain, host_on_with, nothing_panicked, report, subscribed};

/// Lets a guest misbehave on one queue and works on another meanwhile.
async fn beside(guest: &str, function: &str, outcomes: &[&str]) {
    let mut broker = Broker::with(&["bad", "good"]).await;
    broker.publish("bad", [b"{}".to_vec()]).await;
    let bad = broker.mapping("bad", guest, function, "");
    let good = broker.mapping("good", "echo", "", "batch_size = 1");
    let host = broker.host(&[bad, good]);
    // Cut off, and called again.
    for attempt in 1..=2 {
        let report = report(&host, "bad").await;
        assert!(outcomes.contains(&report["outcome"].as_str().unwrap()), "{report}");
        assert_eq!(report["attempt"], attempt);
    }
    for number in 0..20 {
        broker.publish("good", [vec![number]]).await;
        let report = report(&host, "good").await;
        assert_eq!(report["outcome"], "succeeded");
    }
    broker.wait_for("good", 0, 0).await;
    // The bad one is given back.
    drain(&host).await;
    broker.wait_for("bad", 1, 0).await;
}

#[tokio::test]
async fn an_endless_loop_is_cut_off_by_the_clock() {
    beside("spins", "timeout = \"200ms\"", &["timed_out", "out_of_fuel"]).await;
}

#[tokio::test]
async fn an_endless_loop_is_cut_off_by_its_fuel() {
    beside("spins", "timeout = \"60s\"\nfuel_per_second = 1_000_000", &["out_of_fuel"]).await;
}

#[tokio::test]
async fn a_sleeper_is_cut_off() {
    beside("sleeps", "timeout = \"200ms\"", &["timed_out"]).await;
}

#[tokio::test]
async fn a_handler_that_allocates_without_end_is_cut_off() {
    beside("grows-memory", "memory = \"64MiB\"", &["out_of_memory"]).await;
}

/// The most memory that a process ever had, in KiB, as Linux tells it.
fn most_memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    most.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_response_costs_the_host_its_length_whatever_is_in_it() {
    const MOST_KIB: u64 = 160 * 1024;
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", [vec![0]]).await;
    let reports = "report_batch_item_failures = true";
    let mapping = broker.mapping("orders", "junk-response", "memory = \"32MiB\"", reports);
    let host = broker.host(&[mapping]);
    assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    broker.wait_for("orders", 0, 0).await;
    let most = most_memory_kib(host.pid());
    assert!(most < MOST_KIB, "{most} KiB");
    drain(&host).await;
}

/// Puts as many endless loops on a queue as keep every processor busy twice over, and returns their
/// number and the mapping that runs them all at once.
async fn spinners(broker: &mut Broker) -> (u64, String) {
    let processors = std::thread::available_parallelism().unwrap().get();
    let spinners = 2 * processors;
    broker.publish("bad", vec![b"{}".to_vec(); spinners]).await;
    let many = format!("batch_size = 1\nmaximum_concurrency = {spinners}");
    (spinners as u64, broker.mapping("bad", "spins", "timeout = \"10m\"", &many))
}

/// The name of the thread that has computed longest, as Linux tells it.
fn busiest_thread(pid: u32) -> String {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let threads = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")));
    let busiest = threads.flatten().max_by_key(|stat| {
        // As in `17 (name) S` and further fields, of which the twelfth is the time in user code.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(11).unwrap().parse::<u64>().unwrap()
    });
    let (_, name) = busiest.as_ref().unwrap().split_once(" (").unwrap();
    name.split_once(')').unwrap().0.to_owned()
}

#[tokio::test]
async fn endless_loops_on_every_processor_hold_up_nobody_else() {
    let mut broker = Broker::with(&["bad", "good"]).await;
    let (spinners, bad) = spinners(&mut broker).await;
    let good = broker.mapping("good", "echo", "", "batch_size = 1");
    let host = broker.host(&[bad, good]);
    subscribed(&host, "good").await;
    broker.wait_for("bad", 0, spinners).await;
    // If these waited for a spinner, the first would take ten minutes.
    for number in 0..100 {
        broker.publish("good", [vec![number]]).await;
        assert_eq!(report(&host, "good").await["outcome"], "succeeded");
    }
    assert!(
        !host.logs().iter().any(|line| line["mapping"] == "bad" && line["message"] == "REPORT")
    );
    if cfg!(target_os = "linux") {
        assert_eq!(busiest_thread(host.pid()), "gristmill-long", "on the handlers' own threads");
    }
    host.kill9().await.unwrap();
}

#[tokio::test]
async fn endless_loops_on_every_processor_leave_the_heartbeats_alone() {
    const HEARTBEAT: Duration = Duration::from_secs(2);
    // A virtual host of its own, so a connection of its own, over which nothing but heartbeats goes.
    // The broker closes it after two that are missing.
    let mut broker = Broker::with(&["bad"]).await;
    let mut others = Broker::with(&["good"]).await;
    let (spinners, bad) = spinners(&mut broker).await;
    let good = others.mapping("good", "echo", "", "batch_size = 1");
    let host = host_on_with(broker.server, "heartbeat = \"2s\"\n", &[bad, good]);
    subscribed(&host, "good").await;
    broker.wait_for("bad", 0, spinners).await;
    let began = Instant::now();
    until(LONG, async || {
        others.publish("good", [b"{}".to_vec()]).await;
        assert_eq!(report(&host, "good").await["outcome"], "succeeded");
        began.elapsed() > 4 * HEARTBEAT
    })
    .await;
    broker.wait_for("bad", 0, spinners).await;
    for mapping in ["bad", "good"] {
        let lines = host.logs();
        let of_mapping = lines.iter().filter(|line| line["mapping"] == mapping);
        let epochs: Vec<_> = of_mapping
            .filter(|line| line["message"] == "subscribed")
            .map(|line| &line["epoch"])
            .collect();
        assert_eq!(epochs.len(), 1, "{mapping}: {epochs:?}");
    }
    host.kill9().await.unwrap();
}

#[tokio::test]
async fn ctrl_c_ends_a_host_in_order_while_endless_loops_are_on_every_processor() {
    let mut broker = Broker::with(&["bad", "good"]).await;
    let (spinners, bad) = spinners(&mut broker).await;
    let good = broker.mapping("good", "echo", "", "batch_size = 1");
    let host = broker.host(&["[host]\ndrain_timeout = \"1s\"\n\n".to_owned(), bad, good]);
    subscribed(&host, "good").await;
    broker.wait_for("bad", 0, spinners).await;
    host.signal("INT").unwrap();
    let status = host.wait_exit(LONG).await.unwrap();
    assert!(status.success(), "{status}: {:#?}", host.logs());
    nothing_panicked(&host);
    for (mapping, given_back) in [("bad", spinners), ("good", 0)] {
        let drained =
            |line: &&serde_json::Value| line["message"] == "drained" && line["mapping"] == mapping;
        assert_eq!(host.logs().iter().find(drained).unwrap()["given_back"], given_back);
    }
    broker.wait_for("bad", spinners, 0).await;
}
