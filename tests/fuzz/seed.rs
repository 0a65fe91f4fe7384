//! The source of all random input. A run has a seed and each case has a number; a failure prints both.

/// Set this to the seed that a failed run printed, to send the same bytes again. Values that the server makes, such as ids,
/// differ.
const SEED: &str = "SHAREWARDEN_FUZZ_SEED";
/// Multiplies the number of cases, for a longer run.
const FACTOR: &str = "SHAREWARDEN_FUZZ_FACTOR";

/// The seed of this run, for one test.
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    value: u64,
}

impl Seed {
    /// Takes the seed of the environment, or a new one, and prints it. libtest shows the output of a failed test.
    pub(crate) fn new() -> Self {
        let value = number(SEED).unwrap_or_else(|| fastrand::u64(..));
        println!("to repeat this run: {SEED}={value}");
        Self { value }
    }

    /// The number of cases to run: `usually`, multiplied by the factor of the environment.
    pub(crate) fn cases(self, usually: u64) -> u64 {
        usually * number(FACTOR).unwrap_or(1)
    }

    /// The random numbers of one case. They do not depend on the other cases.
    pub(crate) fn rng_for_case(self, number: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.value ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[expect(clippy::disallowed_methods, reason = "cargo test takes no arguments for a test")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// A random element.
pub(crate) fn one_of<T: Copy>(rng: &mut fastrand::Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// True with a probability of `share` percent.
pub(crate) fn percent(rng: &mut fastrand::Rng, share: u32) -> bool {
    rng.u32(..100) < share
}

/// Between 0 and `at_most` random bytes.
pub(crate) fn bytes(rng: &mut fastrand::Rng, at_most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..=at_most)];
    rng.fill(&mut bytes);
    bytes
}
