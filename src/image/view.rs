//! Which part of a picture is looked at, and which way up.

use serde::{Deserialize, Deserializer};

use super::crop::Rect;
use super::orient::Orientation;
use crate::error::{Error, ErrorCode, Result};
use crate::settings::{AsMap, optional_map};

/// What is done to a picture before anything else: it is turned as EXIF says, then `region` is cut out of what is then
/// seen, then that is turned by `rotation`. All of it happens while the pixels are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct View {
    /// EXIF's orientation, 1 to 8; absent means 1, upright.
    pub orientation: Option<u8>,
    /// The part to look at; absent means all of it.
    #[serde(deserialize_with = "optional_map")]
    pub region: Option<Region>,
    /// Degrees clockwise: 0, 90, 180 or 270; absent means 0.
    pub rotation: Option<u16>,
}

/// A rectangle of the upright picture. Edges are rounded to whole pixels (halves away from zero), and at least one pixel
/// stays in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// From the left edge to the right one.
    pub width: f64,
    /// From the top edge to the bottom one.
    pub height: f64,
    /// What the numbers count; absent means pixels.
    #[serde(default)]
    pub unit: Option<Unit>,
}

/// What the numbers of a [`Region`] count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Pixels of the upright picture.
    Pixels,
    /// Parts of its width and height: 0 to 1.
    Relative,
}

/// A view of a picture whose size is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// The part, in the rows and columns that are stored.
    pub part: Rect,
    /// How it is turned.
    pub orientation: Orientation,
}

impl Seen {
    /// Width and height once it is turned.
    pub fn size(&self) -> (usize, usize) {
        let Rect { width, height, .. } = self.part;
        if self.orientation.swaps_sides() { (height, width) } else { (width, height) }
    }
}

impl View {
    /// Reads settings.
    ///
    /// # Errors
    /// `InvalidOption` that names a setting which does not exist or whose value makes no sense.
    pub fn from_deserializer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self> {
        Self::deserialize(AsMap(deserializer)).map_err(|error| {
            invalid(
                error.to_string(),
                "region, rotation and orientation are the settings; region is { x, y, width, height } and may have unit",
            )
        })
    }

    /// The view of a picture that is stored as `width` x `height` pixels.
    ///
    /// # Errors
    /// `InvalidOption` for a rotation or orientation that there is not, and for a region that is empty or not within the
    /// picture.
    pub(super) fn of(&self, width: usize, height: usize) -> Result<Seen> {
        let stored = Orientation::try_from(self.orientation.unwrap_or(1))?;
        let rotation = match self.rotation.unwrap_or(0) {
            0 => Orientation::Upright,
            90 => Orientation::Rotated90,
            180 => Orientation::Rotated180,
            270 => Orientation::Rotated270,
            other => return Err(invalid(format!("rotation is {other}"), "it is 0, 90, 180 or 270 degrees clockwise")),
        };
        let whole = Seen { part: Rect { left: 0, top: 0, width, height }, orientation: stored };
        let part = match &self.region {
            Some(region) => stored.part_of(region.within(whole.size())?, width, height),
            None => whole.part,
        };
        Ok(Seen { part, orientation: stored.then(rotation) })
    }
}

impl Region {
    /// In whole pixels of a picture of that width and height.
    fn within(&self, (width, height): (usize, usize)) -> Result<Rect> {
        let scale = |side: usize| if self.unit == Some(Unit::Relative) { side as f64 } else { 1.0 };
        let (left, wide) = span("x", self.x, "width", self.width, scale(width), width)?;
        let (top, high) = span("y", self.y, "height", self.height, scale(height), height)?;
        Ok(Rect { left, top, width: wide, height: high })
    }
}

/// Start and length of a region along one side of a picture.
fn span(start: &str, from: f64, length: &str, long: f64, scale: f64, side: usize) -> Result<(usize, usize)> {
    let hint = "a region lies within the picture as it is seen, before rotation: x, y, width and height in pixels, or \
                parts of 1 with unit: 'relative'";
    if !(from.is_finite() && long.is_finite() && long > 0.0) {
        return Err(invalid(format!("region.{start} is {from} and region.{length} is {long}"), hint));
    }
    let (first, end) = ((from * scale).round(), ((from + long) * scale).round());
    if !(first >= 0.0 && end <= side as f64) {
        return Err(invalid(
            format!("region.{start} {from} with region.{length} {long} is not within the picture"),
            hint,
        )
        .expected(format!("pixels 0 to {side}"), format!("pixels {first} to {end}")));
    }
    // A sliver keeps one line.
    let first = (first as usize).min(side - 1);
    Ok((first, (end as usize).max(first + 1) - first))
}

