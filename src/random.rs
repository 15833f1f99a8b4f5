//! The only door to randomness: nonces, store ids and hash keys come from here.

use std::fmt::Debug;

/// A source of random bytes.
pub trait Random: Debug + Send + Sync {
    /// Fills `buf`; never fails (a machine without randomness cannot run the store, and `open` says
    /// so).
    fn fill(&self, buf: &mut [u8]) -> std::io::Result<()>;

    /// A random number.
    fn next_u64(&self) -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RealRandom;

#[allow(clippy::disallowed_methods, reason = "this is the seam to the system's randomness")]
impl Random for RealRandom {
    fn fill(&self, buf: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(buf).map_err(|error| std::io::Error::other(error.to_string()))
    }
}

/// Randomness from a seed, the same on every run.
#[cfg(any(test, feature = "simulation"))]
#[derive(Debug)]
pub struct SimRandom {
    state: std::sync::atomic::AtomicU64,
}

#[cfg(any(test, feature = "simulation"))]
impl SimRandom {
    /// A source that depends on `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: std::sync::atomic::AtomicU64::new(seed) }
    }
}

#[cfg(any(test, feature = "simulation"))]
impl Random for SimRandom {
    fn fill(&self, buf: &mut [u8]) -> std::io::Result<()> {
        use std::sync::atomic::Ordering;
        for chunk in buf.chunks_mut(8) {
            // SplitMix64 (Steele, Lea, Flood 2014): a counter and a finalizer, so that calls from
            // several threads never see the same number.
            let mut z = self
                .state
                .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
                .wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            for (byte, value) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *byte = value;
            }
        }
        Ok(())
    }
}
