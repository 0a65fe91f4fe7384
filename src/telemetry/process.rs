//! Metrics of the process, under the names of Prometheus' own clients. On Linux only.

use opentelemetry::metrics::Meter;

/// One reading from `/proc`.
#[derive(Debug, Clone, Copy)]
struct ProcessStats {
    resident_bytes: u64,
    open_fds: u64,
    max_fds: Option<u64>,
    cpu_seconds: f64,
    started_at: f64,
}

pub(super) fn observe(meter: &Meter) {
    let gauge = |name, unit, description, part: fn(ProcessStats) -> Option<u64>| {
        super::gauges::count(meter, name, unit, description, move || read_stats().and_then(part));
    };
    gauge("process.resident_memory", "By", "Resident memory.", |stats| {
        Some(stats.resident_bytes)
    });
    gauge("process.open_fds", "{fd}", "File descriptors in use.", |stats| {
        Some(stats.open_fds)
    });
    gauge(
        "process.max_fds",
        "{fd}",
        "Maximum number of file descriptors.",
        |stats| stats.max_fds,
    );
    meter
        .f64_observable_counter("process.cpu")
        .with_unit("s")
        .with_description("Processor time.")
        .with_callback(|observer| {
            if let Some(stats) = read_stats() {
                observer.observe(stats.cpu_seconds, &[]);
            }
        })
        .build();
    meter
        .f64_observable_gauge("process.start_time")
        .with_unit("s")
        .with_description("Start time of the process, in seconds since 1970.")
        .with_callback(|observer| {
            if let Some(stats) = read_stats() {
                observer.observe(stats.started_at, &[]);
            }
        })
        .build();
}

#[cfg(target_os = "linux")]
fn read_stats() -> Option<ProcessStats> {
    use procfs::process::{LimitValue, Process};

    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let ticks = procfs::ticks_per_second() as f64;
    let most = process.limits().ok()?.max_open_files.soft_limit;
    Some(ProcessStats {
        resident_bytes: stat.rss * procfs::page_size(),
        open_fds: process.fd_count().ok()? as u64,
        max_fds: match most {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        },
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
        started_at: procfs::boot_time_secs().ok()? as f64 + stat.starttime as f64 / ticks,
    })
}

#[cfg(not(target_os = "linux"))]
fn read_stats() -> Option<ProcessStats> {
    None
}
