//! Measures several things turn by turn, so that what else the machine does hits all of them.
//!
//! Criterion is told of the first of them, and keeps its history; the medians of all are returned,
//! from the same samples.

use std::time::Duration;

use criterion::{BenchmarkGroup, SamplingMode, measurement::WallTime};

const SAMPLES: usize = 30;
const WARM_UP: Duration = Duration::from_millis(300);
/// Of the first one; the others add to it.
const MEASURED: Duration = Duration::from_millis(1_500);

/// Does something so many times and says how long that took.
pub(crate) type Subject<'a> = &'a dyn Fn(u64) -> Duration;

/// The medians in µs, of each subject; `None` where criterion was told to leave this one out.
pub(crate) fn measure<const N: usize>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    subjects: [Subject<'_>; N],
) -> Option<[f64; N]> {
    group.sample_size(SAMPLES).warm_up_time(WARM_UP).measurement_time(MEASURED);
    group.sampling_mode(SamplingMode::Flat);
    let mut samples: [Vec<f64>; N] = [const { Vec::new() }; N];
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let took = subjects.map(|subject| subject(count));
            for (samples, took) in samples.iter_mut().zip(took) {
                samples.push(took.as_secs_f64() * 1e6 / count as f64);
            }
            took[0]
        });
    });
    // The warm-up comes first.
    let samples = samples.map(|samples| samples.into_iter().rev().take(SAMPLES).collect());
    let medians = samples.map(median);
    medians.iter().all(|median| median.is_finite()).then_some(medians)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
