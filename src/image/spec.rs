//! Pre-processing as data: the `input` object of a model card.

use half::f16;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, ErrorCode, Result};
use crate::settings::AsMap;
use crate::tensor::DataType;

/// Largest width or height that [`ImageInput::size`] and a resize may ask for.
pub const MAX_OUTPUT_SIDE: u32 = 8192;

/// How the pixels of a picture become the input of a model.
///
/// Only what has one usual value has a default. Whatever a wrong guess would turn into plausible but wrong results
/// (layout, channel order, normalisation, cropping, filter) must be said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageInput {
    /// Height and width of the model's input.
    pub size: [u32; 2],
    /// Order of the dimensions.
    pub layout: Layout,
    /// Order of the colours.
    pub channels: Channels,
    /// Element type; float32 unless said.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub data_type: ElementType,
    /// An element is `(pixel * scale - mean[c]) / std[c]` with `pixel` in 0..=255; 1 unless said. Integer elements are
    /// rounded half to even and saturate.
    #[serde(default = "one", deserialize_with = "or_one")]
    pub scale: f64,
    /// Subtracted, in the order of `channels`.
    pub mean: [f64; 3],
    /// Divided by, in the order of `channels`.
    pub std: [f64; 3],
    /// Which part of the picture.
    pub crop: Crop,
    /// The filter that scales it.
    pub resample: Resample,
    /// Red, green and blue of what lies behind translucent pixels; white unless said.
    #[serde(default = "white", deserialize_with = "or_white")]
    pub background: [u8; 3],
}

/// Order of a tensor's dimensions: batch, channels, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// One plane per colour.
    Nchw,
    /// Colours side by side.
    Nhwc,
}

/// Order of the colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// Element types an image can be turned into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// 32-bit float.
    #[default]
    Float32,
    /// 16-bit float.
    Float16,
    /// Unsigned byte.
    Uint8,
    /// Signed byte.
    Int8,
}

impl ElementType {
    /// As a tensor's data type.
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Float32 => DataType::Float32,
            Self::Float16 => DataType::Float16,
            Self::Uint8 => DataType::Uint8,
            Self::Int8 => DataType::Int8,
        }
    }
}

/// Which part of the picture the model sees.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Crop {
    /// The square in the middle, with sides of `ratio` of the shorter side, scaled to the input size.
    Center {
        /// Above 0, at most 1.
        ratio: f64,
    },
    /// The shorter side scaled to `resize`, then the input size cut from the middle: torchvision's `Resize` and
    /// `CenterCrop`. Where the scaled picture is smaller than the input, black fills the rest, as there.
    ResizeThenCenter {
        /// Length of the shorter side in pixels.
        resize: u32,
    },
    /// All of it, scaled to the input size whatever its proportions.
    Stretch {},
    /// All of it in its own proportions, centred, with bars: PIL's `ImageOps.pad`.
    Contain {
        /// Red, green and blue of the bars.
        color: [u8; 3],
    },
}

/// Filters, as PIL names and computes them; all but `Nearest` average over the source when scaling down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// One source pixel per pixel.
    Nearest,
    /// The mean of the covered area.
    Box,
    /// Triangle filter.
    Bilinear,
    /// Cubic convolution with a = -0.5.
    Bicubic,
    /// Windowed sinc over three lobes.
    Lanczos,
}

impl ImageInput {
    /// Reads and checks settings from a JavaScript object or JSON.
    ///
    /// # Errors
    /// `InvalidOption` with what is missing, unknown or out of range.
    pub fn from_deserializer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self> {
        let spec = Self::deserialize(AsMap(deserializer)).map_err(|error| {
            invalid(
                error.to_string(),
                "size, layout, channels, mean, std, crop and resample are needed; type, scale and background may be \
                 left out",
            )
        })?;
        spec.validate()?;
        Ok(spec)
    }

