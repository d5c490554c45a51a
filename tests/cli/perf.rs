//! `pulsewire perf`.

use serde_json::Value;

use crate::support::{Broker, Ran, run};

fn perf(broker: &Broker, arguments: &[&str]) -> Ran {
    let (direction, rest) = arguments.split_first().expect("a direction");
    run(&[&["perf", direction, "--url", &broker.url], rest].concat())
}

/// The one line of `--json`.
#[track_caller]
fn json(ran: Ran) -> Value {
    let lines = ran.quiet_success().lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    serde_json::from_str(&lines[0]).expect("JSON")
}

#[test]
fn what_is_produced_is_consumed_and_counted_alike() {
    let broker = Broker::start();
    for (topic, runtime, batch) in [("batched", "current", "1000"), ("single", "multi", "1")] {
        let produced = json(perf(
            &broker,
            &[
                "produce",
                "--topic",
                topic,
                "--messages",
                "3000",
                "--size",
                "100",
                "--pending",
                "500",
                "--batching-max-messages",
                batch,
                "--batching-max-delay",
                "1",
                "--runtime",
                runtime,
                "--json",
            ],
        ));
        for ack in ["individual", "cumulative", "none"] {
            let consumed = json(perf(
                &broker,
                &[
                    "consume",
                    "--topic",
                    topic,
                    "--subscription",
                    ack,
                    "--messages",
                    "3000",
                    "--ack",
                    ack,
                    "--receiver-queue-size",
                    "100",
                    "--runtime",
                    runtime,
                    "--json",
                ],
            ));
            for line in [&produced, &consumed] {
                let keys: Vec<&str> =
                    line.as_object().expect("an object").keys().map(String::as_str).collect();
                assert_eq!(
                    keys,
                    [
                        "bytes",
                        "cpu_s",
                        "max_rss_mb",
                        "messages",
                        "msg_per_s",
                        "p50_us",
                        "p999_us",
                        "p99_us",
                        "wall_s"
                    ]
                );
                assert_eq!((&line["messages"], &line["bytes"]), (&3000.into(), &300_000.into()), "{line}");
                assert!(line["wall_s"].as_f64() > Some(0.0) && line["cpu_s"].as_f64() > Some(0.0), "{line}");
                assert!(line["p50_us"].as_u64() <= line["p99_us"].as_u64(), "{line}");
                assert!(line["p99_us"].as_u64() <= line["p999_us"].as_u64(), "{line}");
            }
        }
        // What was acknowledged does not come again; what was not, does.
        for (subscription, left) in [("individual", ""), ("cumulative", ""), ("none", "x")] {
            let rest = run(&[
                "consume",
                topic,
                "-s",
                subscription,
                "--url",
                &broker.url,
                "--timeout",
                "0.3",
                "--no-ack",
            ]);
            assert_eq!(rest.quiet_success().stdout.is_empty(), left.is_empty(), "{topic} {subscription}");
        }
    }
}

#[test]
fn people_get_a_line_each_interval_and_a_summary() {
    let broker = Broker::start();
    let ran = perf(
        &broker,
        &[
            "produce",
            "-t",
            "lines",
            "--rate",
            "2000",
            "--duration",
            "1",
            "--interval",
            "0.2",
            "--warm-up",
            "0.2",
        ],
    );
    let lines = ran.quiet_success().lines();
    let (intervals, summary) = lines.split_at(lines.len() - 3);
    assert!(intervals.len() >= 4 && intervals.iter().all(|line| line.contains("msg/s")), "{intervals:?}");
    assert!(intervals.iter().any(|line| line.contains("latency ms: p50")), "{intervals:?}");
    // A second's worth at that rate, and what a busy machine was late with before it counted.
    let stored: u64 = summary[0].split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((500..=2500).contains(&stored), "{summary:?}");
    assert!(
        summary[1].starts_with("CPU ") && summary[2].contains("from send to receipt, ms: mean"),
        "{summary:?}"
    );
}

#[test]
fn several_topics_producers_and_consumers_share_the_count() {
    let broker = Broker::start();
    let produced = json(perf(
        &broker,
        &["produce", "-t", "many", "--topics", "3", "--producers", "2", "-n", "999", "-s", "10", "--json"],
    ));
    assert_eq!(produced["messages"], 999);
    let consumed = json(perf(
        &broker,
        &["consume", "-t", "many", "--topics", "3", "--consumers", "2", "-n", "999", "--json"],
    ));
    assert_eq!((&consumed["messages"], &consumed["bytes"]), (&999.into(), &9990.into()));
}

#[test]
fn a_latency_counts_from_when_the_message_was_to_be_sent() {
    let broker = Broker::start();
    // One at a time: at this rate they cannot keep up, and each waits for all before it.
    let line = json(perf(
        &broker,
        &[
            "produce",
            "-t",
            "late",
            "--rate",
            "1000000",
            "-n",
            "5000",
            "--pending",
            "1",
            "--size",
            "10",
            "--json",
            "--batching-max-messages",
            "1",
        ],
    ));
    let wall_us = line["wall_s"].as_f64().expect("a number") * 1e6;
    assert!(line["p99_us"].as_f64().expect("a number") > wall_us / 2.0, "{line}");
}

#[test]
fn what_fails_is_told_in_words() {
    let broker = Broker::start();
    perf(&broker, &["produce", "-t", "a/b", "-n", "1"]).failed(2, &["a/b"]);
    perf(&broker, &["produce", "-t", "t", "--rate", "0"]).failed(2, &["--rate"]);
    perf(&broker, &["produce", "-t", "t", "-n", "2", "-s", "6000000", "--batching-max-messages", "1"])
        .failed(1, &["2 messages are not stored", "5242880"]);
    let nobody =
        run(&["perf", "consume", "-t", "t", "--url", "pulsar://127.0.0.1:1", "--operation-timeout", "0.3"]);
    nobody.failed(1, &["pulsewire broker"]);
}
