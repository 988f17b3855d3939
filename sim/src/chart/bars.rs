//! Horizontal bars, one per row.

use super::{Anchor, Caption, Svg, Unit, width_of};

/// A bar chart of one number per row.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) caption: Caption,
    pub(crate) unit: Unit,
    pub(crate) rows: Vec<(String, f64)>,
}

impl Bars {
    /// Draws the chart: names on the left, the value at the end of each bar.
    pub(crate) fn svg(&self) -> String {
        let height = 12.0 + ROW * f64::from(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        let mut svg = Svg::new(WIDTH, height, &self.caption);
        let names = self.rows.iter().map(|(name, _)| width_of(name)).fold(0.0, f64::max) + 12.0;
        let texts: Vec<String> = self.rows.iter().map(|(_, value)| self.unit.show(*value)).collect();
        let values = texts.iter().map(|text| width_of(text)).fold(0.0, f64::max) + 12.0;
        let most = self.rows.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let mut y = 4.0;
        for ((name, value), text) in self.rows.iter().zip(&texts) {
            let length = if most > 0.0 { value / most * (WIDTH - names - values) } else { 0.0 };
            svg.text((names - 6.0, y + 15.0), Anchor::End, "", name);
            svg.rect("f0", (names, y + 3.0), (length.max(1.0), ROW - 6.0), "");
            svg.text((names + length + 6.0, y + 15.0), Anchor::Start, "faint", text);
            y += ROW;
        }
        svg.finish()
    }
}

const WIDTH: f64 = 440.0;
const ROW: f64 = 22.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_belongs_to_the_largest_value() {
        let rows = vec![("ping".to_owned(), 50.0), ("alive".to_owned(), 100.0), ("none".to_owned(), 0.0)];
        let svg = Bars { caption: Caption::default(), unit: Unit::Count, rows }.svg();
        let widths: Vec<f64> = svg
            .split("class=\"f0\"")
            .skip(1)
            .filter_map(|bar| bar.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert!((widths[0] * 2.0 - widths[1]).abs() < 0.3 && widths[2] == 1.0, "{widths:?}");
    }
}
