//! Writer of HTML.

use core::fmt::Write as _;

use crate::chart::{Caption, STYLE, escape};

/// Writes one page.
#[derive(Debug, Default)]
pub(super) struct Html {
    body: String,
    sections: Vec<(String, String)>,
    charts: u32,
}

impl Html {
    /// Starts a section.
    pub(super) fn section(&mut self, title: &str) {
        let id = format!("s{}", self.sections.len() + 1);
        let _infallible = writeln!(self.body, "<h2 id=\"{id}\">{}</h2>", escape(title));
        self.sections.push((id, title.to_owned()));
    }

    /// Starts a part of a section.
    pub(super) fn part(&mut self, title: &str) {
        let _infallible = writeln!(self.body, "<h3>{}</h3>", escape(title));
    }

    /// Writes a paragraph of plain text.
    pub(super) fn text(&mut self, text: &str) {
        let _infallible = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// Writes HTML as it is.
    pub(super) fn raw(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// Starts a row of charts; `class` is empty or `many`.
    pub(super) fn charts_begin(&mut self, class: &str) {
        let _infallible = writeln!(self.body, "<div class=\"charts {class}\">");
    }

    pub(super) fn charts_end(&mut self) {
        self.raw("</div>\n");
    }

    /// Returns the identifier of the next chart.
    pub(super) fn id(&mut self) -> String {
        self.charts += 1;
        format!("c{}", self.charts)
    }

    /// Returns the caption of the next chart, with an identifier that is unique in the page.
    pub(super) fn caption(&mut self, title: impl Into<String>, description: impl Into<String>) -> Caption {
        Caption { id: self.id(), title: title.into(), description: description.into() }
    }

    /// Writes a chart with its title above, and a table or a remark below.
    pub(super) fn figure(&mut self, title: &str, svg: &str, below: &str) {
        let _infallible =
            writeln!(self.body, "<figure><figcaption>{}</figcaption>\n{svg}\n{below}</figure>", escape(title));
    }

    /// Writes a wide chart like [`Html::figure`]. On a narrow screen it keeps a readable width and is scrolled.
    pub(super) fn wide_figure(&mut self, title: &str, svg: &str, below: &str) {
        let svg = format!(
            "<div class=\"scroll wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{svg}</div>",
            escape(title)
        );
        self.figure(title, &svg, below);
    }

    /// Returns the whole page.
    pub(super) fn finish(self, title: &str, head: &str) -> String {
        let contents: String = self
            .sections
            .iter()
            .map(|(id, title)| format!("<li><a href=\"#{id}\">{}</a></li>", escape(title)))
            .collect();
        let style = concat!(include_str!("style.css"));
        let (title, body) = (escape(title), self.body);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{style}{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n{head}</header>\n\
             <nav aria-label=\"Contents\"><ul>{contents}</ul></nav>\n<main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

/// A table. The first cell of each row names it.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Number of leading columns that are texts.
    pub(super) texts: usize,
}

impl Table {
    pub(super) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.iter().map(|text| (*text).to_owned()).collect(), rows: Vec::new(), texts: 1 }
    }

    pub(super) fn html(&self, name: &str) -> String {
        let class = |n: usize| if n < self.texts { " class=\"text\"" } else { "" };
        let head: String = (0..)
            .zip(&self.head)
            .map(|(n, text)| format!("<th scope=\"col\"{}>{}</th>", class(n), escape(text)))
            .collect();
        let mut html = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n",
            escape(name)
        );
        for row in &self.rows {
            html.push_str("<tr>");
            for (n, text) in (0..).zip(row) {
                let text = escape(text);
                let _infallible = match n {
                    0 => write!(html, "<th scope=\"row\">{text}</th>"),
                    _ => write!(html, "<td{}>{text}</td>", class(n)),
                };
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody></table></div>\n");
        html
    }

    /// The same, folded.
    pub(super) fn folded(&self, name: &str) -> String {
        let count = self.rows.len();
        let rows = if count == 1 { "row" } else { "rows" };
        format!("<details><summary>{} ({count} {rows})</summary>\n{}</details>\n", escape(name), self.html(name))
    }
}
