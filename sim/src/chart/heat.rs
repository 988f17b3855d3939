//! Heat maps: one number for each pair of two parameters.

use super::{Anchor, Caption, Svg, Unit, short, width_of};

/// A heat map. Each field also shows its number, so that it can be read without colours.
#[derive(Clone, Debug)]
pub(crate) struct Heat {
    pub(crate) caption: Caption,
    pub(crate) unit: Unit,
    /// Name and values of the horizontal parameter.
    pub(crate) columns: (String, Vec<String>),
    /// Name and values of the vertical parameter.
    pub(crate) rows: (String, Vec<String>),
    /// Values by row and column; `None` where nothing was measured.
    pub(crate) values: Vec<Vec<Option<f64>>>,
}

impl Heat {
    /// Returns the width and the height of the chart.
    pub(crate) fn size(&self) -> (f64, f64) {
        (WIDTH, TOP + ROW * count(&self.rows.1) + 26.0)
    }

    /// Draws the map: the larger a value, the stronger its field.
    pub(crate) fn svg(&self) -> String {
        let (columns, rows) = (&self.columns.1, &self.rows.1);
        let (_, height) = self.size();
        let mut svg = Svg::new(WIDTH, height, &self.caption);
        let left = rows.iter().map(|text| width_of(text)).fold(0.0, f64::max) + 14.0;
        let width = (WIDTH - left - 6.0) / count(columns);
        let known = || self.values.iter().flatten().filter_map(|value| *value);
        let (least, most) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
        svg.text((6.0, 15.0), Anchor::Start, "", &self.rows.0);
        svg.text((WIDTH - 6.0, height - 6.0), Anchor::End, "", &self.columns.0);
        let mut x = left;
        for text in columns {
            svg.text((x + width / 2.0, TOP - 7.0), Anchor::Middle, "faint", text);
            x += width;
        }
        let mut y = TOP;
        for (row, values) in rows.iter().zip(&self.values) {
            svg.text((left - 6.0, y + ROW / 2.0 + 4.5), Anchor::End, "faint", row);
            let mut x = left;
            for value in values {
                self.field(&mut svg, (x, y), width, *value, (least, most));
                x += width;
            }
            y += ROW;
        }
        svg.finish()
    }

    fn field(&self, svg: &mut Svg, (x, y): (f64, f64), width: f64, value: Option<f64>, (least, most): (f64, f64)) {
        let middle = (x + width / 2.0, y + ROW / 2.0 + 4.5);
        let Some(value) = value else {
            svg.rect("grid", (x + 1.0, y + 1.0), (width - 2.0, ROW - 2.0), "");
            svg.text(middle, Anchor::Middle, "faint", "–");
            return;
        };
        let share = if most > least { (value - least) / (most - least) } else { 0.0 };
        // At most so strong that the number on it keeps its contrast in both schemes.
        let strength = format!(" fill-opacity=\"{}\"", short_share(0.04 + 0.46 * share));
        svg.rect("f0", (x + 1.0, y + 1.0), (width - 2.0, ROW - 2.0), &strength);
        let text = self.unit.show(value);
        let text = if width_of(&text) > width - 4.0 { self.unit.tick(value) } else { text };
        svg.text(middle, Anchor::Middle, "", &text);
    }
}

fn count(list: &[String]) -> f64 {
    f64::from(u32::try_from(list.len().max(1)).unwrap_or(u32::MAX))
}

fn short_share(share: f64) -> String {
    short(share * 100.0).parse::<f64>().map_or_else(|_| String::new(), |percent| format!("{:.3}", percent / 100.0))
}

const WIDTH: f64 = 440.0;
const ROW: f64 = 30.0;
const TOP: f64 = 44.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_field_is_the_largest_value_and_unknown_ones_are_marked() {
        let heat = Heat {
            caption: Caption::default(),
            unit: Unit::Seconds,
            columns: ("loss".into(), vec!["0".into(), "0.1".into()]),
            rows: ("nodes".into(), vec!["100".into(), "200".into()]),
            values: vec![vec![Some(1.0), Some(2.0)], vec![Some(3.0), None]],
        };
        let svg = heat.svg();
        let strengths: Vec<f64> =
            svg.split("fill-opacity=\"").skip(1).filter_map(|field| field.split('"').next()?.parse().ok()).collect();
        assert_eq!(strengths, [0.04, 0.27, 0.5]);
        for text in ["1 s", "3 s", ">–<", "loss", "nodes"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }
}
