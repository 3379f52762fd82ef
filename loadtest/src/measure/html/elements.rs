//! What the page is made of: sections, tables, figures.

use super::markup::Markup;
use super::plot::{self, Plot};
use crate::measure::number::{NONE, Unit};
use crate::measure::report::Report;

pub fn section(title: &str, inside: impl IntoIterator<Item = Markup>) -> Markup {
    let heading = Markup::of("h2", title);
    Markup::element("section", &[], [heading].into_iter().chain(inside))
}

/// A table with a caption; it scrolls by itself where it is wider than the page.
pub fn table(
    caption: &str,
    head: &[String],
    body: impl IntoIterator<Item = Vec<Markup>>,
) -> Markup {
    let mut rows = Vec::new();
    if head.iter().any(|text| !text.is_empty()) {
        let cells = head.iter().map(|text| match text.as_str() {
            "" => Markup::element("td", &[], []),
            text => Markup::element("th", &[("scope", "col")], [Markup::text(text)]),
        });
        let row = Markup::element("tr", &[], cells);
        rows.push(Markup::element("thead", &[], [row]));
    }
    let body = body.into_iter().map(|cells| Markup::element("tr", &[], cells));
    rows.push(Markup::element("tbody", &[], body));
    let inside = [Markup::of("caption", caption)].into_iter().chain(rows);
    let table = Markup::element("table", &[], inside);
    Markup::element("div", &[("class", "table")], [table])
}

pub fn heading_cell(inside: impl IntoIterator<Item = Markup>) -> Markup {
    Markup::element("th", &[("scope", "row")], inside)
}

pub fn number_cell(text: &str) -> Markup {
    Markup::element("td", &[("class", "number")], [Markup::text(text)])
}

pub fn unit_cell(name: &str) -> Markup {
    Markup::element("td", &[("class", "unit")], [Markup::text(name)])
}

pub fn value_cell(value: Option<f64>, unit: Unit) -> Markup {
    number_cell(&value.map_or(NONE.to_owned(), |value| unit.write(value)))
}

pub fn fact(name: &str, value: &str) -> Vec<Markup> {
    vec![heading_cell([Markup::text(name)]), Markup::of("td", value)]
}

pub fn figure(class: &str, plot: &Plot<'_>) -> Markup {
    let caption = Markup::of("figcaption", &plot.title);
    Markup::element("figure", &[("class", class)], [caption, plot.svg()])
}

/// Which line is whose.
pub fn key(report: &Report) -> Markup {
    let each =
        report.servers().into_iter().enumerate().map(|(style, name)| {
            Markup::element("li", &[], [plot::key(style), Markup::text(name)])
        });
    Markup::element("ul", &[("class", "keys")], each)
}
