//! The results as tables.

use std::time::Duration;

use crate::{load::Measured, usage::Usage};

/// All rounds of one run.
#[derive(Default)]
pub(crate) struct Row {
    operations: u64,
    took: Duration,
    latencies: Vec<Duration>,
    usage: Vec<Usage>,
    memory: u64,
}

impl Row {
    pub(crate) fn add(&mut self, (measured, usage, memory): (Measured, Usage, u64)) {
        self.operations += measured.operations;
        self.took += measured.took;
        self.latencies.extend(measured.latencies);
        self.latencies.sort_unstable();
        self.usage.push(usage);
        self.memory = self.memory.max(memory);
    }

    /// Adds the rounds of another row.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.operations += other.operations;
        self.took += other.took;
        self.latencies.append(&mut other.latencies);
        self.latencies.sort_unstable();
        self.usage.append(&mut other.usage);
        self.memory = self.memory.max(other.memory);
    }

    /// The numbers to compare two builds.
    pub(crate) fn in_short(&self) -> String {
        let [per_second, _, p99, _, server, postgres, ..] = self.cells();
        format!("{per_second}/s, p99 {p99} ms, server {server} µs, Postgres {postgres} µs")
    }

    /// The 99th percentile of the latency, in milliseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64()
    }

    fn quantile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let latency = self.latencies.get((last as f64 * part).round() as usize);
        latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }

    fn each(&self, what: impl Fn(&Usage) -> f64) -> f64 {
        self.usage.iter().map(what).sum::<f64>() / self.operations.max(1) as f64
    }

    fn cells(&self) -> [String; 9] {
        let micros =
            |time: fn(&Usage) -> Duration| format!("{:.0}", self.each(|usage| time(usage).as_secs_f64() * 1e6));
        [
            format!("{:.0}", self.per_second()),
            format!("{:.2}", self.quantile(0.5)),
            format!("{:.2}", self.quantile(0.99)),
            format!("{:.2}", self.quantile(0.999)),
            micros(|usage| usage.server),
            micros(|usage| usage.postgres),
            format!(
                "{:.0}",
                self.each(|usage| (usage.client + usage.simulator).as_secs_f64() * 1e6)
            ),
            format!("{:.2}", self.each(|usage| usage.commits as f64)),
            format!("{:.0}", self.each(|usage| usage.wal_bytes as f64)),
        ]
    }
}

/// The rows of a table.
pub(crate) struct Table {
    table: comfy_table::Table,
    /// The number of accounts, and the grants a second.
    grants: Vec<(usize, f64)>,
}

const HEAD: [&str; 14] = [
    "what",
    "accounts",
    "in flight",
    "per second",
    "p50 ms",
    "p99",
    "p99.9",
    "server µs",
    "Postgres µs",
    "client+simulator µs",
    "commits",
    "WAL bytes",
    "server MB",
    "grants ÷ this",
];

impl Table {
    pub(crate) fn new() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(HEAD);
        let grants = Vec::new();
        Self { table, grants }
    }

    /// Adds the workloads of a cell, the service first.
    pub(crate) fn compare<'a>(
        &mut self,
        accounts: usize,
        in_flight: usize,
        workloads: impl Iterator<Item = (&'static str, &'a Row)>,
    ) {
        let mut ours = None;
        for (name, row) in workloads.filter(|(_, row)| row.operations > 0) {
            let ours = *ours.get_or_insert(row.per_second());
            self.push(
                name,
                accounts,
                in_flight,
                row,
                format!("{:.2}", ours / row.per_second()),
            );
        }
        self.grants.extend(ours.map(|rate| (accounts, rate)));
    }

    pub(crate) fn add(&mut self, name: &str, accounts: usize, in_flight: usize, row: &Row) {
        self.push(name, accounts, in_flight, row, String::new());
    }

    fn push(&mut self, name: &str, accounts: usize, in_flight: usize, row: &Row, ratio: String) {
        let mut cells = vec![name.to_owned(), accounts.to_string(), in_flight.to_string()];
        cells.extend(row.cells());
        cells.push(format!("{:.0}", row.memory as f64 / 1e6));
        cells.push(ratio);
        self.table.add_row(cells);
    }

    /// The highest number of grants a second with this number of accounts.
    pub(crate) fn max_per_second(&self, accounts: usize) -> f64 {
        let rates = self.grants.iter().filter(|(of, _)| *of == accounts);
        rates.map(|(_, rate)| *rate).fold(1.0, f64::max)
    }

    pub(crate) fn print(&self) {
        println!("{}\n", self.table);
    }
}
