//! What becomes of 32-bit sums: parameters of the epilogue, checked and laid out once.

/// From exact 32-bit sums to results; `n` is the output channel or column.
#[derive(Clone, Copy, Debug)]
pub enum Finish<'a> {
    /// `u8`: `clamp(rint(f32(sum + bias[n]) * multipliers[n]) + zero_point, low, high)`.
    Quantized {
        /// One for each channel, or none.
        bias: &'a [i32],
        /// One, or one for each channel; finite.
        multipliers: &'a [f32],
        /// Of the result.
        zero_point: u8,
        /// Smallest quantum.
        low: u8,
        /// Largest quantum, not below `low`.
        high: u8,
    },
    /// `f32`: `clamp(f32(sum + bias[n]) * (scale * multipliers[n]) + addend[n], low, high)`; NaN stays.
    Float {
        /// One for each channel, or none.
        bias: &'a [i32],
        /// One, or one for each channel; finite.
        multipliers: &'a [f32],
        /// Multiplied into each multiplier first; 1 where nothing is found at run time.
        scale: f32,
        /// One for each channel, or none.
        addend: &'a [f32],
        /// Negative infinity for none.
        low: f32,
        /// Infinity for none.
        high: f32,
    },
    /// `i32`: `sum + bias[n]`.
    Integer {
        /// One for each channel, or none.
        bias: &'a [i32],
    },
}

/// Where results go; the type must be that of the [`Finish`].
#[derive(Debug)]
pub enum Out<'a> {
    /// Of [`Finish::Quantized`].
    Uint8(&'a mut [u8]),
    /// Of [`Finish::Float`].
    Float32(&'a mut [f32]),
    /// Of [`Finish::Integer`].
    Int32(&'a mut [i32]),
}

impl Out<'_> {
    /// What follows the first `at` elements.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn from(&mut self, at: usize) -> Out<'_> {
        match self {
            Self::Uint8(y) => Out::Uint8(&mut y[at..]),
            Self::Float32(y) => Out::Float32(&mut y[at..]),
            Self::Int32(y) => Out::Int32(&mut y[at..]),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Uint8(y) => y.len(),
            Self::Float32(y) => y.len(),
            Self::Int32(y) => y.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the epilogue does, apart from the lists by column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::kernels) enum Kind {
    Quantized {
        zero_point: u8,
        low: u8,
        high: u8,
        /// No product can reach 2^22 in magnitude, see `simd`.
        bounded: bool,
    },
    Float {
        low: f32,
        high: f32,
    },
    Integer,
}

impl Finish<'_> {
    pub(in crate::kernels) fn bias(&self) -> &[i32] {
        match *self {
            Self::Quantized { bias, .. } | Self::Float { bias, .. } | Self::Integer { bias } => bias,
        }
    }

    /// The multiplier of column `n`, with `scale`.
    pub(in crate::kernels) fn multiplier(&self, n: usize) -> f32 {
        let pick = |list: &[f32]| if list.len() == 1 { list[0] } else { list[n] };
        match *self {
            Self::Quantized { multipliers, .. } => pick(multipliers),
            Self::Float { multipliers, scale, .. } => scale * pick(multipliers),
            Self::Integer { .. } => 1.0,
        }
    }

    /// What is added behind the product; -0 changes nothing, not even -0.
    pub(in crate::kernels) fn addend(&self, n: usize) -> f32 {
        match *self {
            Self::Float { addend, .. } if !addend.is_empty() => addend[n],
            _ => -0.0,
        }
    }

    /// Panics unless every list is as long as it must be.
    pub(in crate::kernels) fn check(&self, channels: usize) {
        let bias = self.bias();
        assert!(bias.is_empty() || bias.len() == channels, "one bias for each channel");
        match *self {
            Self::Quantized { multipliers, low, high, .. } => {
                assert!(multipliers.len() == 1 || multipliers.len() == channels, "one multiplier for each channel");
                assert!(low <= high, "an empty range");
            }
            Self::Float { multipliers, addend, .. } => {
                assert!(multipliers.len() == 1 || multipliers.len() == channels, "one multiplier for each channel");
                assert!(addend.is_empty() || addend.len() == channels, "one addend for each channel");
            }
            Self::Integer { .. } => {}
        }
    }

    pub(in crate::kernels) fn kind(&self, bounded: bool) -> Kind {
        match *self {
            Self::Quantized { zero_point, low, high, .. } => Kind::Quantized { zero_point, low, high, bounded },
            Self::Float { low, high, .. } => Kind::Float { low, high },
            Self::Integer { .. } => Kind::Integer,
        }
    }
}
