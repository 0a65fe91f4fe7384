//! Where everything random comes from. A run has a seed, every case a number: both are told when something fails.

/// Set it to the seed that a failure told, to get the same bytes again. (What a server makes by itself, such as ids, differs.)
const SEED: &str = "SHAREWARDEN_FUZZ_SEED";
/// So many times as many cases, for a longer run.
const FACTOR: &str = "SHAREWARDEN_FUZZ_FACTOR";

/// The seed of this run, for one test.
#[derive(Clone, Copy)]
pub(crate) struct Chance {
    seed: u64,
}

impl Chance {
    /// A new seed, or the one that was asked for. It is printed, which libtest shows when the test fails.
    pub(crate) fn new() -> Self {
        let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
        println!("to repeat it: {SEED}={seed}");
        Self { seed }
    }

    /// How many cases to run, where usually there are so many.
    pub(crate) fn cases(self, usually: u64) -> u64 {
        usually * number(FACTOR).unwrap_or(1)
    }

    /// The randomness of one case: the same whatever the others did.
    pub(crate) fn of_case(self, number: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[expect(clippy::disallowed_methods, reason = "cargo test takes no arguments for a test")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// One of several.
pub(crate) fn one_of<T: Copy>(rng: &mut fastrand::Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// True in so many of a hundred cases.
pub(crate) fn percent(rng: &mut fastrand::Rng, share: u32) -> bool {
    rng.u32(..100) < share
}

/// Random bytes.
pub(crate) fn bytes(rng: &mut fastrand::Rng, at_most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..=at_most)];
    rng.fill(&mut bytes);
    bytes
}
