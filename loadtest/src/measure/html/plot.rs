//! Lines over two axes, as SVG that needs nothing else: no script, no font, no file.
//!
//! Owns where everything stands. Lines are told apart by colour, by dashes and by a name at their end. Whatever
//! points it is given, nothing leaves its frame.

use super::markup::Markup;
use super::scale::Axis;

/// Styles of lines: colours and dashes, `s0` and so on in the style sheet. Further lines begin anew.
pub const STYLES: usize = 6;

/// Most points of a line that are drawn: more than there are pixels nobody sees.
const POINTS_MAX: usize = 600;

/// Height of a line of text in the units of the drawing.
const TEXT_HEIGHT: f64 = 15.0;

/// Space around the frame, in the units of the drawing: above, right of, below and left of it.
const MARGIN: (f64, f64, f64, f64) = (26.0, 86.0, 44.0, 58.0);

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Whose it is.
    pub name: &'a str,
    /// Its style, one of [`STYLES`].
    pub style: usize,
    /// Whether it is the one that stands for the others of its name.
    pub is_median: bool,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot<'a> {
    /// What no other drawing of its page is called: part of an id.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The same in words, for who does not see it.
    pub description: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn.
    pub lines: Vec<Line<'a>>,
    /// Width and height in the units of its text.
    pub size: (f64, f64),
}

/// The frame in which lines are drawn.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn x(&self, part: f64) -> f64 {
        self.left + part * (self.right - self.left)
    }

    fn y(&self, part: f64) -> f64 {
        self.bottom - part * (self.bottom - self.top)
    }
}

impl Plot<'_> {
    /// The drawing.
    pub fn svg(&self) -> Markup {
        let (width, height) = self.size;
        let (top, right, bottom, left) = MARGIN;
        let frame = Frame { left, right: width - right, top, bottom: height - bottom };
        let [title, description] = ["title", "desc"].map(|part| format!("{}-{part}", self.id));
        let inside = [
            Markup::element("title", &[("id", &title)], [Markup::text(&self.title)]),
            Markup::element("desc", &[("id", &description)], [Markup::text(&self.description)]),
        ];
        let labelled = format!("{title} {description}");
        let view = format!("0 0 {width} {height}");
        let attributes =
            [("viewBox", view.as_str()), ("role", "img"), ("aria-labelledby", &labelled)];
        let axes = self.axes(&frame);
        let lines = self.lines.iter().flat_map(|line| self.line(&frame, line));
        let drawn = inside.into_iter().chain(axes).chain(lines).chain(self.names(&frame));
        Markup::element("svg", &attributes, drawn)
    }

    fn axes(&self, frame: &Frame) -> Vec<Markup> {
        let mut drawn = Vec::new();
        for (at, text) in &self.y.ticks {
            let y = frame.y(*at);
            drawn.push(stroke("grid", (frame.left, y), (frame.right, y)));
            drawn.push(label("tick", "end", (frame.left - 8.0, y + 4.0), text));
        }
        for (at, text) in &self.x.ticks {
            let x = frame.x(*at);
            drawn.push(stroke("grid", (x, frame.top), (x, frame.bottom)));
            drawn.push(label("tick", "middle", (x, frame.bottom + 18.0), text));
        }
        drawn.push(stroke("axis", (frame.left, frame.bottom), (frame.right, frame.bottom)));
        drawn.push(label("axis-title", "start", (0.0, 12.0), &self.y.title));
        drawn.push(label("axis-title", "end", (frame.right, frame.bottom + 36.0), &self.x.title));
        drawn
    }

    fn line(&self, frame: &Frame, line: &Line<'_>) -> Option<Markup> {
        let at = |(x, y): &(f64, f64)| (frame.x(self.x.at(*x)), frame.y(self.y.at(*y)));
        let weight = if line.is_median { "median" } else { "other" };
        let class = format!("line s{} {weight}", line.style % STYLES);
        let points = thinned(&line.points);
        match points.as_slice() {
            [] => None,
            [alone] => {
                let (x, y) = at(alone);
                let [x, y] = [x, y].map(written);
                Some(Markup::element(
                    "circle",
                    &[("class", &class), ("cx", &x), ("cy", &y), ("r", "3")],
                    [],
                ))
            }
            points => {
                let points = points.iter().map(at);
                let points = points.map(|(x, y)| format!("{},{}", written(x), written(y)));
                let points = points.collect::<Vec<_>>().join(" ");
                Some(Markup::element("polyline", &[("class", &class), ("points", &points)], []))
            }
        }
    }

    /// A name at the end of each line that stands for others, moved apart so that all can be read.
    fn names(&self, frame: &Frame) -> Vec<Markup> {
        let named = self.lines.iter().filter(|line| line.is_median);
        let mut ends: Vec<(f64, f64, &Line<'_>)> = named
            .filter_map(|line| {
                let (x, y) = line.points.last()?;
                Some((frame.y(self.y.at(*y)), frame.x(self.x.at(*x)), line))
            })
            .collect();
        ends.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        let mut free = frame.top;
        for (y, ..) in &mut ends {
            *y = y.max(free);
            free = *y + TEXT_HEIGHT;
        }
        // What was moved out of the frame at the bottom goes back up, and moves the others before it.
        let mut free = frame.bottom;
        for (y, ..) in ends.iter_mut().rev() {
            *y = y.min(free);
            free = *y - TEXT_HEIGHT;
        }
        let name = |(y, x, line): &(f64, f64, &Line<'_>)| {
            let class = format!("name s{}", line.style % STYLES);
            label(&class, "start", (x + 7.0, y + 4.0), line.name)
        };
        ends.iter().map(name).collect()
    }
}

