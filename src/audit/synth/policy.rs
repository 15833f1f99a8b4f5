//! How long clients wait before they try again: the policies of libraries that are in wide use,
//! each as its own documents or sources define it (looked up in November 2026).
//!
//! A policy belongs to the set that thresholds were tuned on, or to the set that is held out and
//! only measured.

use super::Set;
use super::dice::Dice;

/// A retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// AWS SDKs, standard mode: a random part of min(2^i s, 20 s), three attempts
    /// (botocore/retries/standard.py; "Retry behavior" in the AWS SDKs and Tools guide).
    AwsStandard,
    /// The same in adaptive mode, which also waits for the client's own rate limiter.
    AwsAdaptive,
    /// The same with `AWS_NEW_RETRIES_2026`: 50 ms in place of 1 s (botocore, "2.1").
    Aws2026,
    /// stripe-python: 0.5 s doubled up to 5 s, times a half to one, at least 0.5 s
    /// (`_sleep_time_seconds` in stripe/_http_client.py).
    StripePython,
    /// stripe-node: the same up to 5 s, two retries (`_getSleepTimeInMS`, `stripe.core.ts`).
    StripeNode,
    /// stripe-php: the same up to 2 s (`Stripe::$maxNetworkRetryDelay`).
    StripePhp,
    /// gRPC: min(initial × multiplier^(n-1), max) times 0.8 to 1.2, at most five attempts (proposal
    /// A6; initial .1 s, max 1 s and multiplier 2 are its own example).
    Grpc,
    /// gRPC before that change: random(0, that) (the earlier text of A6).
    GrpcFullJitter,
    /// urllib3: no wait first, then factor × 2^n up to 120 s (`Retry.get_backoff_time`);
    /// factor 0.3.
    Urllib3,
    /// The same with factor 1 and up to 0.5 s of jitter (`backoff_jitter`).
    Urllib3Jitter,
    /// got: 1000 × 2^(n-1) and a noise of up to 100 ms, two retries (documentation/7-retry.md).
    Got,
    /// axios-retry: three retries without delay (README, `retryDelay`).
    Axios,
    /// axios-retry's `exponentialDelay`: 100 × 2^n and up to a fifth more.
    AxiosExponential,
    /// Polly: decorrelated jitter V2 (`Backoff.DecorrelatedJitterV2.cs`), a median of 1 s.
    Polly,
    /// "Exponential Backoff And Jitter" (AWS Architecture Blog): random(base, 3 × the last),
    /// capped; base 100 ms, cap 20 s.
    Decorrelated,
    /// Google's HTTP client for Java, and the crate `backoff`: 0.5 s × 1.5^n, plus or minus a half,
    /// up to a minute, for a quarter of an hour (`ExponentialBackOff`).
    GoogleHttp,
    /// Ktor: 2^(n-1) × 1 s and up to 1 s more, up to a minute (`exponentialDelay`).
    Ktor,
    /// Resilience4j: three attempts, 0.5 s apart (its documentation, "Retry").
    Resilience4j,
    /// Sidekiq: n^4 + 15 s + random(10) × (n + 1) s (its wiki, "Error Handling"); a job that lives
    /// for hours.
    Sidekiq,
    /// A queue that delivers again after a visibility timeout of 30 s (Amazon SQS's default).
    Queue,
    /// Android's WorkManager: 30 s doubled up to five hours (`BackoffPolicy.EXPONENTIAL`).
    WorkManager,
}

/// The policies of programs that wait for the answer.
const SDKS: [(Set, Policy); 18] = [
    (Set::Tuning, Policy::AwsStandard),
    (Set::Tuning, Policy::AwsAdaptive),
    (Set::Tuning, Policy::StripePython),
    (Set::Tuning, Policy::GrpcFullJitter),
    (Set::Tuning, Policy::Urllib3),
    (Set::Tuning, Policy::Axios),
    (Set::Tuning, Policy::AxiosExponential),
    (Set::Tuning, Policy::Polly),
    (Set::Tuning, Policy::Resilience4j),
    (Set::HeldOut, Policy::Aws2026),
    (Set::HeldOut, Policy::StripeNode),
    (Set::HeldOut, Policy::StripePhp),
    (Set::HeldOut, Policy::Grpc),
    (Set::HeldOut, Policy::Urllib3Jitter),
    (Set::HeldOut, Policy::Got),
    (Set::HeldOut, Policy::Decorrelated),
    (Set::HeldOut, Policy::GoogleHttp),
    (Set::HeldOut, Policy::Ktor),
];

