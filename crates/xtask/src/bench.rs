//! `cargo xtask bench`: all benchmarks, or the one that is named.

mod clock;
mod embedded;
mod footprint;
mod line;
mod line_activemq;
mod neighbours;
mod openwire;
mod running_host;

use anyhow::Result;

use crate::workspace;

/// A name to give, and what to do.
type Benchmark = (&'static str, fn() -> Result<()>);

/// The benchmarks of the whole, which are no criterion benchmarks: they take a broker.
const OF_THE_WHOLE: [Benchmark; 6] = [
    ("embedded", embedded::run),
    ("footprint", footprint::run),
    ("line", line::run),
    ("line-activemq", line_activemq::run),
    ("neighbours", neighbours::run),
    ("openwire", openwire::run),
];

pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let of_the_whole = OF_THE_WHOLE.iter().filter(|(own, _)| name.is_none_or(|name| name == *own));
    let of_the_whole: Vec<_> = of_the_whole.collect();
    if name.is_none() || of_the_whole.is_empty() {
        let name = name.unwrap_or("*");
        workspace::run(workspace::cargo().args(["bench", "--workspace", "--bench", name]))?;
    }
    for (_, run) in of_the_whole {
        run()?;
    }
    Ok(())
}

/// The median of ratios, and the least and the most of them.
fn summary(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{:.2} ({least:.2} to {most:.2})", values[values.len() / 2])
}