/// A short line in a style, for a key.
pub fn key(style: usize) -> Markup {
    let class = format!("line s{} median", style % STYLES);
    let attributes = [("viewBox", "0 0 36 10"), ("class", "key"), ("aria-hidden", "true")];
    let line = Markup::element("polyline", &[("class", &class), ("points", "0,5 36,5")], []);
    Markup::element("svg", &attributes, [line])
}

fn stroke(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Markup {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(written);
    let attributes = [("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)];
    Markup::element("line", &attributes, [])
}

fn label(class: &str, anchor: &str, (x, y): (f64, f64), text: &str) -> Markup {
    let [x, y] = [x, y].map(written);
    let attributes = [("class", class), ("text-anchor", anchor), ("x", &x), ("y", &y)];
    Markup::element("text", &attributes, [Markup::text(text)])
}

/// A tenth of a unit is less than a pixel.
fn written(place: f64) -> String {
    format!("{place:.1}")
}

/// Of many points the lowest and the highest of each stretch, in their order: peaks stay.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 2);
    let mut kept = Vec::with_capacity(POINTS_MAX);
    for stretch in points.chunks(stretch) {
        let by_height = |(_, a): &&(f64, f64), (_, b): &&(f64, f64)| f64::total_cmp(a, b);
        let ends = [stretch.iter().min_by(by_height), stretch.iter().max_by(by_height)];
        let mut ends: Vec<(f64, f64)> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        kept.extend(ends);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plot(points: Vec<Vec<(f64, f64)>>) -> Plot<'static> {
        let all = || points.iter().flatten();
        Plot {
            id: "a".to_owned(),
            title: "a title".to_owned(),
            description: "words".to_owned(),
            x: Axis::linear(all().map(|(x, _)| *x), ("time", "s"), false),
            y: Axis::linear(all().map(|(_, y)| *y), ("memory", "bytes"), true),
            lines: points
                .into_iter()
                .enumerate()
                .map(|(style, points)| Line { name: "x", style, is_median: true, points })
                .collect(),
            size: (480.0, 260.0),
        }
    }

    #[test]
    fn the_highest_point_of_many_is_drawn() {
        let mut points: Vec<(f64, f64)> = (0..86_400).map(|at| (f64::from(at), 1.0)).collect();
        points[40_001].1 = 9.0;
        let kept = thinned(&points);
        assert!(kept.len() <= POINTS_MAX && kept.contains(&(40_001.0, 9.0)));
        assert!(kept.is_sorted_by(|(a, _), (b, _)| a <= b));
    }

    #[test]
    fn names_of_lines_that_end_at_one_place_stand_apart() {
        // At the bottom of the frame, and at its top.
        for end in [0.0, 1.0] {
            let page = plot(vec![vec![(0.0, 1.0), (9.0, end)]; 4]).svg().into_page();
            let page = roxmltree_of(&page);
            let is_name = |class: &str| class.starts_with("name");
            let names =
                page.descendants().filter(|node| node.attribute("class").is_some_and(is_name));
            let mut heights: Vec<f64> =
                names.map(|node| node.attribute("y").unwrap().parse().unwrap()).collect();
            heights.sort_by(f64::total_cmp);
            assert_eq!(heights.len(), 4);
            assert!(heights.is_sorted_by(|a, b| b - a >= TEXT_HEIGHT - 0.2), "{heights:?}");
        }
    }

    fn roxmltree_of(page: &str) -> roxmltree::Document<'_> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        roxmltree::Document::parse_with_options(page, options).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_stays_in_its_frame(
            points in prop::collection::vec(
                prop::collection::vec(
                    (
                        prop_oneof![Just(0.0), 0.0..1e6, prop::num::f64::NORMAL],
                        prop_oneof![Just(0.0), -1.0..1.0, prop::num::f64::NORMAL],
                    ),
                    0..5,
                ),
                0..8,
            ),
        ) {
            let page = plot(points).svg().into_page();
            for node in roxmltree_of(&page).descendants() {
                let drawn: Vec<(f64, f64)> = match node.tag_name().name() {
                    "circle" => vec![("cx", "cy")],
                    "text" => vec![("x", "y")],
                    _ => vec![],
                }
                .into_iter()
                .map(|(x, y)| {
                    let at = |name| node.attribute(name).unwrap().parse::<f64>().unwrap();
                    (at(x), at(y))
                })
                .chain(node.attribute("points").into_iter().flat_map(|points| {
                    points.split(' ').map(|point| {
                        let (x, y) = point.split_once(',').unwrap();
                        (x.parse().unwrap(), y.parse().unwrap())
                    })
                }))
                .collect();
                for (x, y) in drawn {
                    prop_assert!((0.0..=480.0).contains(&x) && (0.0..=260.0).contains(&y));
                }
            }
        }
    }
}
