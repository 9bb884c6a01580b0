//! Which kernel serves which convolution on which machine: the one table.

use crate::kernels::isa::Dot;
use crate::plan::Conv;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvKernel {
    /// Rows of the input interleaved and multiplied in place: one input channel for each output channel.
    Depthwise,
    /// Rows gathered and multiplied with panels of weights.
    Product,
}

impl ConvKernel {
    /// For a convolution of the plan.
    pub fn of(conv: &Conv) -> Self {
        let depthwise = conv.groups > 1 && conv.groups == conv.channels && conv.groups == conv.window.input[3];
        if depthwise { Self::Depthwise } else { Self::Product }
    }

    /// What the profile calls it. Instructions by the answer of [`crate::kernels::isa::probe`]: pairs of 16-bit numbers
    /// in tiles of 5 x 8, or the relaxed dot product in tiles of 6 x 8, or 4 x 8 where it adds up two products only.
    pub fn name(self, dot: Dot) -> &'static str {
        match (self, dot) {
            (Self::Depthwise, Dot::Pairs | Dot::Maddubs) => "depthwise conv, pairs",
            (Self::Depthwise, Dot::Usdot) => "depthwise conv, usdot",
            (Self::Depthwise, Dot::Sdot) => "depthwise conv, sdot",
            (Self::Product, Dot::Pairs) => "conv, pairs 5x8",
            (Self::Product, Dot::Usdot) => "conv, usdot 6x8",
            (Self::Product, Dot::Sdot) => "conv, sdot 6x8",
            (Self::Product, Dot::Maddubs) => "conv, maddubs 3x8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Window;
    use crate::plan::{Finish, ZeroPoint};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_table_is_this() {
        let conv = |c: usize, channels: usize, groups: usize| Conv {
            x: 0,
            y: 1,
            row_stride: channels,
            column: 0,
            window: Window {
                input: [1, 8, 8, c],
                output: [8, 8],
                kernel: [3, 3],
                strides: [1, 1],
                dilations: [1, 1],
                pads: [1, 1],
            },
            channels,
            groups,
            zero_point: ZeroPoint::Fixed(0),
            weights: 0,
            weight_zero_points: None,
            bias: None,
            finish: Finish::Integer,
        };
        for (c, channels, groups, kernel) in [
            (16, 16, 1, ConvKernel::Product),
            (1, 1, 1, ConvKernel::Product),
            (16, 16, 4, ConvKernel::Product),
            (16, 32, 16, ConvKernel::Product),
            (16, 16, 16, ConvKernel::Depthwise),
        ] {
            assert_eq!(ConvKernel::of(&conv(c, channels, groups)), kernel, "{c} to {channels} in {groups}");
        }
        // In builds without relaxed SIMD the answer of the probe is always the first.
        let names =
            [Dot::Pairs, Dot::Usdot, Dot::Sdot, Dot::Maddubs].map(|dot| (ConvKernel::Product.name(dot), dot.name()));
        assert!(names.iter().all(|(kernel, dot)| kernel.contains(dot)));
        #[cfg(not(target_feature = "relaxed-simd"))]
        assert_eq!(crate::kernels::isa::probe(), Dot::Pairs);
    }
}
