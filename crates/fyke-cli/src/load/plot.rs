//! `--histogram`: latency by percentile on the scale of HdrHistogram's plots, on which each step to
//! the right is ten times rarer.

use std::fmt::Write;

use hdrhistogram::Histogram;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 480.0;
/// Space for labels: left, top, right, bottom.
const LEFT: f64 = 80.0;
const TOP: f64 = 50.0;
const RIGHT: f64 = 30.0;
const BOTTOM: f64 = 60.0;

/// Draws latencies in nanoseconds as SVG.
#[expect(clippy::cast_precision_loss, reason = "pixels")]
pub(super) fn svg(latencies: &Histogram<u64>, title: &str) -> String {
    // The number of nines for which there are enough values.
    let decades = (latencies.len().max(10) as f64).log10().clamp(1.0, 7.0);
    let most = latencies.max().max(1) as f64 / 1e6;
    let step = nice_step(most / 5.0);
    let top = (most / step).ceil() * step;
    let x = |quantile: f64| {
        let rarity = -(1.0 - quantile).max(10_f64.powf(-decades)).log10();
        LEFT + rarity / decades * (WIDTH - LEFT - RIGHT)
    };
    let y = |milliseconds: f64| HEIGHT - BOTTOM - milliseconds / top * (HEIGHT - TOP - BOTTOM);
    let mut svg = head(title);
    let mut line = 0.0;
    while line <= top * 1.0001 {
        let at = y(line);
        let label = trimmed(line);
        horizontal(&mut svg, at);
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", &label);
        line += step;
    }
    for (quantile, label) in [
        (0.0, "0%"),
        (0.5, "50%"),
        (0.9, "90%"),
        (0.99, "99%"),
        (0.999, "99.9%"),
        (0.9999, "99.99%"),
        (0.99999, "99.999%"),
        (0.999_999, "99.9999%"),
    ] {
        if -(1.0_f64 - quantile).log10() > decades + 0.001 {
            break;
        }
        let at = x(quantile);
        let (from, to) = (TOP, HEIGHT - BOTTOM);
        let _ = writeln!(svg, r##"<path d="M{at:.1} {from}V{to}" stroke="#ddd"/>"##);
        text(&mut svg, at, HEIGHT - BOTTOM + 20.0, "middle", label);
    }
    let mut path = format!("M{:.1} {:.1}", x(0.0), y(latencies.min() as f64 / 1e6));
    for value in latencies.iter_quantiles(10) {
        let at = value.value_iterated_to().min(latencies.max()) as f64 / 1e6;
        let _ = write!(path, "L{:.1} {:.1}", x(value.quantile_iterated_to()), y(at));
    }
    let _ = writeln!(svg, r##"<path d="{path}" fill="none" stroke="#06c" stroke-width="2"/>"##);
    text(&mut svg, WIDTH / 2.0, HEIGHT - 15.0, "middle", "percentile of the requests");
    text(&mut svg, 12.0, TOP - 14.0, "start", "latency, ms");
    svg + "</svg>\n"
}

fn head(title: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let middle = WIDTH / 2.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{middle}\" y=\"24\" text-anchor=\"middle\" font-size=\"15\">{title}</text>\n"
    )
}

fn horizontal(svg: &mut String, y: f64) {
    let end = WIDTH - RIGHT;
    let _ = writeln!(svg, r##"<path d="M{LEFT} {y:.1}H{end}" stroke="#ddd"/>"##);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

/// Rounds up to 1, 2 or 5 times a power of ten.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(least)
}

/// Formats a number without trailing zeros.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_title_and_the_percentiles_that_the_count_supports() {
        let mut latencies = Histogram::new(3).unwrap();
        assert!(svg(&latencies, "nothing").ends_with("</svg>\n"));
        for value in 1..=1000_u64 {
            latencies.record(value * 1000).unwrap();
        }
        let picture = svg(&latencies, "a < b & c");
        assert!(picture.contains("a &lt; b &amp; c"));
        assert!(picture.contains(">99.9%<") && !picture.contains(">99.99%<"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }

    #[test]
    fn steps_of_the_axis_are_round_numbers() {
        for (least, step) in [(1.0, 1.0), (1.1, 2.0), (0.03, 0.05), (60.0, 100.0)] {
            assert!((nice_step(least) - step).abs() < 1e-9, "{least}");
        }
        assert_eq!(
            (trimmed(0.5), trimmed(10.0), trimmed(0.0)),
            ("0.5".into(), "10".into(), "0".into())
        );
    }
}