    /// Checks that the values make sense.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub fn validate(&self) -> Result<()> {
        let side = |name: &str, value: u32| {
            if (1..=MAX_OUTPUT_SIDE).contains(&value) {
                Ok(())
            } else {
                Err(invalid(format!("{name} is {value}"), format!("it must be 1 to {MAX_OUTPUT_SIDE} pixels")))
            }
        };
        side("size[0], the height,", self.size[0])?;
        side("size[1], the width,", self.size[1])?;
        match self.crop {
            Crop::Center { ratio } if !(ratio > 0.0 && ratio <= 1.0) => {
                return Err(invalid(
                    format!("crop.ratio is {ratio}"),
                    "it is the part of the shorter side to keep: above 0, at most 1, often 0.875",
                ));
            }
            Crop::ResizeThenCenter { resize } => side("crop.resize", resize)?,
            Crop::Center { .. } | Crop::Stretch {} | Crop::Contain { .. } => {}
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return Err(invalid(
                format!("scale is {}", self.scale),
                "leave it out, or use 1/255 when mean and std are given for pixels from 0 to 1",
            ));
        }
        for c in 0..3 {
            if !self.mean[c].is_finite() {
                return Err(invalid(format!("mean[{c}] is {}", self.mean[c]), "use finite numbers"));
            }
            if !self.std[c].is_finite() || self.std[c] == 0.0 {
                return Err(invalid(
                    format!("std[{c}] is {}", self.std[c]),
                    "values are divided by it: use [1, 1, 1] for none",
                ));
            }
            // The first and the last pixel value are the extremes.
            let fits = |value: f64| match self.data_type {
                ElementType::Float16 => f16::from_f32(value as f32).is_finite(),
                _ => (value as f32).is_finite(),
            };
            if ![0, 255].into_iter().all(|pixel| fits(self.value(pixel, c))) {
                let float = if self.data_type == ElementType::Float16 { "float16" } else { "float32" };
                return Err(invalid(
                    format!("scale, mean[{c}] and std[{c}] give values beyond {float}"),
                    "use numbers of ordinary size",
                ));
            }
        }
        Ok(())
    }

    /// The value of a pixel in channel `c` (in the order of `channels`).
    pub(super) fn value(&self, pixel: u8, c: usize) -> f64 {
        (f64::from(pixel) * self.scale - self.mean[c]) / self.std[c]
    }
}

fn invalid(what: impl std::fmt::Display, hint: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("image input settings: {what}")).with_hint(hint)
}

fn one() -> f64 {
    1.0
}

fn white() -> [u8; 3] {
    [255; 3]
}

// In JavaScript an option that is there but `undefined` (or `null`) means the default.

fn or<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D, default: T) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(default))
}

fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    or(deserializer, T::default())
}

fn or_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    or(deserializer, one())
}