fn invalid(what: impl std::fmt::Display, hint: &str) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("the view of the picture: {what}")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::orient;
    use serde_json::{Value, json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn view(settings: Value) -> Result<View> {
        View::from_deserializer(settings)
    }

    #[test]
    fn settings_are_read_and_mistakes_named() {
        assert_eq!(view(json!({})).unwrap(), View::default());
        assert_eq!(view(json!({ "region": null, "rotation": null, "orientation": null })).unwrap(), View::default());
        let region = json!({ "x": 1, "y": 2.5, "width": 3, "height": 4, "unit": "relative" });
        assert_eq!(
            view(json!({ "region": region, "rotation": 90, "orientation": 3 })).unwrap(),
            View {
                orientation: Some(3),
                region: Some(Region { x: 1.0, y: 2.5, width: 3.0, height: 4.0, unit: Some(Unit::Relative) }),
                rotation: Some(90),
            }
        );
        for (settings, named) in [
            (json!({ "rotate": 90 }), "rotate"),
            (json!({ "rotation": "90" }), "90"),
            (json!({ "rotation": -90 }), "-90"),
            (json!({ "rotation": 45 }), "45"),
            (json!({ "orientation": 9 }), "9"),
            (json!({ "region": { "x": 0, "y": 0, "width": 1 } }), "height"),
            (json!({ "region": { "x": 0, "y": 0, "width": 1, "height": 1, "left": 0 } }), "left"),
            (json!({ "region": { "x": 0, "y": 0, "width": 1, "height": 1, "unit": "percent" } }), "percent"),
            (json!({ "region": [0, 0, 1, 1] }), "Region"),
            (json!(7), "7"),
        ] {
            let error = view(settings.clone()).and_then(|view| view.of(10, 10)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption, "{settings}");
            assert!(error.message.contains(named), "{settings}: {}", error.message);
            assert!(error.hint.is_some(), "{settings}");
        }
    }

    #[test]
    fn regions_are_rounded_and_kept_within() {
        let part = |unit: &str, [x, y, width, height]: [f64; 4]| {
            let region = json!({ "x": x, "y": y, "width": width, "height": height, "unit": unit });
            let Seen { part: Rect { left, top, width, height }, .. } =
                view(json!({ "region": region })).unwrap().of(100, 50)?;
            Ok([left, top, width, height])
        };
        for (unit, region, expected) in [
            ("pixels", [10.0, 5.0, 20.0, 30.0], [10, 5, 20, 30]),
            ("pixels", [0.0, 0.0, 100.0, 50.0], [0, 0, 100, 50]),
            ("pixels", [10.4, 5.6, 20.4, 30.0], [10, 6, 21, 30]),
            ("pixels", [-0.4, 0.0, 100.8, 50.4], [0, 0, 100, 50]),
            ("pixels", [99.9, 49.9, 0.1, 0.1], [99, 49, 1, 1]),
            ("pixels", [10.1, 10.1, 0.2, 0.2], [10, 10, 1, 1]),
            ("relative", [0.25, 0.5, 0.5, 0.5], [25, 25, 50, 25]),
            ("relative", [0.1, 0.7, 0.9, 0.3], [10, 35, 90, 15]),
            ("relative", [0.0, 0.0, 1.0, 1.0], [0, 0, 100, 50]),
        ] {
            assert_eq!(part(unit, region).unwrap(), expected, "{unit} {region:?}");
        }
        for (unit, region) in [
            ("pixels", [-1.0, 0.0, 10.0, 10.0]),
            ("pixels", [0.0, -1.0, 10.0, 10.0]),
            ("pixels", [91.0, 0.0, 10.0, 10.0]),
            ("pixels", [0.0, 41.0, 10.0, 10.0]),
            ("pixels", [0.0, 0.0, 0.0, 10.0]),
            ("pixels", [0.0, 0.0, 10.0, -1.0]),
            ("pixels", [f64::MAX, 0.0, f64::MAX, 1.0]),
            ("relative", [0.5, 0.0, 0.6, 1.0]),
            ("relative", [10.0, 5.0, 20.0, 30.0]),
        ] {
            let error: Error = part(unit, region).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption, "{unit} {region:?}");
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for at in 0..4 {
                let mut sides = [1.0; 4];
                sides[at] = bad;
                let [x, y, width, height] = sides;
                let view = View { region: Some(Region { x, y, width, height, unit: None }), ..View::default() };
                assert_eq!(view.of(100, 50).unwrap_err().code, ErrorCode::InvalidOption, "{sides:?}");
            }
        }
    }

    /// Every orientation and rotation with a region: in one go, or by turning, cutting and turning again.
    #[test]
    fn one_pass_is_the_same_as_three() {
        let (width, height) = (7u32, 5u32);
        let rgba: Vec<u8> = (0..35).flat_map(|i| [i, 2 * i, 3 * i, 255]).collect();
        for exif in 1..=8 {
            for (rotation, turn) in [(0, 1), (90, 6), (180, 3), (270, 8)] {
                let region = Region { x: 1.0, y: 2.0, width: 3.0, height: 2.0, unit: None };
                let view = View { orientation: Some(exif), region: Some(region), rotation: Some(rotation) };
                let seen = view.of(width as usize, height as usize).unwrap();
                let (columns, rows) = seen.size();
                let mut turned = crate::image::turned::Turned::new(&rgba, width as usize, seen).unwrap();
                let got: Vec<u8> = (0..rows).flat_map(|y| turned.row(y, 0..columns).to_vec()).collect();

                let (upright, upright_width, _) = orient(&rgba, width, height, exif.try_into().unwrap()).unwrap();
                let stride = upright_width as usize * 4;
                let cut: Vec<u8> = upright[2 * stride..4 * stride]
                    .chunks_exact(stride)
                    .flat_map(|row| row[4..16].iter().copied())
                    .collect();
                let (expected, expected_width, _) = orient(&cut, 3, 2, turn.try_into().unwrap()).unwrap();
                assert_eq!(columns, expected_width as usize, "{view:?}");
                assert_eq!(got, expected, "{view:?}");
            }
        }
    }
}
