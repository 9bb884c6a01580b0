//! From levels to the elements of a tensor: normalisation, order of colours, layout.

use half::f16;

use super::reserved;
use super::spec::{Channels, ElementType, ImageInput, Layout};
use crate::error::Result;
use crate::tensor::{DataType, Element, Tensor};

/// RGB pixels of the size of `spec` to a tensor with a batch of 1.
pub(super) fn to_tensor(rgb: &[u8], spec: &ImageInput) -> Result<Tensor> {
    match spec.data_type {
        ElementType::Float32 => lay_out(rgb, spec, |v| v as f32),
        // By their bits. By way of float32, as pipelines in Python do it.
        ElementType::Float16 => {
            let bits = lay_out(rgb, spec, |v| f16::from_f32(v as f32).to_bits())?;
            Tensor::from_bytes(DataType::Float16, bits.shape(), bits.bytes())
        }
        // A cast from float to integer saturates.
        ElementType::Uint8 => lay_out(rgb, spec, |v| v.round_ties_even() as u8),
        ElementType::Int8 => lay_out(rgb, spec, |v| v.round_ties_even() as i8),
    }
}

/// There are only 256 levels: each channel's values are computed once, in f64, and looked up.
fn lay_out<T: Element>(rgb: &[u8], spec: &ImageInput, element: impl Fn(f64) -> T) -> Result<Tensor> {
    let tables: [[T; 256]; 3] =
        std::array::from_fn(|c| std::array::from_fn(|level| element(spec.value(level as u8, c))));
    let order = match spec.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let (pixels, _) = rgb.as_chunks::<3>();
    let mut values = reserved(rgb.len())?;
    let [height, width] = spec.size.map(|side| side as usize);
    let shape = match spec.layout {
        Layout::Nchw => {
            for (table, from) in tables.iter().zip(order) {
                values.extend(pixels.iter().map(|pixel| table[pixel[from] as usize]));
            }
            [1, 3, height, width]
        }
        Layout::Nhwc => {
            for pixel in pixels {
                values.extend::<[T; 3]>(std::array::from_fn(|c| tables[c][pixel[order[c]] as usize]));
            }
            [1, height, width, 3]
        }
    };
    Tensor::from_slice(&shape, &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Crop, Resample};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn spec(data_type: ElementType, scale: f64, mean: [f64; 3], std: [f64; 3]) -> ImageInput {
        ImageInput {
            size: [1, 1],
            layout: Layout::Nhwc,
            channels: Channels::Bgr,
            data_type,
            scale,
            mean,
            std,
            crop: Crop::Stretch {},
            resample: Resample::Box,
            background: [255; 3],
        }
    }

    #[test]
    fn normalisation_is_in_the_order_of_the_channels() {
        let spec = spec(ElementType::Float32, 1.0 / 255.0, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]);
        let tensor = to_tensor(&[10, 20, 30], &spec).unwrap();
        let expected = [(30.0 / 255.0, 0.4, 0.2), (20.0 / 255.0, 0.5, 0.3), (10.0 / 255.0, 0.6, 0.4)];
        for (got, (value, mean, std)) in tensor.as_slice::<f32>().unwrap().iter().zip(expected) {
            assert!((f64::from(*got) - (value - mean) / std).abs() < 1e-6, "{got}");
        }
    }

    #[test]
    fn half_floats() {
        let spec = spec(ElementType::Float16, 1.0 / 255.0, [0.0, 0.5, 1.0], [1.0; 3]);
        let tensor = to_tensor(&[0, 10, 255], &spec).unwrap();
        assert_eq!((tensor.data_type(), tensor.shape()), (DataType::Float16, &[1, 1, 1, 3][..]));
        let expected = [1.0, 10.0 / 255.0 - 0.5, -1.0].map(|v| f16::from_f32(v).to_le_bytes());
        assert_eq!(tensor.bytes(), expected.as_flattened());
    }

    #[test]
    fn integers_round_half_to_even_and_saturate() {
        let halves = spec(ElementType::Uint8, 0.5, [0.0; 3], [1.0; 3]);
        assert_eq!(to_tensor(&[1, 3, 5], &halves).unwrap().as_slice::<u8>().unwrap(), [2, 2, 0]);
        let signed = spec(ElementType::Int8, 1.0, [128.0; 3], [1.0; 3]);
        assert_eq!(to_tensor(&[0, 128, 255], &signed).unwrap().as_slice::<i8>().unwrap(), [127, 0, -128]);
        let beyond = spec(ElementType::Int8, 2.0, [128.0; 3], [1.0; 3]);
        assert_eq!(to_tensor(&[0, 1, 255], &beyond).unwrap().as_slice::<i8>().unwrap(), [127, -126, -128]);
        let below = spec(ElementType::Uint8, 1.0, [100.0; 3], [1.0; 3]);
        assert_eq!(to_tensor(&[50, 100, 150], &below).unwrap().as_slice::<u8>().unwrap(), [50, 0, 0]);
    }
}