fn or_white<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 3], D::Error> {
    or(deserializer, white())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn full() -> Value {
        json!({
            "size": [224, 192], "layout": "NCHW", "channels": "BGR", "type": "int8", "scale": 0.5,
            "mean": [1, 2.5, 3], "std": [4, 5, 6], "crop": { "mode": "center", "ratio": 0.875 },
            "resample": "lanczos", "background": [1, 2, 3],
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut object = full();
        object[key] = value;
        object
    }

    fn without(key: &str) -> Value {
        let mut object = full();
        object.as_object_mut().unwrap().remove(key);
        object
    }

    #[test]
    fn reads_what_the_contract_says() {
        let spec = ImageInput::from_deserializer(full()).unwrap();
        assert_eq!(
            spec,
            ImageInput {
                size: [224, 192],
                layout: Layout::Nchw,
                channels: Channels::Bgr,
                data_type: ElementType::Int8,
                scale: 0.5,
                mean: [1.0, 2.5, 3.0],
                std: [4.0, 5.0, 6.0],
                crop: Crop::Center { ratio: 0.875 },
                resample: Resample::Lanczos,
                background: [1, 2, 3],
            }
        );
        let crops = [
            (json!({ "mode": "center", "ratio": 1 }), Crop::Center { ratio: 1.0 }),
            (json!({ "mode": "resize-then-center", "resize": 256 }), Crop::ResizeThenCenter { resize: 256 }),
            (json!({ "mode": "stretch" }), Crop::Stretch {}),
            (json!({ "mode": "contain", "color": [9, 8, 7] }), Crop::Contain { color: [9, 8, 7] }),
        ];
        for (object, crop) in crops {
            assert_eq!(ImageInput::from_deserializer(with("crop", object)).unwrap().crop, crop);
        }
    }

    #[test]
    fn defaults_for_absent_and_null() {
        for absent in [true, false] {
            let read = |key| ImageInput::from_deserializer(if absent { without(key) } else { with(key, Value::Null) });
            assert_eq!(read("type").unwrap().data_type, ElementType::Float32);
            assert_eq!(read("scale").unwrap().scale, 1.0);
            assert_eq!(read("background").unwrap().background, [255; 3]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (with("sise", json!(3)), "sise"),
            (with("size", json!([0, 224])), "size[0]"),
            (with("size", json!([224, 8193])), "size[1]"),
            (with("size", json!([224])), "length 1"),
            (with("size", json!([-1, 224])), "-1"),
            (with("size", json!([224.5, 224])), "224.5"),
            (with("layout", json!("CHW")), "CHW"),
            (with("channels", json!("rgb")), "rgb"),
            (with("type", json!("float64")), "float64"),
            (with("scale", json!(0)), "scale"),
            (with("scale", json!("1")), "string"),
            (with("std", json!([1, 0, 1])), "std[1]"),
            (with("std", json!([1e-300, 1, 1])), "float32"),
            (with("mean", json!([1, 2, 1e300])), "float32"),
            (
                json!({ "type": "float16", "scale": 300, "size": [1, 1], "layout": "NCHW", "channels": "RGB", "mean": [0, 0, 0],
                "std": [1, 1, 1], "crop": { "mode": "stretch" }, "resample": "box" }),
                "float16",
            ),
            (with("crop", json!({ "mode": "centre" })), "centre"),
            (with("crop", json!({ "mode": "center" })), "ratio"),
            (with("crop", json!({ "mode": "center", "ratio": 0 })), "crop.ratio"),
            (with("crop", json!({ "mode": "center", "ratio": 1.1 })), "crop.ratio"),
            (with("crop", json!({ "mode": "center", "ratio": 1, "size": 3 })), "size"),
            (with("crop", json!({ "mode": "stretch", "ratio": 1 })), "ratio"),
            (with("crop", json!({ "mode": "resize-then-center", "resize": 0 })), "crop.resize"),
            (with("crop", json!({ "mode": "resize-then-center", "resize": 10_000 })), "crop.resize"),
            (with("crop", json!({ "mode": "contain" })), "color"),
            (with("resample", json!("cubic")), "cubic"),
            (with("background", json!([0, 0, 256])), "256"),
            (without("layout"), "layout"),
            (without("mean"), "mean"),
            (json!([1, 2]), "sequence"),
            (json!(null), "null"),
        ];
        for (object, what) in cases {
            let error = ImageInput::from_deserializer(object.clone()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidOption, "{object}");
            assert!(error.message.contains(what), "{object}: {error}");
            assert!(error.hint.is_some(), "{object}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_carry_are_refused() {
        let spec = ImageInput::from_deserializer(full()).unwrap();
        for bad in [f64::NAN, f64::INFINITY] {
            for broken in [
                ImageInput { scale: bad, ..spec.clone() },
                ImageInput { mean: [0.0, bad, 0.0], ..spec.clone() },
                ImageInput { std: [1.0, 1.0, bad], ..spec.clone() },
                ImageInput { crop: Crop::Center { ratio: bad }, ..spec.clone() },
            ] {
                assert_eq!(broken.validate().unwrap_err().code, ErrorCode::InvalidOption, "{broken:?}");
            }
        }
    }
}
