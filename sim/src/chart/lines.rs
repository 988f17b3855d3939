//! Line charts: curves, bands around them, and vertical marks.

use core::fmt::Write as _;

use super::{Anchor, Axis, Caption, STYLES, Svg, short, width_of};

/// A chart of lines over one horizontal axis.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) caption: Caption,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// Vertical marks: place and name, such as the starts of phases.
    pub(crate) marks: Vec<(f64, String)>,
    /// Width and height, in pixels of the viewBox.
    pub(crate) size: (f64, f64),
}

/// One line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) label: String,
    /// Number of its style.
    pub(crate) style: usize,
    pub(crate) points: Vec<(f64, f64)>,
    /// Lower and upper end at places on the horizontal axis.
    pub(crate) band: Vec<(f64, f64, f64)>,
    pub(crate) shape: Shape,
}

/// How points are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Straight.
    #[default]
    Straight,
    /// A value holds until the next point.
    Steps,
    /// Straight, with a dot at each point.
    Dots,
}

impl Lines {
    /// The size of a chart that stands beside another.
    pub(crate) const NORMAL: (f64, f64) = (440.0, 290.0);
    /// The size of one of many.
    pub(crate) const SMALL: (f64, f64) = (300.0, 200.0);
    /// The size of a chart that stands alone.
    pub(crate) const WIDE: (f64, f64) = (760.0, 340.0);

    /// Draws the chart.
    pub(crate) fn svg(&self) -> String {
        let (width, height) = self.size;
        let mut svg = Svg::new(width, height, &self.caption);
        let top = self.draw_legend(&mut svg);
        let ticks = self.y.ticks();
        let widest = ticks.iter().map(|(_, text)| width_of(text)).fold(0.0, f64::max);
        let frame = Frame { left: widest + 12.0, right: width - 14.0, top: top + 26.0, bottom: height - 42.0 };
        self.draw_axes(&mut svg, &frame, &ticks);
        for (at, name) in &self.marks {
            let x = frame.x(&self.x, *at);
            svg.path("mark", &format!("M{} {}V{}", short(x), short(frame.top), short(frame.bottom)));
            // The text of a mark at the right end would leave the chart.
            let (x, anchor) =
                if x + width_of(name) > width { (x - 3.0, Anchor::End) } else { (x + 3.0, Anchor::Start) };
            svg.text((x, frame.top + 11.0), anchor, "faint", name);
        }
        for line in &self.lines {
            self.draw_band(&mut svg, &frame, line);
        }
        for line in &self.lines {
            self.draw_line(&mut svg, &frame, line);
        }
        svg.finish()
    }

    /// Draws a sample and a name of each line, in as many rows as they need. Returns where they end.
    fn draw_legend(&self, svg: &mut Svg) -> f64 {
        let named: Vec<&Line> = self.lines.iter().filter(|line| !line.label.is_empty()).collect();
        if named.is_empty() {
            return 4.0;
        }
        let (mut x, mut y) = (LEFT, 16.0);
        for line in named {
            let width = SAMPLE + 6.0 + width_of(&line.label) + 12.0;
            if x > LEFT && x + width > self.size.0 {
                (x, y) = (LEFT, y + 18.0);
            }
            let style = line.style % STYLES;
            svg.path(&format!("line s{style}"), &format!("M{} {}h{}", short(x), short(y - 4.5), short(SAMPLE)));
            svg.text((x + SAMPLE + 6.0, y), Anchor::Start, "", &line.label);
            x += width;
        }
        y + 6.0
    }

    fn draw_axes(&self, svg: &mut Svg, frame: &Frame, ticks: &[(f64, String)]) {
        let mut grid = String::new();
        for (value, text) in ticks {
            let y = frame.y(&self.y, *value);
            let _infallible = write!(grid, "M{} {}H{}", short(frame.left), short(y), short(frame.right));
            svg.text((frame.left - 6.0, y + 4.5), Anchor::End, "faint", text);
        }
        let mut taken = f64::MIN;
        for (value, text) in self.x.ticks() {
            let x = frame.x(&self.x, value);
            let _infallible = write!(grid, "M{} {}V{}", short(x), short(frame.top), short(frame.bottom));
            let half = width_of(&text) / 2.0;
            // A text that would touch its neighbour is left out.
            if !text.is_empty() && x - half > taken {
                let center = x.min(self.size.0 - half - 1.0);
                svg.text((center, frame.bottom + 17.0), Anchor::Middle, "faint", &text);
                taken = x + half + 6.0;
            }
        }
        svg.path("grid", &grid);
        svg.path("axis", &format!("M{} {}H{}", short(frame.left), short(frame.bottom), short(frame.right)));
        svg.text((frame.right, frame.bottom + 35.0), Anchor::End, "faint", &self.x.label);
        svg.text((LEFT, frame.top - 12.0), Anchor::Start, "faint", &self.y.label);
    }

