//! Draws the state. Only visible rows are formatted.

use core::ops::Range;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::events::{Happening, Severity};
use super::header::{self, status_style};
use super::rows::{Cells, Column};
use super::state::State;
use crate::quote::shown;

/// Draws the whole screen.
pub(super) fn view(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let header = header::lines(state, area.width);
    let parts = Parts::new(header.len(), area);
    draw_lines(&header, parts.header, buffer);
    let rows = state.visible(usize::from(parts.table.height.saturating_sub(1)));
    draw_table(state, rows, true, parts.table, buffer);
    match &state.why {
        Some(pane) => {
            let title = format!(" why {} ", shown(&pane.node));
            let inner = draw_title(&title, parts.pane, buffer);
            let text = pane.text.as_deref().unwrap_or("Asking the agent.");
            Paragraph::new(text).wrap(Wrap { trim: false }).scroll((pane.scrolled, 0)).render(inner, buffer);
        }
        None => {
            let inner = draw_title(" events ", parts.pane, buffer);
            draw_events(state, inner, buffer);
        }
    }
    draw_footer(state, parts.footer, buffer);
}

/// The header and all rows as text, without blanks at the ends of lines.
pub(super) fn whole(state: &State, columns: u16) -> String {
    let header = header::lines(state, columns);
    let rows = 0..state.order.len().min(WHOLE_ROWS_MAX);
    let height = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let area = Rect::new(0, 0, columns, height(header.len() + 2 + rows.len()));
    let mut buffer = Buffer::empty(area);
    let (above, below) = split(area, height(header.len()));
    draw_lines(&header, above, &mut buffer);
    // A blank line separates the table from the header.
    let more = state.order.len() - rows.len();
    draw_table(state, rows, false, split(below, 1).1, &mut buffer);
    let mut text = text_of(&buffer);
    if more > 0 {
        text.push_str(&format!("and {more} more members\n"));
    }
    text.trim_end().to_owned()
}

/// The number of rows that the table shows on a terminal of this size.
pub(super) fn table_rows(state: &State, columns: u16, rows: u16) -> usize {
    let header = header::lines(state, columns).len();
    usize::from(Parts::new(header, Rect::new(0, 0, columns, rows)).table.height.saturating_sub(1))
}

