//! The resources of a process, their output, and the limits for their growth.

use crate::load::Counts;

/// The resources of the server at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Resident memory, in KiB.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    /// Alive tasks of tokio.
    pub(crate) tasks: u64,
    /// Connections to Postgres.
    pub(crate) connections: u64,
}

impl Sample {
    pub(crate) fn means(&self) -> Means {
        let mut window = Window::default();
        window.add(*self);
        window.means()
    }

    pub(crate) fn line(&self, name: &str, counts: &Counts) -> String {
        self.means().line(name, Some(counts))
    }
}

/// The samples of a minute.
#[derive(Debug, Default)]
pub(crate) struct Window(Vec<Sample>);

impl Window {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub(crate) fn means(&self) -> Means {
        let mean = |of: fn(&Sample) -> u64| self.0.iter().map(of).sum::<u64>() as f64 / self.0.len().max(1) as f64;
        Means([
            mean(|sample| sample.memory) / 1024.0,
            mean(|sample| sample.connections),
            mean(|sample| sample.descriptors),
            mean(|sample| sample.threads),
            mean(|sample| sample.tasks),
        ])
    }
}

const NAMES: [&str; 5] = ["memory MiB", "postgres", "descriptors", "threads", "tasks"];

/// The means of a minute, in the order of the names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means([f64; 5]);

impl Means {
    pub(crate) fn head() -> String {
        let names: String = NAMES.iter().map(|name| format!("{name:>12}")).collect();
        format!("{:>6}{names}{:>12}{:>8}", "minute", "operations", "wrong")
    }

    pub(crate) fn line(&self, name: &str, counts: Option<&Counts>) -> String {
        let numbers: String = self.0.iter().map(|number| format!("{number:>12.1}")).collect();
        let counted = counts.map_or_else(String::new, |counts| {
            format!("{:>12}{:>8}", counts.operations(), counts.wrong().len())
        });
        format!("{name:>6}{numbers}{counted}")
    }
}

/// The limits for growth: an absolute amount, and a share of the first value.
pub(crate) struct Bounds {
    when: &'static str,
    limits: [(f64, f64); 5],
}

impl Bounds {
    /// Under load, from the first minute after the warm-up to the last. Pages of a larger history are a little larger, and
    /// the connection pool grows to its limit.
    pub(crate) const LOAD: Self = Self {
        when: "under load",
        limits: [(24.0, 0.10), (8.0, 0.0), (24.0, 0.05), (4.0, 0.0), (24.0, 0.10)],
    };
    /// From before the load to after it. Connection pools and memory of the allocator stay.
    pub(crate) const REST: Self = Self {
        when: "at rest",
        limits: [(160.0, 0.0), (20.0, 0.0), (48.0, 0.0), (8.0, 0.0), (24.0, 0.0)],
    };

    /// The resources that grew beyond the limits.
    pub(crate) fn exceeded(&self, first: &Means, last: &Means) -> Vec<String> {
        let numbers = first.0.iter().zip(&last.0).zip(NAMES.iter().zip(&self.limits));
        let too_much = numbers.filter(|((first, last), (_, (amount, share)))| *last - *first > amount + *first * share);
        too_much
            .map(|((first, last), (name, _))| format!("{name} {}: {first:.1}, then {last:.1}", self.when))
            .collect()
    }
}
