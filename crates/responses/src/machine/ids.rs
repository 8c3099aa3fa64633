//! Names for responses that are made here.

/// Makes names that nobody has had.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: u128,
    made: u128,
}

impl Ids {
    pub(crate) const fn new(seed: u128) -> Self {
        Self { seed, made: 0 }
    }

    /// The next name.
    pub(crate) fn next(&mut self) -> Box<str> {
        self.made += 1;
        let number = self.seed.wrapping_add(self.made.wrapping_mul(STEP));
        format!("resp_{number:032x}").into()
    }
}

/// Odd, so that numbers come again only after all others: the golden ratio's, which spreads them.
const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
