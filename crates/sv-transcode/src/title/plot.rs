//! A picture of the decision: rate against quality, one line for each size, the hull and the rungs.

use std::fmt::Write as _;

use super::{Decision, Place, Point};

const SIZE: (f64, f64) = (860.0, 520.0);
const LEFT: f64 = 60.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Colours that people who see fewer colours can tell apart (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f"];

/// From rate and quality to the paper.
struct Paper {
    rates: (f64, f64),
    floor: f64,
}

impl Paper {
    fn x(&self, bitrate: f64) -> f64 {
        let (low, high) = (self.rates.0.ln(), self.rates.1.ln());
        LEFT + (bitrate.ln() - low) / (high - low).max(1e-9) * (SIZE.0 - LEFT - RIGHT)
    }

    fn y(&self, vmaf: f64) -> f64 {
        let share = (vmaf - self.floor) / (100.0 - self.floor).max(1e-9);
        SIZE.1 - BOTTOM - share * (SIZE.1 - TOP - BOTTOM)
    }

    fn line(&self, places: impl Iterator<Item = (f64, f64)>) -> String {
        places.map(|(b, v)| format!("{:.1},{:.1} ", self.x(b), self.y(v))).collect()
    }
}

impl Decision {
    /// The decision as an SVG of its own, for people.
    #[must_use]
    pub fn svg(&self) -> String {
        let rates = self.points.iter().map(|p| p.bitrate);
        let low = rates.clone().fold(f64::INFINITY, f64::min).max(1000.0);
        let high = rates.fold(1.0, f64::max).max(low * 2.0);
        let worst = self.points.iter().map(|p| p.quality.vmaf).fold(100.0, f64::min);
        let paper = Paper { rates: (low * 0.9, high * 1.1), floor: (worst / 10.0).floor() * 10.0 };
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" \
             font-size=\"12\" role=\"img\">\n<title>The ladder of {} and what it was chosen by</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            SIZE.0, SIZE.1, self.codec
        );
        self.axes(&paper, &mut out);
        self.curves(&paper, &mut out);
        self.rungs(&paper, &mut out);
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, paper: &Paper, out: &mut String) {
        let (x0, x1) = (LEFT, SIZE.0 - RIGHT);
        let mut rate = 1000.0;
        while rate < paper.rates.1 {
            for step in [1.0, 2.0, 5.0] {
                let at = rate * step;
                if at > paper.rates.0 && at < paper.rates.1 {
                    let x = paper.x(at);
                    let label = if at >= 1e6 {
                        format!("{:.0} Mbit/s", at / 1e6)
                    } else {
                        format!("{:.0} kbit/s", at / 1e3)
                    };
                    let (top, bottom) = (TOP, SIZE.1 - BOTTOM);
                    let _ = writeln!(
                        out,
                        "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#ddd\"/>\
                         <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#444\">{label}</text>",
                        bottom + 18.0
                    );
                }
            }
            rate *= 10.0;
        }
        let mut vmaf = paper.floor;
        while vmaf <= 100.0 {
            let y = paper.y(vmaf);
            let _ = writeln!(
                out,
                "<path d=\"M{x0} {y:.1}H{x1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{vmaf:.0}</text>",
                x0 - 8.0,
                y + 4.0
            );
            vmaf += 10.0;
        }
        let y = paper.y(self.budget.target);
        let _ = writeln!(
            out,
            "<path d=\"M{x0} {y:.1}H{x1}\" stroke=\"#555\" stroke-dasharray=\"6 4\"/>\
             <text x=\"{x0}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{}: VMAF (up) for bits \
             per second (right); dashed: the target</text>",
            self.codec
        );
    }

    fn curves(&self, paper: &Paper, out: &mut String) {
        let mut sizes: Vec<(u32, u32)> = self.points.iter().map(|p| (p.width, p.height)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        for (index, size) in sizes.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let mut of: Vec<&Point> = self.points.iter().filter(|p| (p.width, p.height) == *size).collect();
            of.sort_by(|a, b| a.bitrate.total_cmp(&b.bitrate));
            let line = paper.line(of.iter().map(|p| (p.bitrate, p.quality.vmaf)));
            let _ = writeln!(
                out,
                "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
            for p in of {
                let (x, y) = (paper.x(p.bitrate), paper.y(p.quality.vmaf));
                let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
            let (x, y) = (SIZE.0 - RIGHT + 16.0, TOP + 14.0 + 18.0 * index as f64);
            let _ = writeln!(
                out,
                "<path d=\"M{x} {:.0}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                 <text x=\"{:.0}\" y=\"{y:.0}\">{}x{}</text>",
                y - 4.0,
                x + 24.0,
                size.0,
                size.1
            );
        }
        let hull = paper.line(self.hull.iter().map(|p| (p.bitrate, p.vmaf)));
        let _ = writeln!(
            out,
            "<polyline points=\"{hull}\" fill=\"none\" stroke=\"#000\" stroke-dasharray=\"2 3\" stroke-width=\"1.5\"/>"
        );
    }

    fn rungs(&self, paper: &Paper, out: &mut String) {
        for pruned in &self.pruned {
            let (x, y) = (paper.x(pruned.place.bitrate), paper.y(pruned.place.vmaf));
            let _ = writeln!(
                out,
                "<path d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\" stroke=\"#b00\" stroke-width=\"2\"><title>left out: \
                 {}</title></path>",
                x - 5.0,
                y - 5.0,
                pruned.reason
            );
        }
        let start = SIZE.1 - BOTTOM - 34.0 * self.places.len() as f64;
        // Rungs that are larger than what was measured stand first, and are not on the plot.
        let measured = self.ladder.rungs.len().saturating_sub(self.places.len());
        let rungs = self.ladder.rungs.iter().skip(measured);
        for (index, (place, rung)) in self.places.iter().zip(rungs).enumerate() {
            let Place { bitrate, vmaf, .. } = *place;
            let (x, y) = (paper.x(bitrate), paper.y(vmaf));
            let text = start + 34.0 * index as f64;
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\" fill=\"none\" stroke=\"#000\" stroke-width=\"2.5\"/>\
                 <text x=\"{:.0}\" y=\"{text:.0}\" font-weight=\"bold\">{}</text>\
                 <text x=\"{:.0}\" y=\"{:.0}\" fill=\"#444\">{:.0} kbit/s, VMAF {vmaf:.1}</text>",
                SIZE.0 - RIGHT + 16.0,
                rung.name,
                SIZE.0 - RIGHT + 16.0,
                text + 15.0,
                bitrate / 1000.0
            );
        }
    }
}
