//! The lines above the table.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::rows::Shown;
use super::state::State;
use crate::quote::{shown, start_of};

/// The lines of the header for a terminal of this width. Its facts are never cut apart, unless one is wider than a line.
pub(super) fn lines(state: &State, columns: u16) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    flow(alerts(state), columns, &mut lines);
    flow(sizes(state), columns, &mut lines);
    flow(figures(state), columns, &mut lines);
    flow(zones(state), columns, &mut lines);
    lines
}

/// What makes the rest of the view old, incomplete or worrying.
fn alerts(state: &State) -> Vec<Span<'static>> {
    let alarm = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let notice = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
    let mut items = Vec::new();
    if let Some((since, why)) = &state.lost {
        let since = since.strftime("%H:%M:%S");
        items.push(Span::styled(format!("CONNECTION LOST at {since}, reconnecting"), alarm));
        items.push(Span::styled(why.clone(), alarm));
    }
    if let Some(share) = &state.partition {
        items.push(Span::styled(format!("PARTITION: {share}"), alarm));
    }
    if let Some(paused) = &state.paused {
        items.push(Span::styled(format!("PAUSED at {}", paused.since.strftime("%H:%M:%S")), notice));
    }
    if !state.filter.is_empty() || state.status_filter.is_some() {
        let mut filter = format!("FILTER: {} of {} members", state.order.len(), state.rows.len());
        if let Some(status) = state.status_filter {
            filter.push_str(&format!(", {}", status.name()));
        }
        if !state.filter.is_empty() {
            filter.push_str(&format!(", with {:?}", shown(start_of(&state.filter, FILTER_BYTES_MAX))));
        }
        items.push(Span::styled(filter, notice));
    }
    items
}

/// The agent, and the members by status.
fn sizes(state: &State) -> Vec<Span<'static>> {
    let name = state.figure("agent", "name").map_or_else(|| "-".into(), |name| shown(name).into_owned());
    let item = |status: Shown| {
        let count = state.counts.status(status);
        let style = if count == 0 { Style::new() } else { status_style(status) };
        Span::styled(format!("{count} {}", status.name()), style)
    };
    let mut items = vec![
        Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(if state.rows.len() == 1 { "1 member:".into() } else { format!("{} members:", state.rows.len()) }),
        item(Shown::Alive),
    ];
    items.push(if state.offers.why { item(Shown::Suspected) } else { Span::raw("- suspected") });
    items.extend([item(Shown::Leaving), item(Shown::Left), item(Shown::Failed)]);
    items
}

fn figures(state: &State) -> Vec<Span<'static>> {
    let (events, queries) = match &state.rates {
        Some((events, queries)) => {
            (format!("{:.1}", events.per_second(state.now.at)), format!("{:.1}", queries.per_second(state.now.at)))
        }
        None => ("-".into(), "-".into()),
    };
    let (health, style) = match state.figure("serf", "health_score") {
        None => ("-".into(), Style::new()),
        Some("0") => ("0 (good)".into(), Style::new().fg(Color::Green)),
        Some(score) => (format!("{} (degraded)", shown(score)), Style::new().fg(Color::Yellow)),
    };
    let encrypted = match state.figure("serf", "encrypted") {
        Some("true") => "yes",
        Some("false") => "no",
        _ => "-",
    };
    vec![
        Span::raw(format!("events/s {events}")),
        Span::raw(format!("queries/s {queries}")),
        Span::styled(format!("health {health}"), style),
        Span::raw(format!("encrypted {encrypted}")),
        Span::raw(state.now.clock.strftime("%H:%M:%S").to_string()),
    ]
}

/// The live members of each zone, nothing when no member has the tag.
fn zones(state: &State) -> Vec<Span<'static>> {
    if !state.counts.has_zones() {
        return Vec::new();
    }
    let zones = &state.counts.zones;
    let without = zones.get("");
    let named = zones.iter().filter(|(name, _)| !name.is_empty());
    let more = named.clone().count().saturating_sub(ZONES_MAX);
    let item = |name: &str, (live, all): (usize, usize)| {
        let style = if live == all { Style::new() } else { Style::new().fg(Color::Yellow) };
        Span::styled(format!("{name} {live}/{all} live"), style)
    };
    let mut items = vec![Span::raw("zones:")];
    items.extend(named.take(ZONES_MAX).map(|(name, counts)| item(&shown(start_of(name, ZONE_BYTES_MAX)), *counts)));
    if more > 0 {
        items.push(Span::raw(format!("and {more} more")));
    }
    items.extend(without.map(|counts| item("(none)", *counts)));
    items
}

/// Appends lines of `columns` with the items, two blanks apart.
fn flow(items: Vec<Span<'static>>, columns: u16, lines: &mut Vec<Line<'static>>) {
    let mut line: Line<'static> = Line::default();
    for item in items {
        if !line.spans.is_empty() {
            if line.width() + 2 + item.width() > usize::from(columns) {
                lines.push(core::mem::take(&mut line));
            } else {
                line.push_span("  ");
            }
        }
        line.push_span(item);
    }
    if !line.spans.is_empty() {
        lines.push(line);
    }
}

/// The colour of a status. The word is always shown, too.
pub(super) const fn status_style(status: Shown) -> Style {
    let style = Style::new();
    match status {
        Shown::Failed => style.fg(Color::Red),
        Shown::Suspected => style.fg(Color::Yellow),
        Shown::Leaving => style.fg(Color::Cyan),
        Shown::Alive => style.fg(Color::Green),
        Shown::Left | Shown::Other => style.fg(Color::DarkGray),
    }
}

const ZONES_MAX: usize = 12;
const ZONE_BYTES_MAX: usize = 24;
const FILTER_BYTES_MAX: usize = 40;
