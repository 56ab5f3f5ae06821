//! What plots are drawn on: shapes with classes, patterns, text, and the two frames around them.

use std::collections::BTreeSet;

use super::{Frame, NORMAL, SMALL, STYLE};
use crate::wide;

/// How much of a line of caption.
const CAPTION_LINES_MAX: usize = 8;

/// What fills a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    /// One colour.
    Solid,
    /// Lines from the lower left.
    Hatch,
    /// Dots.
    Dots,
    /// Lying lines.
    Lying,
    /// Lines both ways.
    Cross,
    /// Upright lines.
    Upright,
    /// Lines from the upper left.
    Back,
    /// Nothing.
    Blank,
}

impl Fill {
    /// In the order in which parts of a bar take them: neighbours differ most.
    pub(super) const PARTS: [Self; 8] = [
        Self::Solid,
        Self::Hatch,
        Self::Dots,
        Self::Lying,
        Self::Cross,
        Self::Upright,
        Self::Blank,
        Self::Back,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Solid | Self::Blank => "",
            Self::Hatch => "hatch",
            Self::Dots => "dots",
            Self::Lying => "lying",
            Self::Cross => "cross",
            Self::Upright => "upright",
            Self::Back => "back",
        }
    }

    /// The class of a shape that it fills.
    const fn class(self) -> &'static str {
        match self {
            Self::Solid => "a",
            Self::Hatch => "b",
            Self::Blank => "seg blank",
            Self::Dots | Self::Lying | Self::Cross | Self::Upright | Self::Back => "seg",
        }
    }

    /// What its pattern is made of: its size, whether it lies aslant, and what stands on the ground.
    const fn pattern(self) -> Option<(u8, &'static str, &'static str)> {
        Some(match self {
            Self::Solid | Self::Blank => return None,
            Self::Hatch => (
                6,
                " patternTransform=\"rotate(45)\"",
                "<rect class=\"b-ground\" width=\"6\" height=\"6\"/><path class=\"b-hatch\" d=\"M0 0V6\"/>",
            ),
            Self::Dots => (
                5,
                "",
                "<rect class=\"a-ground\" width=\"5\" height=\"5\"/><circle class=\"a-dot\" cx=\"2.5\" cy=\"2.5\" r=\"1.2\"/>",
            ),
            Self::Lying => (
                4,
                "",
                "<rect class=\"a-ground\" width=\"4\" height=\"4\"/><path class=\"a-line\" d=\"M0 2H4\"/>",
            ),
            Self::Cross => (
                6,
                " patternTransform=\"rotate(45)\"",
                "<rect class=\"b-ground\" width=\"6\" height=\"6\"/><path class=\"b-hatch\" d=\"M0 3H6M3 0V6\"/>",
            ),
            Self::Upright => (
                7,
                "",
                "<rect class=\"a-ground\" width=\"7\" height=\"7\"/><path class=\"a-line\" d=\"M3.5 0V7\"/>",
            ),
            Self::Back => (
                6,
                " patternTransform=\"rotate(-45)\"",
                "<rect class=\"a-ground\" width=\"6\" height=\"6\"/><path class=\"a-line\" d=\"M0 0V6\"/>",
            ),
        })
    }
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A plot while it is drawn.
#[derive(Debug)]
pub(super) struct Canvas {
    id: String,
    width: f64,
    pub(super) height: f64,
    fills: BTreeSet<Fill>,
    shapes: String,
}

/// Only what can stand in an id and be referred to.
fn identifier(id: &str) -> String {
    let kept: String = id
        .chars()
        .filter(|it| it.is_ascii_alphanumeric() || *it == '-')
        .collect();
    if kept.starts_with(|it: char| it.is_ascii_alphabetic()) {
        kept
    } else {
        format!("p{kept}")
    }
}

/// A number as short as can be, with one decimal.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// The width of a text of a size, as fonts have it more or less; Latin letters are a little wider than half of a Chinese character.
pub(super) fn wide(text: &str, size: f64) -> f64 {
    let of = |it: char| if wide::of(it) == 2 { 1.0 } else { 0.57 };
    text.chars().map(of).sum::<f64>() * size
}

/// A text that takes no more room than this, with `…` for what was left out.
pub(super) fn clipped(text: &str, size: f64, room: f64) -> String {
    if wide(text, size) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    for it in text.chars() {
        out.push(it);
        if wide(&out, size) > room - size {
            out.pop();
            break;
        }
    }
    format!("{}…", out.trim_end())
}

/// Text as it stands in XML, without characters that XML has none of.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            it => out.push(it),
        }
    }
    out
}

/// A sample of a pattern for a legend, which takes it from the plot in the same page.
pub(super) fn key(id: &str, fill: Fill) -> String {
    let (class, fill) = (fill.class(), reference(&identifier(id), fill));
    format!(
        "<svg class=\"key plot\" viewBox=\"0 0 18 13\" aria-hidden=\"true\"><rect class=\"{class}\"{fill} x=\"1\" y=\"1\" width=\"16\" height=\"11\"/></svg>"
    )
}

fn reference(id: &str, fill: Fill) -> String {
    match fill.pattern() {
        Some(_) => format!(" fill=\"url(#{id}-{})\"", fill.name()),
        None => String::new(),
    }
}

