//! `src/image` against PIL, on what `tests/fixtures/make_images.py` wrote.

#![cfg(all(feature = "engine", not(target_arch = "wasm32")))]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use half::f16;
use serde::Deserialize;
use tractlet::image::{ElementType, ImageInput, Orientation, Resample, View, orient, preprocess, resize};

#[derive(Deserialize)]
struct Cases {
    pictures: BTreeMap<String, Picture>,
    resize: Vec<ResizeCase>,
    preprocess: Vec<PreprocessCase>,
    orient: Vec<OrientCase>,
}

#[derive(Deserialize)]
struct Picture {
    width: u32,
    height: u32,
    offset: usize,
}

#[derive(Deserialize)]
struct ResizeCase {
    picture: String,
    size: [u32; 2],
    filter: Resample,
    offset: usize,
}

#[derive(Deserialize)]
struct PreprocessCase {
    picture: String,
    spec: serde_json::Value,
    #[serde(default = "no_view")]
    view: serde_json::Value,
    shape: Vec<usize>,
    offset: usize,
}

fn no_view() -> serde_json::Value {
    serde_json::json!({})
}

#[derive(Deserialize)]
struct OrientCase {
    picture: String,
    exif: u8,
    width: u32,
    offset: usize,
}

struct Fixtures {
    cases: Cases,
    pixels: Vec<u8>,
}

impl Fixtures {
    fn read() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/fixtures/image");
        let read = |name| {
            fs::read(folder.join(name)).unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; run npm test, or python tests/fixtures/make_images.py",
                    folder.join(name).display()
                )
            })
        };
        let cases = serde_json::from_slice(&read("cases.json")).expect("cases.json is what image.rs expects");
        Self { cases, pixels: read("pixels.bin") }
    }

    fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        &self.pixels[offset..offset + len]
    }

    fn picture(&self, name: &str) -> (&[u8], u32, u32) {
        let &Picture { width, height, offset } = &self.cases.pictures[name];
        (self.bytes(offset, (width * height * 4) as usize), width, height)
    }
}

/// Differences per filter, in levels of 8 bits.
#[derive(Default)]
struct Differences(BTreeMap<String, (f64, usize, usize)>);

impl Differences {
    fn add(&mut self, filter: Resample, differences: impl Iterator<Item = f64>) -> f64 {
        let mut worst = 0f64;
        let (largest, differing, all) = self.0.entry(format!("{filter:?}")).or_default();
        for difference in differences {
            // A NaN would slip through `max`.
            assert!(!difference.is_nan());
            worst = worst.max(difference);
            *differing += usize::from(difference > 0.5);
            *all += 1;
        }
        *largest = largest.max(worst);
        worst
    }

    /// The same but for stray roundings: where the sine of another machine differs in the last bit.
    fn check(&self) {
        assert_eq!(self.0.len(), 5, "every filter has cases");
        for (filter, (largest, differing, all)) in &self.0 {
            println!("{filter}: at most {largest:.6} levels off PIL; {differing} of {all} values differ");
            assert!(*largest <= 1.001, "{filter}: {largest} levels off PIL");
            assert!(*differing * 1000 <= *all, "{filter}: {differing} of {all} values differ from PIL's");
        }
    }
}

#[test]
fn image_resize_equals_pil() {
    let fixtures = Fixtures::read();
    let mut differences = Differences::default();
    for case in &fixtures.cases.resize {
        let (rgba, width, height) = fixtures.picture(&case.picture);
        let rgb: Vec<u8> = rgba.chunks(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        let [new_width, new_height] = case.size;
        let what = format!("{} {width}x{height} -> {new_width}x{new_height} {:?}", case.picture, case.filter);
        let got = resize(&rgb, width, height, new_width, new_height, case.filter).expect(&what);
        let truth = fixtures.bytes(case.offset, (new_width * new_height * 3) as usize);
        assert_eq!(got.len(), truth.len(), "{what}");
        let pairs = got.iter().zip(truth);
        let worst = differences.add(case.filter, pairs.map(|(a, b)| f64::from(a.abs_diff(*b))));
        assert!(worst <= 1.0, "{what}: {worst} levels off PIL");
    }
    differences.check();
}

#[test]
fn image_preprocess_equals_pil() {
    let fixtures = Fixtures::read();
    let mut differences = Differences::default();
    for case in &fixtures.cases.preprocess {
        let (rgba, width, height) = fixtures.picture(&case.picture);
        let what = format!("{} {width}x{height} {} {}", case.picture, case.spec, case.view);
        let view = View::from_deserializer(&case.view).expect(&what);
        let spec = ImageInput::from_deserializer(&case.spec).expect(&what);
        let got = preprocess(rgba, width, height, &spec, &view).expect(&what);
        assert_eq!((got.shape(), got.data_type()), (&case.shape[..], spec.data_type.data_type()), "{what}");
        let truth = fixtures.bytes(case.offset, got.bytes().len());

        // One level of the picture in units of the tensor. An integer element may round the other way besides.
        let level = (spec.scale / spec.std[0]).abs();
        let worst = match spec.data_type {
            ElementType::Float32 => {
                let truth = truth.as_chunks().0.iter().map(|v| f32::from_le_bytes(*v));
                let pairs = got.as_slice::<f32>().unwrap().iter().zip(truth);
                differences.add(spec.resample, pairs.map(|(a, b)| f64::from((a - b).abs()) / level))
            }
            ElementType::Float16 => {
                let value = |v: &[u8; 2]| f16::from_le_bytes(*v).to_f64();
                let pairs = got.bytes().as_chunks().0.iter().zip(truth.as_chunks().0);
                differences.add(spec.resample, pairs.map(|(a, b)| (value(a) - value(b)).abs() / level))
            }
            ElementType::Uint8 | ElementType::Int8 => {
                let signed = spec.data_type == ElementType::Int8;
                let value = |v: u8| if signed { f64::from(v as i8) } else { f64::from(v) };
                let pairs = got.bytes().iter().zip(truth);
                differences.add(spec.resample, pairs.map(|(a, b)| (value(*a) - value(*b)).abs() / level.max(1.0)))
            }
        };
        assert!(worst <= 1.001, "{what}: {worst} levels off PIL");
    }
    differences.check();
}

#[test]
fn image_orientation_equals_pil() {
    let fixtures = Fixtures::read();
    assert_eq!(fixtures.cases.orient.len(), 8);
    for case in &fixtures.cases.orient {
        let (rgba, width, height) = fixtures.picture(&case.picture);
        let (got, new_width, new_height) =
            orient(rgba, width, height, Orientation::try_from(case.exif).unwrap()).unwrap();
        assert_eq!((new_width, new_width * new_height), (case.width, width * height), "orientation {}", case.exif);
        assert_eq!(got, fixtures.bytes(case.offset, rgba.len()), "orientation {}", case.exif);
    }
}
