//! What lies beyond the longest time that can be seen: a generalized Pareto distribution, which is
//! what the excesses over a high threshold tend to (Balkema and de Haan, 1974; Pickands, 1975),
//! fitted by its likelihood, given that nothing beyond the horizon was seen.

/// Half the 99.9th percentile of the chi-squared distribution with one degree of freedom.
const ENOUGH_BETTER: f64 = 5.4;

/// A fitted tail of excesses over a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tail {
    pub(super) threshold: f64,
    /// Above zero for heavy tails, zero for an exponential one.
    shape: f64,
    scale: f64,
    /// What part of the tail is within the horizon.
    pub(super) seen: f64,
}

impl Tail {
    /// Fits values (the middle of a bucket, and how often it was there) above a threshold, up to a
    /// horizon.
    pub(super) fn fit(steps: &[(f64, f64)], threshold: f64, horizon: f64) -> Option<Self> {
        let excesses: Vec<(f64, f64)> = steps
            .iter()
            .filter(|(value, _)| *value > threshold && *value <= horizon)
            .map(|(value, weight)| (value - threshold, *weight))
            .collect();
        let weight: f64 = excesses.iter().map(|(_, weight)| weight).sum();
        let mean = excesses.iter().map(|(excess, weight)| excess * weight).sum::<f64>() / weight;
        if excesses.len() < 5 || mean <= 0.0 || !mean.is_finite() {
            return None;
        }
        let limit = horizon - threshold;
        let likelihood = |shape: f64, scale: f64| {
            let seen = 1.0 - survival(limit, shape, scale);
            let log_density = |excess: f64| -> f64 {
                if shape.abs() < 1e-6 {
                    return -scale.ln() - excess / scale;
                }
                let inner = 1.0 + shape * excess / scale;
                if inner <= 0.0 {
                    return f64::NEG_INFINITY;
                }
                -scale.ln() - (1.0 / shape + 1.0) * inner.ln()
            };
            let sum: f64 =
                excesses.iter().map(|(excess, weight)| weight * log_density(*excess)).sum();
            sum - weight * seen.ln()
        };
        let best_scale = |shape: f64| {
            // The likelihood has one summit in the logarithm of the scale.
            let (mut low, mut high) = ((mean / 50.0).ln(), (mean * 50.0).ln());
            for _ in 0..40 {
                let (left, right) = (low + (high - low) * 0.382, low + (high - low) * 0.618);
                if likelihood(shape, left.exp()) < likelihood(shape, right.exp()) {
                    low = left;
                } else {
                    high = right;
                }
            }
            ((low + high) / 2.0).exp()
        };
        let shapes = (-6..=24).map(|step| f64::from(step) * 0.05);
        let candidates = shapes.map(|shape| {
            let scale = best_scale(shape);
            (likelihood(shape, scale), shape, scale)
        });
        let best = candidates
            .filter(|(likelihood, _, _)| likelihood.is_finite())
            .max_by(|left, right| left.0.total_cmp(&right.0));
        // The simpler tail, unless the other explains significantly more (a likelihood ratio).
        let simple_scale = best_scale(0.0);
        let simple = (likelihood(0.0, simple_scale), 0.0, simple_scale);
        let best = best.map(|best| if best.0 - simple.0 > ENOUGH_BETTER { best } else { simple });
        best.map(|(_, shape, scale)| Self {
            threshold,
            shape,
            scale,
            seen: 1.0 - survival(limit, shape, scale),
        })
    }

    /// The value that a part of the tail exceeds.
    pub(super) fn exceeded_by(&self, part: f64) -> f64 {
        let excess = if self.shape.abs() < 1e-6 {
            -self.scale * part.ln()
        } else {
            self.scale / self.shape * (part.powf(-self.shape) - 1.0)
        };
        self.threshold + excess
    }
}

/// The part of a tail that exceeds this.
fn survival(excess: f64, shape: f64, scale: f64) -> f64 {
    if shape.abs() < 1e-6 {
        return (-excess / scale).exp();
    }
    (1.0 + shape * excess / scale).max(0.0).powf(-1.0 / shape)
}
