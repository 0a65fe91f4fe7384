//! Latencies, and their table.

use std::time::{Duration, Instant};

/// The latencies of one kind of call.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Measures one call.
    pub(crate) async fn measure<T>(&mut self, call: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let result = call.await;
        self.0.push(begun.elapsed());
        result
    }

    /// The latency at this quantile, between 0 and 1.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[((sorted.len() - 1) as f64 * part).round() as usize]
    }
}

/// The results, as a table.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["query", "rows", "gRPC p50 ms", "p99", "SQL p50 ms", "p99", "p50 ratio"]);
        Self(table)
    }

    /// Adds the row of a query. `sql` is the same query on Postgres directly.
    pub(crate) fn add(&mut self, name: &str, rows: usize, grpc: &Latencies, sql: Option<&Latencies>) {
        let ms = |latencies: &Latencies, part| format!("{:.2}", latencies.quantile(part).as_secs_f64() * 1000.0);
        let ratio = |sql: &Latencies| grpc.quantile(0.5).as_secs_f64() / sql.quantile(0.5).as_secs_f64();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
        self.0.add_row([
            name.to_owned(),
            rows.to_string(),
            ms(grpc, 0.5),
            ms(grpc, 0.99),
            or_none(sql.map(|sql| ms(sql, 0.5))),
            or_none(sql.map(|sql| ms(sql, 0.99))),
            or_none(sql.map(|sql| format!("{:.2}", ratio(sql)))),
        ]);
    }

    pub(crate) fn print(&self) {
        println!("{}\n", self.0);
    }
}
