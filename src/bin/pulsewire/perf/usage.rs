//! What this process has used so far.

use std::time::Duration;

/// CPU time of all its threads, user and system.
#[cfg(unix)]
pub(super) fn cpu() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
pub(super) fn cpu() -> Duration {
    Duration::ZERO
}

/// The most memory that it ever had, in MB of 1024 * 1024 bytes, where the system tells.
pub(super) fn max_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}
