//! From the pixels of a picture to the input tensor of a model.
//!
//! Models are trained behind a pipeline that is nearly always Python's imaging library (PIL) or torchvision on top of
//! it, and int8 models in particular notice when pre-processing differs. So everything here computes what PIL computes,
//! in its order: drop alpha, crop, resize with its 8-bit fixed-point filters, then normalise. [`ImageInput`] says
//! which of it; it is data that travels with the model.
//!
//! * alpha: translucent pixels are blended over [`ImageInput::background`], as PIL's `paste` with a mask does it.
//!   Opaque pixels are untouched, and what the colour of a fully transparent pixel is does not matter.
//! * orientation: a browser's decoder has already turned the picture by its EXIF orientation. For pixels from elsewhere
//!   a [`View`] can say it, along with the region to look at and how that is to be turned.
//!
//! Hostile or mistaken input of any kind gives an error: sizes are checked before memory is asked for, and memory that
//! cannot be had is an error too.

mod alpha;
mod convert;
mod crop;
mod filter;
mod orient;
mod resize;
mod spec;
mod turned;
mod view;

pub use orient::{Orientation, orient};
pub use resize::resize;
pub use spec::{Channels, Crop, ElementType, ImageInput, Layout, MAX_OUTPUT_SIDE, Resample};
pub use view::{Region, Unit, View};

use crate::error::{Error, ErrorCode, Result};
use crate::tensor::Tensor;

/// Longest side an image may have. Some decoders count sides in 16 bits; beyond it nothing is a photograph.
pub const MAX_SIDE: u32 = 32_767;
/// Most pixels an image may have: 400 MB as RGBA.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Turns RGBA pixels (8 bits each, straight alpha, rows from the top, no padding) into a tensor of shape
/// `[1, 3, height, width]` or `[1, height, width, 3]`. What `spec` calls the picture is what is seen in `view`.
///
/// # Errors
/// `InvalidOption` for settings that make no sense and for a region outside of the picture, `InvalidImage` for no pixels or a buffer of another length than
/// `width * height * 4`, `ImageTooLarge` beyond [`MAX_SIDE`] or [`MAX_PIXELS`], `OutOfMemory`.
pub fn preprocess(rgba: &[u8], width: u32, height: u32, spec: &ImageInput, view: &View) -> Result<Tensor> {
    spec.validate()?;
    let (stored_width, stored_height) = check_pixels(rgba, width, height, 4)?;
    let seen = view.of(stored_width, stored_height)?;
    let (width, height) = seen.size();
    let (out_width, out_height) = (spec.size[1] as usize, spec.size[0] as usize);
    let placement = crop::place(&spec.crop, width, height, out_width, out_height);

    let mut canvas = zeroed(out_width * out_height * 3)?;
    if placement.fill != [0; 3] {
        canvas.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&placement.fill));
    }
    let picture = turned::Turned::new(rgba, stored_width, seen)?;
    let mut rows = alpha::RgbaRows::new(picture, placement.source, spec.background)?;
    let resampling = resize::Resampling {
        source: (placement.source.width, placement.source.height),
        scaled: placement.scaled,
        window: placement.window,
        filter: spec.resample,
    };
    let target = resize::Target { pixels: &mut canvas, width: out_width, left: placement.left, top: placement.top };
    resampling.run(&mut rows, target)?;

    convert::to_tensor(&canvas, spec)
}

/// Checks an image's size and that the buffer has as many bytes as the size says.
fn check_pixels(pixels: &[u8], width: u32, height: u32, bytes_per_pixel: usize) -> Result<(usize, usize)> {
    if width == 0 || height == 0 {
        return Err(Error::new(ErrorCode::InvalidImage, format!("the image has no pixels: it is {width}x{height}"))
            .with_hint("wait until the image has loaded; an element that is not laid out may have size 0"));
    }
    let count = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || count > MAX_PIXELS {
        return Err(Error::new(ErrorCode::ImageTooLarge, format!("an image of {width}x{height} is too large"))
            .expected(
                format!("sides of at most {MAX_SIDE} and at most {} megapixels", MAX_PIXELS / 1_000_000),
                format!("{width}x{height}"),
            )
            .with_hint("scale it down first, for example with createImageBitmap's resizeWidth"));
    }
    let bytes = count * bytes_per_pixel as u64;
    if pixels.len() as u64 != bytes {
        return Err(Error::new(
            ErrorCode::InvalidImage,
            format!("the pixel buffer does not fit an image of {width}x{height}"),
        )
        .expected(format!("{bytes} bytes"), format!("{} bytes", pixels.len()))
        .with_hint(format!("hand in {bytes_per_pixel} bytes per pixel, rows without padding")));
    }
    Ok((width as usize, height as usize))
}

/// `len` zeros, or an error when there is no memory for them.
fn zeroed<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    let mut buffer = reserved(len)?;
    buffer.resize(len, T::default());
    Ok(buffer)
}