impl Policy {
    /// A policy of a program that waits for its answer.
    pub(super) fn of_an_sdk(set: Set, dice: &mut Dice) -> Self {
        Self::one_of(&SDKS, set, dice)
    }

    /// A policy of something that tries in the background.
    pub(super) fn of_a_job(set: Set, dice: &mut Dice) -> Self {
        let jobs = [
            (Set::Tuning, Self::Queue),
            (Set::HeldOut, Self::Sidekiq),
            (Set::Tuning, Self::WorkManager),
        ];
        Self::one_of(&jobs, set, dice)
    }

    fn one_of(from: &[(Set, Self)], set: Set, dice: &mut Dice) -> Self {
        let those: Vec<_> =
            from.iter().filter(|(of, _)| *of == set).map(|(_, p)| (1.0, *p)).collect();
        dice.pick(&those).unwrap_or(Self::Resilience4j)
    }

    /// Whether it tries again when the key is in flight (409, or what stands for it).
    ///
    /// Stripe's retry every 409, the AWS SDKs `PriorRequestNotComplete`, gRPC what is
    /// `UNAVAILABLE`; jobs, Resilience4j and a backoff of one's own retry every failure. The
    /// others retry only server errors unless they are told otherwise.
    pub(super) fn retries_conflicts(self) -> bool {
        !matches!(
            self,
            Self::Axios
                | Self::AxiosExponential
                | Self::Got
                | Self::Urllib3
                | Self::Urllib3Jitter
                | Self::GoogleHttp
                | Self::Ktor
                | Self::Polly
        )
    }

    /// The least wait after a conflict: Stripe's heed `Retry-After`, which is a second here.
    pub(super) fn least_wait_ms(self) -> u64 {
        match self {
            Self::StripeNode | Self::StripePhp | Self::StripePython => 1000,
            _ => 0,
        }
    }

    /// How long the client waits for an answer; what the library has by default where it has one.
    pub(super) fn timeout_ms(self, dice: &mut Dice) -> u64 {
        match self {
            Self::AwsStandard | Self::AwsAdaptive | Self::Aws2026 => 60_000,
            Self::StripePython | Self::StripeNode | Self::StripePhp => 80_000,
            Self::Grpc | Self::GrpcFullJitter => dice.between(2000.0, 10_000.0) as u64,
            Self::Sidekiq | Self::Queue | Self::WorkManager => 60_000,
            _ => dice.pick(&[(1.0, 5000), (2.0, 10_000), (2.0, 30_000)]).unwrap_or(30_000),
        }
    }

    /// The waits before each retry, in milliseconds.
    pub(super) fn waits(self, dice: &mut Dice) -> Vec<u64> {
        let retries = match self {
            Self::AwsStandard | Self::AwsAdaptive | Self::Aws2026 => 2,
            Self::StripeNode | Self::StripePhp | Self::StripePython | Self::Got => 2,
            Self::Resilience4j => 2,
            Self::Axios | Self::AxiosExponential | Self::Ktor => 3,
            Self::Grpc | Self::GrpcFullJitter => 4,
            Self::Urllib3 | Self::Urllib3Jitter | Self::Polly | Self::Decorrelated => 5,
            Self::Queue | Self::WorkManager => 6,
            Self::GoogleHttp | Self::Sidekiq => 12,
        };
        let mut waits = Vec::with_capacity(retries);
        // What a policy carries from one wait to the next: a wait, or Polly's curve.
        let mut carried = 0.0;
        for n in 0..retries as i32 {
            waits.push(self.wait_ms(n, &mut carried, dice).max(0.0) as u64);
        }
        waits
    }

