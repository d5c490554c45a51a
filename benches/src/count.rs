//! Instructions, counted by callgrind.

use std::process::Command;

use crate::peer::Work;

/// Whether callgrind is there; says so when it is not.
pub(crate) fn available() -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok_and(|out| out.status.success());
    if !found {
        println!(
            "valgrind is missing, so instructions are not counted. To mend it: apt-get install valgrind"
        );
    }
    found
}

/// Instructions a message: the difference of a longer and a shorter run that prepared the same.
pub(crate) fn instructions(client: &str, work_index: usize, work: Work) -> f64 {
    let (short, long) = (work.rounds(2_000), work.rounds(2_000) + work.rounds(10_000));
    let counts = [short, long].map(|rounds| collected(client, work_index, long, rounds));
    (counts[1] - counts[0]) as f64 / ((long - short) * work.messages()) as f64
}

fn collected(client: &str, work: usize, prepared: usize, rounds: usize) -> u64 {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("our own name"))
        .args(["run", client])
        .args([work, prepared, rounds].map(|n| n.to_string()))
        .output()
        .expect("valgrind");
    let text = String::from_utf8_lossy(&out.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected : "));
    match count.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if out.status.success() => count,
        _ => panic!("callgrind failed:\n{text}"),
    }
}