/// Room for `len` elements, or an error when there is no memory for them.
fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| {
        Error::new(ErrorCode::OutOfMemory, "there is no memory left to prepare the image")
            .with_hint("release sessions that are no longer needed, or scale the image down first")
    })?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DataType;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn spec(crop: Crop, size: [u32; 2]) -> ImageInput {
        ImageInput {
            size,
            layout: Layout::Nhwc,
            channels: Channels::Rgb,
            data_type: ElementType::Uint8,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            crop,
            resample: Resample::Bilinear,
            background: [255; 3],
        }
    }

    #[test]
    fn bad_images_are_typed_errors() {
        let small = vec![0; 16];
        let cases: &[(&[u8], u32, u32, ErrorCode)] = &[
            (&[], 0, 0, ErrorCode::InvalidImage),
            (&[], 0, 5, ErrorCode::InvalidImage),
            (&[], 5, 0, ErrorCode::InvalidImage),
            (&[], 0, u32::MAX, ErrorCode::InvalidImage),
            (&small, 2, 1, ErrorCode::InvalidImage),
            (&small, 3, 2, ErrorCode::InvalidImage),
            (&[], 2, 2, ErrorCode::InvalidImage),
            (&[], 20_000, 20_000, ErrorCode::ImageTooLarge),
            (&[], 1, 32_768, ErrorCode::ImageTooLarge),
            (&[], 32_768, 1, ErrorCode::ImageTooLarge),
            (&[], 10_001, 10_000, ErrorCode::ImageTooLarge),
            (&[], u32::MAX, u32::MAX, ErrorCode::ImageTooLarge),
        ];
        for &(pixels, width, height, code) in cases {
            let error =
                preprocess(pixels, width, height, &spec(Crop::Stretch {}, [4, 4]), &View::default()).unwrap_err();
            assert_eq!(error.code, code, "{width}x{height}: {error}");
            assert!(error.hint.is_some(), "{width}x{height}");
        }
    }

    #[test]
    fn every_size_and_mode_gives_a_tensor() {
        let crops = [
            Crop::Center { ratio: 0.875 },
            Crop::Center { ratio: f64::MIN_POSITIVE },
            Crop::ResizeThenCenter { resize: 6 },
            Crop::ResizeThenCenter { resize: 1 },
            Crop::ResizeThenCenter { resize: MAX_OUTPUT_SIDE },
            Crop::Stretch {},
            Crop::Contain { color: [1, 2, 3] },
        ];
        let sizes = [(1, 1), (1, 2), (2, 1), (1, 32_767), (32_767, 1), (3, 1000), (17, 5)];
        let filters = [Resample::Nearest, Resample::Box, Resample::Bilinear, Resample::Bicubic, Resample::Lanczos];
        for (width, height) in sizes {
            let rgba = vec![255; (width * height * 4) as usize];
            for crop in &crops {
                for filter in filters {
                    // Nearest walks to its window step by step, as PIL does: too far to walk in a test.
                    if filter == Resample::Nearest && *crop == (Crop::ResizeThenCenter { resize: MAX_OUTPUT_SIDE }) {
                        continue;
                    }
                    for size in [[1, 1], [5, 4], [1, 9], [9, 1]] {
                        let spec = ImageInput { resample: filter, ..spec(crop.clone(), size) };
                        let tensor = preprocess(&rgba, width, height, &spec, &View::default())
                            .unwrap_or_else(|e| panic!("{width}x{height} {spec:?}: {e}"));
                        assert_eq!(tensor.shape(), [1, size[0] as usize, size[1] as usize, 3]);
                        // Where there is picture it is white: the filters' weights sum to 1 everywhere.
                        let fill = tensor.as_slice::<u8>().unwrap().iter().filter(|v| **v != 255).count();
                        let padded = matches!(crop, Crop::Contain { .. } | Crop::ResizeThenCenter { .. });
                        assert!(padded || fill == 0, "{width}x{height} {spec:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn layouts_and_channel_orders() {
        // Two pixels: (10, 20, 30) and (40, 50, 60).
        let rgba = [10, 20, 30, 255, 40, 50, 60, 255];
        let cases: &[(Layout, Channels, [u8; 6], [usize; 4])] = &[
            (Layout::Nhwc, Channels::Rgb, [10, 20, 30, 40, 50, 60], [1, 1, 2, 3]),
            (Layout::Nhwc, Channels::Bgr, [30, 20, 10, 60, 50, 40], [1, 1, 2, 3]),
            (Layout::Nchw, Channels::Rgb, [10, 40, 20, 50, 30, 60], [1, 3, 1, 2]),
            (Layout::Nchw, Channels::Bgr, [30, 60, 20, 50, 10, 40], [1, 3, 1, 2]),
        ];
        for &(layout, channels, expected, shape) in cases {
            let spec = ImageInput { layout, channels, ..spec(Crop::Stretch {}, [1, 2]) };
            let tensor = preprocess(&rgba, 2, 1, &spec, &View::default()).unwrap();
            assert_eq!((tensor.data_type(), tensor.shape()), (DataType::Uint8, &shape[..]));
            assert_eq!(tensor.as_slice::<u8>().unwrap(), expected, "{layout:?} {channels:?}");
        }
    }

    #[test]
    fn letterbox_bars_have_their_colour() {
        let spec = spec(Crop::Contain { color: [1, 2, 3] }, [4, 2]);
        let tensor =
            preprocess(&[200; 16], 2, 2, &ImageInput { background: [200; 3], ..spec }, &View::default()).unwrap();
        let rows: Vec<&[u8]> = tensor.as_slice::<u8>().unwrap().chunks(6).collect();
        assert_eq!(rows, [[1, 2, 3, 1, 2, 3], [200; 6], [200; 6], [1, 2, 3, 1, 2, 3]]);
    }

    #[test]
    fn settings_are_checked_before_the_image() {
        let error = preprocess(&[], 0, 0, &spec(Crop::Stretch {}, [0, 4]), &View::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidOption);
    }
}