    /// The wait before retry `n`, counted from zero.
    fn wait_ms(self, n: i32, carried: &mut f64, dice: &mut Dice) -> f64 {
        let twice = |first: f64, cap: f64| (first * 2_f64.powi(n)).min(cap);
        let stripe =
            |cap: f64, dice: &mut Dice| (twice(500.0, cap) * 0.5 * (1.0 + dice.unit())).max(500.0);
        match self {
            Self::AwsStandard => dice.unit() * twice(1000.0, 20_000.0),
            Self::AwsAdaptive => dice.unit() * twice(1000.0, 20_000.0) + dice.exponential(500.0),
            Self::Aws2026 => dice.unit() * twice(50.0, 20_000.0),
            Self::StripePython | Self::StripeNode => stripe(5000.0, dice),
            Self::StripePhp => stripe(2000.0, dice),
            Self::Grpc => twice(100.0, 1000.0) * dice.between(0.8, 1.2),
            Self::GrpcFullJitter => dice.unit() * twice(100.0, 1000.0),
            Self::Urllib3 if n == 0 => 0.0,
            Self::Urllib3Jitter if n == 0 => 0.0,
            Self::Urllib3 => twice(300.0, 120_000.0),
            Self::Urllib3Jitter => (twice(1000.0, 120_000.0) + dice.unit() * 500.0).min(120_000.0),
            Self::Got => twice(1000.0, f64::MAX) + dice.between(-100.0, 100.0),
            Self::Axios => 0.0,
            Self::AxiosExponential => twice(200.0, f64::MAX) * dice.between(1.0, 1.2),
            Self::Polly => polly_ms(n, carried, dice),
            Self::Decorrelated => {
                let last = if n == 0 { 100.0 } else { *carried };
                *carried = dice.between(100.0, last * 3.0).min(20_000.0);
                *carried
            }
            Self::GoogleHttp => (500.0 * 1.5_f64.powi(n)).min(60_000.0) * dice.between(0.5, 1.5),
            Self::Ktor => twice(1000.0, 60_000.0) + dice.unit() * 1000.0,
            Self::Resilience4j => 500.0,
            Self::Sidekiq => {
                let n = f64::from(n);
                (n.powi(4) + 15.0 + dice.unit() * 10.0 * (n + 1.0)) * 1000.0
            }
            Self::Queue => 30_000.0 + dice.exponential(300.0),
            Self::WorkManager => twice(30_000.0, 18_000_000.0) + dice.exponential(5000.0),
        }
    }
}

/// The difference of two points of a curve, each drawn from a second of its own.
fn polly_ms(n: i32, carried: &mut f64, dice: &mut Dice) -> f64 {
    let t = f64::from(n) + dice.unit();
    let next = 2_f64.powf(t) * (4.0 * t).sqrt().tanh();
    let wait = (next - *carried) * 1000.0 / 1.4;
    *carried = next;
    wait
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bounds that each policy's document states, for the first three waits.
    #[test]
    fn waits_are_within_what_the_documents_say() {
        let said: [(Policy, [(u64, u64); 2]); 12] = [
            (Policy::AwsStandard, [(0, 1000), (0, 2000)]),
            (Policy::Aws2026, [(0, 50), (0, 100)]),
            (Policy::StripePython, [(500, 500), (500, 1000)]),
            (Policy::StripePhp, [(500, 500), (500, 1000)]),
            (Policy::Grpc, [(80, 120), (160, 240)]),
            (Policy::GrpcFullJitter, [(0, 100), (0, 200)]),
            (Policy::Urllib3, [(0, 0), (600, 600)]),
            (Policy::Got, [(900, 1100), (1900, 2100)]),
            (Policy::Axios, [(0, 0), (0, 0)]),
            (Policy::AxiosExponential, [(200, 240), (400, 480)]),
            (Policy::Decorrelated, [(100, 300), (100, 900)]),
            (Policy::GoogleHttp, [(250, 750), (375, 1125)]),
        ];
        let mut dice = Dice::new(1);
        for (policy, bounds) in said {
            for _ in 0..200 {
                let waits = policy.waits(&mut dice);
                for (wait, (low, high)) in waits.iter().zip(bounds) {
                    assert!((low..=high).contains(wait), "{policy:?}: {waits:?}");
                }
            }
        }
    }
}
