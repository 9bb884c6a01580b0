//! Quantized addition, subtraction and multiplication with NumPy broadcasting, and table look-ups.

use crate::kernels::quantize::{Params, Quantum, round_to_i32};

/// Calls `f(output index, a index, b index, run)` for runs of elements in which each operand either advances by one or
/// stays (its step is 0 or 1, given by `steps`). Shapes have the same rank; a dimension of 1 is repeated.
fn broadcast(
    shape: &[usize],
    a_shape: &[usize],
    b_shape: &[usize],
    mut f: impl FnMut(usize, usize, usize, usize, [usize; 2]),
) {
    let total: usize = shape.iter().product();
    if total == 0 {
        return;
    }
    let strides = |operand: &[usize]| -> Vec<usize> {
        let mut strides = vec![0; operand.len()];
        let mut step = 1;
        for d in (0..operand.len()).rev() {
            strides[d] = if operand[d] == 1 { 0 } else { step };
            step *= operand[d];
        }
        strides
    };
    let (sa, sb) = (strides(a_shape), strides(b_shape));
    // The innermost dimensions over which both operands behave alike are one run.
    let mut run = 1;
    let mut split = shape.len();
    let mut steps = [0, 0];
    while split > 0 {
        let d = split - 1;
        if shape[d] != 1 {
            let here = [usize::from(a_shape[d] != 1), usize::from(b_shape[d] != 1)];
            if run > 1 && here != steps {
                break;
            }
            steps = here;
        }
        run *= shape[d];
        split -= 1;
    }
    let mut at = vec![0usize; split];
    for first in (0..total).step_by(run) {
        let ia: usize = at.iter().zip(&sa).map(|(i, s)| i * s).sum();
        let ib: usize = at.iter().zip(&sb).map(|(i, s)| i * s).sum();
        f(first, ia, ib, run, steps);
        for d in (0..split).rev() {
            at[d] += 1;
            if at[d] < shape[d] {
                break;
            }
            at[d] = 0;
        }
    }
}

/// A quantized operand: elements, shape (of the output's rank) and parameters.
#[derive(Clone, Copy)]
pub struct Operand<'a, Q> {
    /// Elements.
    pub data: &'a [Q],
    /// Shape, padded with leading ones to the output's rank.
    pub shape: &'a [usize],
    /// Scale and zero point.
    pub params: Params,
}

fn zip<Q: Quantum>(a: Operand<Q>, b: Operand<Q>, shape: &[usize], out: &mut [Q], f: impl Fn(i32, i32) -> Q) {
    broadcast(shape, a.shape, b.shape, |to, ia, ib, run, [step_a, step_b]| {
        let out = &mut out[to..to + run];
        match (step_a, step_b) {
            (1, 1) => {
                for ((y, &p), &q) in out.iter_mut().zip(&a.data[ia..]).zip(&b.data[ib..]) {
                    *y = f(p.into(), q.into());
                }
            }
            (1, _) => {
                let q = b.data[ib].into();
                for (y, &p) in out.iter_mut().zip(&a.data[ia..]) {
                    *y = f(p.into(), q);
                }
            }
            (_, 1) => {
                let p = a.data[ia].into();
                for (y, &q) in out.iter_mut().zip(&b.data[ib..]) {
                    *y = f(p, q.into());
                }
            }
            _ => out.fill(f(a.data[ia].into(), b.data[ib].into())),
        }
    });
}

/// `QLinearAdd`: with `ra = sa / sy`, `rb = sb / sy` and `fixed = zy - (ra * za + rb * zb)`, all in f32,
/// `saturate(round_half_even((fixed + a * ra) + b * rb))`, as onnxruntime's MLAS orders it.
pub fn add<Q: Quantum>(a: Operand<Q>, b: Operand<Q>, y: Params, shape: &[usize], out: &mut [Q]) {
    let (ra, rb) = (a.params.scale / y.scale, b.params.scale / y.scale);
    let fixed = y.zero_point as f32 - (ra * a.params.zero_point as f32 + rb * b.params.zero_point as f32);
    zip(a, b, shape, out, |p, q| Q::saturate(round_to_i32((fixed + p as f32 * ra) + q as f32 * rb)));
}

/// `QLinearSub`: with `ra = sa / sy`, `rb = sb / sy` and `fixed = zy - (ra * za - rb * zb)`, all in f32,
/// `saturate(round_half_even((fixed + a * ra) - b * rb))`: the addition with `-rb`.
pub fn sub<Q: Quantum>(a: Operand<Q>, b: Operand<Q>, y: Params, shape: &[usize], out: &mut [Q]) {
    let (ra, rb) = (a.params.scale / y.scale, b.params.scale / y.scale);
    let fixed = y.zero_point as f32 - (ra * a.params.zero_point as f32 - rb * b.params.zero_point as f32);
    zip(a, b, shape, out, |p, q| Q::saturate(round_to_i32((fixed + p as f32 * ra) - q as f32 * rb)));
}

/// `QLinearMul`: with `r = sa * sb / sy` in f32, `saturate(round_half_even((a - za) * (b - zb) * r + zy))`; the product
/// of the differences is exact. The zero point joins before rounding, so a tie depends on whether it is odd.
pub fn mul<Q: Quantum>(a: Operand<Q>, b: Operand<Q>, y: Params, shape: &[usize], out: &mut [Q]) {
    let ratio = a.params.scale * b.params.scale / y.scale;
    let (za, zb, zy) = (a.params.zero_point, b.params.zero_point, y.zero_point as f32);
    zip(a, b, shape, out, |p, q| Q::saturate(round_to_i32(((p - za) * (q - zb)) as f32 * ratio + zy)));
}

/// Replaces every element by its entry in the table.
pub fn look_up<A: Quantum, B: Quantum>(x: &[A], table: &[B; 256], out: &mut [B]) {
    for (y, x) in out.iter_mut().zip(x) {
        *y = table[x.table_index()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn broadcasting_is_numpy_s() {
        let one = Params { scale: 1.0, zero_point: 0 };
        for (sa, sb) in [
            (vec![2, 3, 4], vec![2, 3, 4]),
            (vec![2, 3, 4], vec![1, 3, 1]),
            (vec![2, 1, 4], vec![1, 3, 1]),
            (vec![1, 1, 1], vec![2, 3, 4]),
            (vec![2, 3, 1], vec![1, 1, 4]),
            (vec![1, 1, 1], vec![1, 1, 1]),
            (vec![2, 1, 1], vec![2, 3, 0]),
        ] {
            let shape: Vec<usize> =
                sa.iter().zip(&sb).map(|(&a, &b): (&usize, &usize)| if a == 1 { b } else { a }).collect();
            let a: Vec<i8> = (0..sa.iter().product::<usize>() as i8).collect();
            let b: Vec<i8> = (0..sb.iter().product::<usize>() as i8).map(|v| v * 2).collect();
            let n: usize = shape.iter().product();
            let mut y = vec![0i8; n];
            add(
                Operand { data: &a, shape: &sa, params: one },
                Operand { data: &b, shape: &sb, params: one },
                one,
                &shape,
                &mut y,
            );
            for (i, &y) in y.iter().enumerate() {
                let at = [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
                let index = |s: &[usize]| (0..3).fold(0, |n, d| n * s[d] + if s[d] == 1 { 0 } else { at[d] });
                assert_eq!(y, a[index(&sa)] + b[index(&sb)], "{sa:?} {sb:?} at {at:?}");
            }
        }
    }
}
