//! The cost of a run: CPU time by process, commits, and write-ahead log.

use std::time::Duration;

use sqlx::PgPool;

/// Counters at one moment.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) server: Duration,
    pub(crate) postgres: Duration,
    pub(crate) simulator: Duration,
    pub(crate) client: Duration,
    pub(crate) commits: i64,
    pub(crate) wal_bytes: i64,
}

/// The processes whose CPU time is counted.
#[derive(Clone, Copy)]
pub(crate) struct Processes {
    pub(crate) server: u32,
    pub(crate) postgres: u32,
    pub(crate) simulator: u32,
}

impl Usage {
    pub(crate) async fn read(processes: Processes, pool: &PgPool) -> Self {
        // Backends report their commits when they have been idle for a moment.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let (commits, wal_bytes) = sqlx::query_as(
            "SELECT xact_commit, (pg_current_wal_insert_lsn() - '0/0')::bigint FROM pg_stat_database
             WHERE datname = current_database()",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        Self {
            server: process_cpu_time(processes.server),
            postgres: family_cpu_time(processes.postgres),
            simulator: process_cpu_time(processes.simulator),
            client: process_cpu_time(std::process::id()),
            commits,
            wal_bytes,
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            postgres: self.postgres.saturating_sub(before.postgres),
            simulator: self.simulator.saturating_sub(before.simulator),
            client: self.client.saturating_sub(before.client),
            commits: self.commits - before.commits,
            wal_bytes: self.wal_bytes - before.wal_bytes,
        }
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn process_cpu_time(process: u32) -> Duration {
    let [user, system, ..] = times(process);
    ticks(user + system)
}

/// The CPU time of a process, its children, and ended children.
fn family_cpu_time(parent: u32) -> Duration {
    let mut sum = times(parent).iter().sum();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(process) = entry.unwrap().file_name().to_string_lossy().parse() else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if after_name(&stat).nth(1) == Some(&parent.to_string()) {
            sum += times(process)[..2].iter().sum::<u64>();
        }
    }
    ticks(sum)
}

/// User and system time, and the same for ended children, in clock ticks.
fn times(process: u32) -> [u64; 4] {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let mut fields = after_name(&stat).skip(11).map(|field| field.parse().unwrap());
    std::array::from_fn(|_| fields.next().unwrap_or(0))
}

fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace()
}

/// Linux reports 100 ticks a second to programs.
fn ticks(count: u64) -> Duration {
    Duration::from_millis(10 * count)
}
