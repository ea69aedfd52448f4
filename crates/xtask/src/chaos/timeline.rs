//! A run as a picture: what was confirmed and handled in each second, the memory of the hosts, and
//! every fault, over time.

use gristmill_testkit::chaos::{Outcome, Second};

const WIDTH: f64 = 1200.0;
/// Left of it stand the names of the faults and the scales.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 60.0;
const PLOT_TOP: f64 = 30.0;
const PLOT_HEIGHT: f64 = 260.0;
const LANE_HEIGHT: f64 = 16.0;
/// Between two times on the axis, in seconds: the first with which they do not stand too close.
const TICKS: [usize; 5] = [10, 30, 60, 300, 1800];
const TICKS_MAX: usize = 40;

const CONFIRMED: &str = "#1f77b4";
const HANDLED: &str = "#2ca02c";
const MEMORY: [&str; 2] = ["#d62728", "#ff9896"];
const FAULT: &str = "#444";

/// The kinds of faults that happened, by their names.
pub(super) fn kinds(outcome: &Outcome) -> Vec<&'static str> {
    let mut kinds: Vec<_> = outcome.faults.iter().map(|happened| happened.fault.kind()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

pub(super) fn draw(outcome: &Outcome) -> String {
    let seconds = &outcome.seconds;
    let x = |second: f64| LEFT + (WIDTH - LEFT - RIGHT) * second / seconds.len().max(1) as f64;
    let rate_max = seconds.iter().map(|second| second.confirmed.max(second.handled)).max();
    let rate_max = f64::from(rate_max.unwrap_or(0).max(1));
    let memory_max = seconds.iter().flat_map(|second| &second.memory_kib).max();
    let memory_max = memory_max.copied().unwrap_or(0).max(1) as f64;
    let y = |part: f64| PLOT_TOP + PLOT_HEIGHT * (1.0 - part);

    let mut lines = String::new();
    let mut line = |color: &str, part: &dyn Fn(&Second) -> Option<f64>| {
        let points = seconds.iter().enumerate().filter_map(|(at, second)| {
            Some(format!("{:.1},{:.1}", x(at as f64), y(part(second)?)))
        });
        let points = points.collect::<Vec<_>>().join(" ");
        lines += &format!("<polyline fill=\"none\" stroke=\"{color}\" points=\"{points}\"/>\n");
    };
    line(CONFIRMED, &|second| Some(f64::from(second.confirmed) / rate_max));
    line(HANDLED, &|second| Some(f64::from(second.handled) / rate_max));
    for (host, color) in MEMORY.into_iter().enumerate() {
        // On a busy machine a second can pass in which nobody looked.
        line(color, &|second| Some(*second.memory_kib.get(host)? as f64 / memory_max));
    }

    let kinds = kinds(outcome);
    let lane = |kind: usize| PLOT_TOP + PLOT_HEIGHT + 30.0 + LANE_HEIGHT * kind as f64;
    let height = lane(kinds.len()) + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, color: &str, text: &str| {
        svg += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{text}</text>\n"
        );
    };
    text(LEFT, 18.0, "start", CONFIRMED, "confirmed a second");
    text(LEFT + 130.0, 18.0, "start", HANDLED, "handled a second");
    text(WIDTH - RIGHT, 18.0, "end", MEMORY[0], "resident memory of each host");
    text(LEFT - 6.0, y(1.0) + 4.0, "end", CONFIRMED, &format!("{rate_max}"));
    text(LEFT - 6.0, y(0.0), "end", CONFIRMED, "0");
    let memory = format!("{:.0} MiB", memory_max / 1024.0);
    text(WIDTH - RIGHT + 4.0, y(1.0) + 4.0, "start", MEMORY[0], &memory);
    let tick = TICKS.into_iter().find(|tick| seconds.len() / tick <= TICKS_MAX).unwrap_or(3600);
    for at in (0..=seconds.len()).step_by(tick) {
        let time = format!("{}:{:02}", at / 60, at % 60);
        text(x(at as f64), PLOT_TOP + PLOT_HEIGHT + 14.0, "middle", FAULT, &time);
    }
    for (index, kind) in kinds.iter().enumerate() {
        text(LEFT - 6.0, lane(index) + 10.0, "end", FAULT, kind);
    }
    for happened in &outcome.faults {
        let index = kinds.iter().position(|kind| *kind == happened.fault.kind()).unwrap_or(0);
        let (from, to) = (x(happened.from.as_secs_f64()), x(happened.to.as_secs_f64()));
        svg += &format!(
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" fill=\"{FAULT}\"/>\n",
            lane(index),
            (to - from).max(1.0)
        );
    }
    svg + &lines + "</svg>\n"
}