/// The text of a buffer.
pub(super) fn text_of(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let mut line = String::new();
        let mut x = area.left();
        while x < area.right() {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // The cell after a wide character is a part of it.
            x += u16::try_from(Span::raw(symbol).width().max(1)).unwrap_or(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The parts of the screen. A small one loses the pane first, then the footer.
struct Parts {
    header: Rect,
    table: Rect,
    pane: Rect,
    footer: Rect,
}

impl Parts {
    fn new(header: usize, area: Rect) -> Self {
        // The table keeps its heading and a row, and half of the screen.
        let header_max = area.height.saturating_sub(2).min(area.height.div_ceil(2));
        let header = u16::try_from(header).unwrap_or(u16::MAX).min(header_max);
        let left = area.height - header;
        let footer = u16::from(left > 2);
        let pane = if left >= PANE_SCREEN_ROWS_MIN { (left / 3).clamp(PANE_ROWS_MIN, PANE_ROWS_MAX) } else { 0 };
        let (header, below) = split(area, header);
        let (table, below) = split(below, left - footer - pane);
        let (pane, footer) = split(below, pane);
        Self { header, table, pane, footer }
    }
}

/// The first rows of an area, and the others.
fn split(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

fn draw_lines(lines: &[Line<'_>], area: Rect, buffer: &mut Buffer) {
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
}

/// Draws a rule with a title, and returns the area below.
fn draw_title(title: &str, area: Rect, buffer: &mut Buffer) -> Rect {
    let (top, below) = split(area, 1);
    if !top.is_empty() {
        let dim = Style::new().add_modifier(Modifier::DIM);
        buffer.set_stringn(top.x, top.y, "-".repeat(usize::from(top.width)), usize::from(top.width), dim);
        put(&format!("--{title}"), Style::new().add_modifier(Modifier::BOLD), top.x, top.y, top.width, buffer);
    }
    below
}

/// The positions and widths of the columns; a width of 0 hides a column.
struct Widths {
    name: u16,
    address: u16,
    status: u16,
    zone: u16,
    rtt: u16,
    tags: u16,
}

impl Widths {
    /// Gives the width to what identifies a member and to its state first. Narrow screens have fewer columns.
    fn new(cells: &[Cells], has_zones: bool, columns: u16) -> Self {
        let widest = |text: fn(&Cells) -> &str, max: u16| {
            let widest = cells.iter().map(|cells| Span::raw(text(cells)).width()).max().unwrap_or_default();
            u16::try_from(widest).unwrap_or(max).min(max)
        };
        let (status, rtt) = (STATUS_COLUMNS, if columns >= 36 { RTT_COLUMNS } else { MILLIS_COLUMNS });
        let address = if columns >= 64 { widest(|it| &it.address, columns / 3).max(7) } else { 0 };
        let zone = if columns >= 56 && has_zones { widest(|it| &it.zone, columns / 6).clamp(6, 16) } else { 0 };
        let taken: u16 = [address, status, zone, rtt].iter().filter(|it| **it > 0).map(|it| it + GAP).sum();
        let left = columns.saturating_sub(taken);
        let wish = widest(|it| &it.name, columns / 2).max(NAME_COLUMNS_MIN);
        let has_tags = cells.iter().any(|it| !it.tags.is_empty());
        // The tags have a third at least, where there is room for both.
        let tags = if has_tags && left >= NAME_COLUMNS_MIN + GAP + 8 {
            left.saturating_sub(wish + GAP).max((left / 3).max(8))
        } else {
            0
        };
        let name = left.saturating_sub(if tags > 0 { tags + GAP } else { 0 }).min(wish);
        Self { name, address, status, zone, rtt, tags }
    }

    const fn all(&self) -> [u16; 6] {
        [self.name, self.address, self.status, self.zone, self.rtt, self.tags]
    }
}

fn draw_table(state: &State, visible: Range<usize>, is_interactive: bool, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let first = visible.start;
    let cells: Vec<Cells> = state.order[visible].iter().map(|at| state.rows[*at].cells(&state.zone_tag)).collect();
    let widths = Widths::new(&cells, state.counts.has_zones(), area.width);
    let (head, body) = split(area, 1);
    draw_head(state, &widths, is_interactive, head, buffer);
    if cells.is_empty() && !body.is_empty() {
        let text = match (state.is_known, state.rows.is_empty()) {
            (false, _) => "No answer from the agent yet.",
            (true, true) => "The agent knows no member.",
            (true, false) => "No member passes the filter.",
        };
        put(text, Style::new(), body.x, body.y, body.width, buffer);
    }
    for (at, (y, cells)) in (body.top()..body.bottom()).zip(&cells).enumerate() {
        draw_row(cells, &widths, body.x, y, buffer);
        if is_interactive && first + at == state.selected {
            buffer.set_style(Rect::new(body.x, y, body.width, 1), Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

fn draw_head(state: &State, widths: &Widths, is_interactive: bool, area: Rect, buffer: &mut Buffer) {
    let mark = |column: Column| match column == state.sort && is_interactive {
        true if state.is_reversed => format!("{} v", column.name()),
        true => format!("{} ^", column.name()),
        false => column.name().to_owned(),
    };
    let mut titles = [Column::Name, Column::Address, Column::Status, Column::Zone, Column::Rtt].map(mark).to_vec();
    titles.push("tags".into());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut x = area.x;
    for (title, width) in titles.iter().zip(widths.all()).filter(|(_, width)| *width > 0) {
        put(title, bold, x, area.y, width.min(area.right().saturating_sub(x)), buffer);
        x = x.saturating_add(width + GAP);
    }
}

fn draw_row(cells: &Cells, widths: &Widths, x: u16, y: u16, buffer: &mut Buffer) {
    let plain = Style::new();
    let (rtt, style) = match &cells.rtt {
        Some((text, heat)) if widths.rtt < RTT_COLUMNS => (format!("{text:>9}"), heat_style(*heat)),
        Some((text, heat)) => (format!("{text:>9} {}", "#".repeat(*heat)), heat_style(*heat)),
        None => (format!("{:>9}", "-"), plain),
    };
    let zone = if cells.zone.is_empty() { "-" } else { &cells.zone };
    let texts = [
        (cells.name.as_str(), plain),
        (&cells.address, plain),
        (cells.status.name(), status_style(cells.status)),
        (zone, plain),
        (&rtt, style),
        (&cells.tags, plain),
    ];
    let end = buffer.area.right();
    let mut x = x;
    for ((text, style), width) in texts.into_iter().zip(widths.all()).filter(|(_, width)| *width > 0) {
        put(text, style, x, y, width.min(end.saturating_sub(x)), buffer);
        x = x.saturating_add(width + GAP);
    }
}

/// The colour of a round-trip time. The number and the length of the bar say the same.
fn heat_style(heat: usize) -> Style {
    let colour = match heat {
        ..=2 => Color::Green,
        3 => Color::Yellow,
        4 => Color::LightRed,
        _ => Color::Red,
    };
    Style::new().fg(colour)
}

/// The newest events, the latest in the first line.
fn draw_events(state: &State, area: Rect, buffer: &mut Buffer) {
    if state.events.is_empty() && !area.is_empty() {
        let text = if state.rates.is_some() { "None yet." } else { "The agent sends no events." };
        put(text, Style::new(), area.x, area.y, area.width, buffer);
    }
    for (y, Happening { time, kind, text, severity }) in (area.top()..area.bottom()).zip(state.events.iter().rev()) {
        let colour = match severity {
            Severity::Good => Style::new().fg(Color::Green),
            Severity::Neutral => Style::new(),
            Severity::Warning => Style::new().fg(Color::Yellow),
            Severity::Bad => Style::new().fg(Color::Red),
        };
        put(&format!("{time}  {kind:<13}  {text}"), colour, area.x, y, area.width, buffer);
    }
}

fn draw_footer(state: &State, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let keys = if state.filter_before.is_some() {
        format!("/{}_  enter: keep  esc: undo", shown(&state.filter))
    } else if state.why.is_some() {
        "esc: close  up/down: scroll  q: quit".into()
    } else {
        let pause = if state.paused.is_some() { "resume" } else { "pause" };
        format!("q quit  s sort  r reverse  / filter  f status  enter why  p {pause}  esc no filter")
    };
    put(&keys, Style::new().add_modifier(Modifier::DIM), area.x, area.y, area.width, buffer);
}

/// Writes escaped text into `width` columns. Text that does not fit ends with an ellipsis.
fn put(text: &str, style: Style, x: u16, y: u16, width: u16, buffer: &mut Buffer) {
    if Span::raw(text).width() <= usize::from(width) {
        buffer.set_stringn(x, y, text, usize::from(width), style);
    } else if width > 0 {
        let (end, _) = buffer.set_stringn(x, y, text, usize::from(width - 1), style);
        buffer.set_stringn(end, y, "\u{2026}", 1, style);
    }
}

const GAP: u16 = 2;
const NAME_COLUMNS_MIN: u16 = 8;
const STATUS_COLUMNS: u16 = 9;
/// The number of a round-trip time, and with it the bar of heat.
const MILLIS_COLUMNS: u16 = 9;
const RTT_COLUMNS: u16 = MILLIS_COLUMNS + 1 + 5;

/// Rows below the header from which on there is a pane, and the rows of the pane with its title.
const PANE_SCREEN_ROWS_MIN: u16 = 10;
const PANE_ROWS_MIN: u16 = 4;
const PANE_ROWS_MAX: u16 = 12;

/// Rows that `-once` prints.
const WHOLE_ROWS_MAX: usize = 10_000;