    fn draw_band(&self, svg: &mut Svg, frame: &Frame, line: &Line) {
        if line.band.is_empty() {
            return;
        }
        let place = |x: f64, y: f64| (frame.x(&self.x, x), frame.y(&self.y, y));
        let mut upper: Vec<(f64, f64)> = line.band.iter().map(|(x, _, upper)| place(*x, *upper)).collect();
        let mut lower: Vec<(f64, f64)> = line.band.iter().map(|(x, lower, _)| place(*x, *lower)).collect();
        if line.shape == Shape::Steps {
            (upper, lower) = (corners(&upper), corners(&lower));
        }
        upper.extend(lower.into_iter().rev());
        let data = outline(&upper, Shape::Straight) + "Z";
        svg.path(&format!("band f{}", line.style % STYLES), &data);
    }

    fn draw_line(&self, svg: &mut Svg, frame: &Frame, line: &Line) {
        let style = line.style % STYLES;
        let places: Vec<(f64, f64)> =
            line.points.iter().map(|(x, y)| (frame.x(&self.x, *x), frame.y(&self.y, *y))).collect();
        if places.len() > 1 {
            svg.path(&format!("line s{style}"), &outline(&places, line.shape));
        }
        if line.shape == Shape::Dots || places.len() == 1 {
            let dots: String =
                places.iter().map(|(x, y)| format!("M{} {}h6v6h-6z", short(x - 3.0), short(y - 3.0))).collect();
            svg.path(&format!("f{style}"), &dots);
        }
    }
}

/// The area inside the axes.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }
}

/// Returns the corners of a step function: each value holds until the next point.
fn corners(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let holds = points.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    holds.chain(points.last().copied()).collect()
}

/// Writes the path through points. Points that round to the same place are written once.
fn outline(points: &[(f64, f64)], shape: Shape) -> String {
    let mut data = String::new();
    let mut last: Option<(String, String)> = None;
    for (x, y) in points.iter().map(|(x, y)| (short(*x), short(*y))) {
        match &last {
            None => _ = write!(data, "M{x} {y}"),
            Some((last_x, last_y)) if *last_x == x && *last_y == y => continue,
            Some((last_x, last_y)) if shape == Shape::Steps => {
                if *last_x != x {
                    let _infallible = write!(data, "H{x}");
                }
                if *last_y != y {
                    let _infallible = write!(data, "V{y}");
                }
            }
            Some(_) => _ = write!(data, "L{x} {y}"),
        }
        last = Some((x, y));
    }
    data
}

/// Left margin of texts.
const LEFT: f64 = 6.0;

/// Length of the sample of a line in the legend: two periods of the longest dash pattern.
const SAMPLE: f64 = 36.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Unit;

    fn chart() -> Lines {
        Lines {
            caption: Caption { id: "c1".into(), title: "a < b".into(), description: "x & y".into() },
            x: Axis::linear("seconds", Unit::Seconds, 10.0),
            y: Axis::shares("share"),
            lines: vec![Line {
                label: "crash".into(),
                style: 9,
                points: vec![(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)],
                band: vec![(0.0, 0.0, 0.1), (10.0, 0.9, 1.0)],
                shape: Shape::Steps,
            }],
            marks: vec![(9.9, "event".into())],
            size: Lines::NORMAL,
        }
    }

    #[test]
    fn a_chart_has_a_name_a_description_and_escaped_texts() {
        let svg = chart().svg();
        assert!(svg.contains("<title id=\"c1-t\">a &lt; b</title><desc id=\"c1-d\">x &amp; y</desc>"), "{svg}");
        assert!(svg.contains("aria-labelledby=\"c1-t c1-d\""), "{svg}");
        assert!(svg.contains("line s1"), "style nine of eight is the second: {svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
        assert!(svg.ends_with("</svg>"));
    }

    #[test]
    fn steps_go_along_before_they_go_up() {
        let data = outline(&[(0.0, 10.0), (5.0, 10.0), (5.0, 4.0), (7.0, 2.0), (7.01, 2.01)], Shape::Steps);
        assert_eq!(data, "M0 10H5V4H7V2");
        assert_eq!(outline(&[(0.0, 1.0), (2.0, 3.0)], Shape::Straight), "M0 1L2 3");
    }

    #[test]
    fn values_that_cannot_be_drawn_do_not_leave_the_frame() {
        let mut chart = chart();
        chart.lines[0].points = vec![(-5.0, -1.0), (50.0, 7.0)];
        let svg = chart.svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("-5"), "{svg}");
    }
}
