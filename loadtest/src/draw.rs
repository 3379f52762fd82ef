//! Chance that can be had again: numbers that depend on a seed, a purpose and an index only.
//!
//! Owns one generator, SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", OOPSLA 2014), written out here so that a plan stays the same whatever version of
//! whatever crate is used. Each purpose and each row has a stream of its own: keeping fewer
//! operators changes nobody's patience. Not for secrets.

/// What a stream is for. Its number is part of the stream, so numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Who is kept when only a part of the staff works.
    Staff = 1,
    /// How long a customer is willing to wait.
    Patience = 2,
    /// How long a customer is served whose row does not say it.
    Service = 3,
    /// Which dialogue a customer and an operator talk.
    Dialog = 4,
    /// When made-up customers come, and for what.
    Arrival = 5,
    /// How long a client waits before it connects again.
    Backoff = 6,
    /// What people of a crash run do.
    Conduct = 7,
    /// When the server is killed.
    Kill = 8,
    /// What a fuzz sends.
    Fuzz = 9,
    /// Which pairs of a comparison are swapped.
    Swap = 10,
    /// What operators do with offers while routing is measured.
    Routing = 11,
}

/// One stream of numbers.
#[derive(Debug, Clone)]
pub struct Draw {
    state: u64,
}

/// The increment of SplitMix64: 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Draw {
    /// The stream for the `index`th thing of one purpose.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let purposed = mix(seed ^ mix(purpose as u64));
        Self { state: mix(purposed ^ mix(index.wrapping_add(GOLDEN))) }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias is below `n` / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Exponential with this mean, in the unit of the mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The output function of SplitMix64.
fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The first outputs of the reference code for the state 1234567.
        let mut draw = Draw { state: 1_234_567 };
        assert_eq!(draw.bits(), 6_457_827_717_110_365_317);
        assert_eq!(draw.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, purpose, index| Draw::new(seed, purpose, index).bits();
        assert_eq!(first(7, Purpose::Staff, 3), first(7, Purpose::Staff, 3));
        assert_ne!(first(7, Purpose::Staff, 3), first(8, Purpose::Staff, 3));
        assert_ne!(first(7, Purpose::Staff, 3), first(7, Purpose::Staff, 4));
        assert_ne!(first(7, Purpose::Staff, 3), first(7, Purpose::Patience, 3));
    }

    #[test]
    fn has_the_moments_that_it_claims() {
        const N: usize = 100_000;
        let mut draw = Draw::new(1, Purpose::Arrival, 0);
        let unit: f64 = (0..N).map(|_| draw.unit()).sum::<f64>() / N as f64;
        let exponential: f64 = (0..N).map(|_| draw.exponential(10.0)).sum::<f64>() / N as f64;
        // Five standard errors: 5 × 0.289 / √N and 5 × 10 / √N.
        assert!((unit - 0.5).abs() < 0.0046, "{unit}");
        assert!((exponential - 10.0).abs() < 0.16, "{exponential}");
        assert!((0..N).all(|_| draw.below(3) < 3));
        assert_eq!(draw.below(0), 0);
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Draw::new(1, Purpose::Staff, 0).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