impl Canvas {
    pub(super) fn new(id: &str, width: f64) -> Self {
        Self {
            id: identifier(id),
            width,
            height: 0.0,
            fills: BTreeSet::new(),
            shapes: String::new(),
        }
    }

    /// A rectangle by its left, top, width and height; one that has no room is none.
    pub(super) fn rect(
        &mut self,
        class: &str,
        fill: Option<Fill>,
        (x, y, width, height): (f64, f64, f64, f64),
    ) {
        if width <= 0.0 || height <= 0.0 {
            return;
        }
        let fill = fill.map_or(String::new(), |fill| reference(&self.id, fill));
        // What is there is to be seen.
        let (width, height) = (width.max(0.5), height.max(0.5));
        self.shapes.push_str(&format!(
            "<rect class=\"{class}\"{fill} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            short(x),
            short(y),
            short(width),
            short(height)
        ));
    }

    /// A rectangle with a pattern. An outline lies within its room.
    pub(super) fn filled(&mut self, fill: Fill, (x, y, width, height): (f64, f64, f64, f64)) {
        self.fills.insert(fill);
        let inset = if fill == Fill::Solid || width < 4.0 || height < 4.0 {
            0.0
        } else {
            0.7
        };
        let inner = (
            x + inset,
            y + inset,
            width - 2.0 * inset,
            height - 2.0 * inset,
        );
        self.rect(fill.class(), Some(fill), inner);
    }

    pub(super) fn line(
        &mut self,
        class: &str,
        dashes: Option<&str>,
        from: (f64, f64),
        to: (f64, f64),
    ) {
        let dashes = dashes.map_or(String::new(), |it| format!(" stroke-dasharray=\"{it}\""));
        self.shapes.push_str(&format!(
            "<path class=\"{class}\"{dashes} d=\"M{} {}L{} {}\"/>",
            short(from.0),
            short(from.1),
            short(to.0),
            short(to.1)
        ));
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.shapes.push_str(&format!(
            "<text{class} x=\"{}\" y=\"{}\"{anchor}>{}</text>",
            short(x),
            short(y),
            escaped(text)
        ));
    }

    fn patterns(&self) -> String {
        let mut out = String::new();
        for fill in &self.fills {
            if let Some((size, turn, shapes)) = fill.pattern() {
                out.push_str(&format!(
                    "<pattern id=\"{}-{}\" width=\"{size}\" height=\"{size}\" patternUnits=\"userSpaceOnUse\"{turn}>{shapes}</pattern>",
                    self.id,
                    fill.name()
                ));
            }
        }
        out
    }

    /// What is said to those who do not see it.
    fn said(&self, frame: &Frame) -> String {
        let id = &self.id;
        format!(
            "<title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            escaped(&frame.title),
            escaped(&frame.desc)
        )
    }

    /// As a part of a page, with the patterns of its legend.
    pub(super) fn part(mut self, frame: &Frame, keys: &[(Fill, &str)]) -> String {
        self.fills.extend(keys.iter().map(|(fill, _)| *fill));
        let (id, patterns) = (&self.id, self.patterns());
        let defs = if patterns.is_empty() {
            String::new()
        } else {
            format!("<defs>{patterns}</defs>")
        };
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">{}{defs}{}</svg>",
            short(self.width),
            short(self.height),
            self.said(frame),
            self.shapes
        )
    }

    /// As a file that stands alone.
    pub(super) fn file(self, frame: &Frame, keys: &[(Fill, &str)]) -> String {
        const MARGIN: f64 = 20.0;
        let mut around = Self::new(&self.id, self.width);
        around.fills.clone_from(&self.fills);
        let mut y = 20.0;
        around.text(
            "strong",
            0.0,
            y,
            Anchor::Start,
            &clipped(&frame.title, NORMAL, self.width),
        );
        let mut x = 0.0;
        if !keys.is_empty() {
            y += 22.0;
        }
        for (fill, name) in keys {
            let room = 23.0 + wide(name, SMALL) + 16.0;
            if x > 0.0 && x + room > self.width {
                (x, y) = (0.0, y + 20.0);
            }
            around.filled(*fill, (x, y - 10.5, 18.0, 12.0));
            around.text("ax", x + 23.0, y, Anchor::Start, name);
            x += room;
        }
        let body = y + 12.0;
        let mut below = body + self.height + 14.0;
        for line in lines(&frame.caption, SMALL, self.width) {
            around.text("ax", 0.0, below, Anchor::Start, &line);
            below += 18.0;
        }
        let (id, patterns) = (&around.id, around.patterns());
        let (width, height) = (
            short(self.width + 2.0 * MARGIN),
            short(below + 2.0 * MARGIN - 14.0),
        );
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\">{}<defs><style>{STYLE}</style>{patterns}</defs><rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\
             <g transform=\"translate({m} {m})\">{}<g transform=\"translate(0 {})\">{}</g></g></svg>\n",
            self.said(frame),
            around.shapes,
            short(body),
            self.shapes,
            m = short(MARGIN),
        )
    }
}

/// A text in lines of this room; the last says so where there would be more.
fn lines(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for it in paragraph.chars() {
            if wide(&line, size) + size > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push(it);
        }
        lines.push(line);
        if lines.len() > CAPTION_LINES_MAX {
            lines.truncate(CAPTION_LINES_MAX);
            if let Some(last) = lines.last_mut() {
                last.pop();
                last.push('…');
            }
            break;
        }
    }
    lines
}
