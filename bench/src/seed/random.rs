//! Chance that hangs on a number alone: each row has its own, so that rows can be made in any order and piece by piece.

/// `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Of one row of one kind.
    pub fn of(seed: u64, kind: u64, row: u32) -> Self {
        let mut random =
            Self(seed ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(row) << 20));
        // Neighbours differ in a few bits only.
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1, without 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 0 to `end`, without `end`, which is above 0.
    #[expect(clippy::cast_possible_truncation, reason = "below a u32")]
    pub fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }

    /// The same, the low ones far more often: `power` 1 is even, 3 gives the first of 10,000 one in twenty.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a u32"
    )]
    pub fn skewed(&mut self, end: u32, power: i32) -> u32 {
        ((self.share().powi(power) * f64::from(end)) as u32).min(end - 1)
    }

    /// Whether a thing of these odds happens.
    pub fn happens(&mut self, odds: f64) -> bool {
        self.share() < odds
    }

    pub fn one_of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(u32::try_from(some.len()).unwrap_or(u32::MAX)) as usize]
    }
}
