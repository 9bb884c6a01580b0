//! What benches/kernels.mjs times: convolutions of given sizes, and what bounds them.
#![allow(static_mut_refs)]

#[allow(dead_code)]
#[path = "../../../src/kernels/mod.rs"]
mod kernels;
mod limits;

use kernels::Window;
use kernels::conv::{ConvShape, ConvWeights, Finish, MatMul, MatMulShape, Out, Prepared, conv};
use kernels::isa::{Dot, probe};

/// One convolution, or one product of activations, with its operands.
enum Job {
    Conv { weights: ConvWeights, prepared: Prepared, positions: usize, channels: usize },
    MatMul(MatMul),
}

struct Bench {
    job: Job,
    x: Vec<u8>,
    b: Vec<u8>,
    y: Vec<u8>,
    scratch: Vec<u8>,
}

static mut BENCH: Option<Bench> = None;

fn dot(code: u32) -> Dot {
    [Dot::Pairs, Dot::Usdot, Dot::Sdot, Dot::Maddubs][code as usize]
}

/// Small numbers, which no lowering of the relaxed dot product saturates.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 61) as u8).collect()
}

/// Weights as models have them: sums of random numbers, the largest of them extreme.
fn weights(len: usize) -> Vec<i8> {
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16 & 63) as i32 - 31
    };
    (0..len).map(|_| (uniform() + uniform() + uniform() + uniform()).clamp(-127, 127) as i8).collect()
}

/// The code of what the probe finds.
#[unsafe(no_mangle)]
pub extern "C" fn probed() -> u32 {
    match probe() {
        Dot::Pairs => 0,
        Dot::Usdot => 1,
        Dot::Sdot => 2,
        Dot::Maddubs => 3,
    }
}

/// Makes a convolution ready; `pad` on all sides; with small weights where the dot product may saturate.
#[unsafe(no_mangle)]
pub extern "C" fn conv_new(
    code: u32,
    h: usize,
    w: usize,
    c: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
    channels: usize,
    weight_zero_point: i32,
) {
    let size = |i: usize| (i + 2 * pad - kernel) / stride + 1;
    let window = Window {
        input: [1, h, w, c],
        output: [size(h), size(w)],
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [pad; 2],
    };
    let shape = ConvShape { window, channels, groups: 1 };
    let len = channels * kernel * kernel * c;
    let values = match dot(code) {
        Dot::Usdot | Dot::Sdot => (0..len).map(|i| (i * 5 % 31) as i8 - 15).collect(),
        Dot::Pairs | Dot::Maddubs => self::weights(len),
    };
    let weights = ConvWeights::new(dot(code), &shape, &values, &[weight_zero_point as i8]);
    let multipliers: Vec<f32> = (0..channels).map(|n| 1e-4 * (n % 7 + 1) as f32).collect();
    let prepared = weights.prepare(
        3,
        &Finish::Quantized { bias: &vec![100; channels], multipliers: &multipliers, zero_point: 5, low: 0, high: 255 },
    );
    let positions = weights.positions();
    let scratch = vec![0; weights.scratch_bytes(positions)];
    let job = Job::Conv { weights, prepared, positions, channels };
    let bench = Bench { job, x: bytes(h * w * c), b: Vec::new(), y: vec![0; positions * channels], scratch };
    // SAFETY: one thread.
    unsafe { BENCH = Some(bench) }
}

/// Makes a product of activations ready; `transposed` when k is the inner dimension of `b`.
#[unsafe(no_mangle)]
pub extern "C" fn matmul_new(code: u32, m: usize, k: usize, n: usize, transposed: u32) {
    let b_strides = if transposed != 0 { [1, k] } else { [n, 1] };
    let shape = MatMulShape { m, k, n, a_strides: [k, 1], b_strides };
    let finish = Finish::Quantized { bias: &[], multipliers: &[1e-4], zero_point: 5, low: 0, high: 255 };
    let product = MatMul::new(dot(code), &shape, 3, 128, &finish);
    let scratch = vec![0; product.scratch_bytes()];
    let bench = Bench { job: Job::MatMul(product), x: bytes(m * k), b: bytes(k * n), y: vec![0; m * n], scratch };
    // SAFETY: one thread.
    unsafe { BENCH = Some(bench) }
}

/// Runs what was made ready, `times` times; gives a byte of the result.
#[unsafe(no_mangle)]
pub extern "C" fn run(times: usize) -> u32 {
    // SAFETY: one thread.
    let bench = unsafe { BENCH.as_mut().expect("something to run") };
    for _ in 0..times {
        let mut y = Out::Uint8(&mut bench.y);
        match &bench.job {
            Job::Conv { weights, prepared, positions, channels } => {
                conv(weights, prepared, &bench.x, &mut y, 0..*positions, *channels, 0, &mut bench.scratch);
            }
            Job::MatMul(product) => product.run(&bench.x, &bench.b, 0..product.rows(), &mut y, &mut bench.scratch),
        }
    }
    bench.y.iter().fold(17u32, |hash, &q| hash.wrapping_mul(31).wrapping_add(q as u32))
}
