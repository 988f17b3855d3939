//! Charts as SVG: lines with bands, bars, heat maps.
//!
//! Written by hand rather than by `plotters`: that writes colours as attributes of every element and dashes as many short lines, so
//! one chart is 63 kB instead of 6 to 15, and cannot follow the reader's colour scheme. Here series have CSS classes
//! ([`STYLE`]): a colour of two schemes and a dash pattern each.

mod axis;
mod bars;
mod heat;
mod lines;
mod unit;

use core::fmt::Write as _;

pub(crate) use self::axis::Axis;
pub(crate) use self::bars::Bars;
pub(crate) use self::heat::Heat;
pub(crate) use self::lines::{Line, Lines, Shape};
pub(crate) use self::unit::{Unit, digits};

/// Style sheet of all charts.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Number of styles of series; more series repeat them.
pub(crate) const STYLES: usize = 8;

/// Name and description of a chart for those who cannot see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caption {
    /// Identifier, unique in the page.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What it shows, with the main numbers.
    pub(crate) description: String,
}

/// Makes an image of a chart that can stand alone: with its own style and size.
pub(crate) fn picture(svg: &str, (width, height): (f64, f64)) -> String {
    let style = STYLE.replace('\n', "");
    svg.replacen('>', &format!(" width=\"{width}\" height=\"{height}\"><style>{style}</style>"), 1)
}

/// Writes text between tags.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writer of one SVG element.
#[derive(Debug)]
struct Svg {
    text: String,
}

/// Where a text is anchored.
#[derive(Clone, Copy, Debug)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    fn new(width: f64, height: f64, caption: &Caption) -> Self {
        let Caption { id, title, description } = caption;
        let mut text = String::new();
        let (title, description) = (escape(title), escape(description));
        let _infallible = write!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>"
        );
        Self { text }
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let (x, y, text) = (short(x), short(y), escape(text));
        let _infallible = write!(self.text, "<text x=\"{x}\" y=\"{y}\"{anchor}{class}>{text}</text>");
    }

    fn path(&mut self, class: &str, data: &str) {
        let _infallible = write!(self.text, "<path class=\"{class}\" d=\"{data}\"/>");
    }

    fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), more: &str) {
        let (x, y, width, height) = (short(x), short(y), short(width.max(0.0)), short(height.max(0.0)));
        let _infallible = write!(
            self.text,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{more}/>"
        );
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}

/// Writes a coordinate with one decimal at most: a tenth of a pixel cannot be seen.
fn short(coordinate: f64) -> String {
    let tenths = (coordinate * 10.0).round() / 10.0;
    // Not "-0".
    format!("{}", tenths + 0.0)
}

/// Estimates the width of a text of the charts' size: fonts differ, this is a little more than that of most.
fn width_of(text: &str) -> f64 {
    text.chars()
        .map(|c| {
            if "ilj.,:;'|! tfrI()".contains(c) {
                5.0
            } else if "mwMW%@".contains(c) {
                11.5
            } else {
                7.4
            }
        })
        .sum()
}
