//! One of two, by a condition.

use super::strided::{Loops, Strided, dense};

/// `y = condition ? a : b`, broadcast; conditions are bytes, `y` is dense.
///
/// # Panics
/// If a slice is too short for the shape, or `y` has another length.
pub fn select<T: Copy>(shape: &[usize], condition: Strided<u8>, a: Strided<T>, b: Strided<T>, y: &mut [T]) {
    let y_strides = dense(shape);
    let Some(mut loops) = Loops::new(shape, [condition.strides, a.strides, b.strides, &y_strides]) else {
        assert!(y.is_empty(), "y has elements, its shape has none");
        return;
    };
    loops.check(0, 0, condition.data.len());
    loops.check(1, 0, a.data.len());
    loops.check(2, 0, b.data.len());
    assert_eq!(y.len(), shape.iter().product::<usize>(), "length of y");
    let inner = loops.split_inner();
    let n = inner.count;
    let pick = |condition: u8, a: T, b: T| if condition != 0 { a } else { b };
    loops.for_each([0; 4], |[at_c, at_a, at_b, at_y]| {
        let (condition, a, b, y) = (&condition.data[at_c..], &a.data[at_a..], &b.data[at_b..], &mut y[at_y..][..n]);
        match inner.steps {
            [1, 1, 1, _] => {
                let (condition, a, b) = (&condition[..n], &a[..n], &b[..n]);
                for i in 0..n {
                    // Both are read, so that vectors can be.
                    let (yes, no) = (a[i], b[i]);
                    y[i] = pick(condition[i], yes, no);
                }
            }
            [1, 1, 0, _] => {
                let (condition, a, no) = (&condition[..n], &a[..n], b[0]);
                for i in 0..n {
                    let yes = a[i];
                    y[i] = pick(condition[i], yes, no);
                }
            }
            [1, 0, 1, _] => {
                let (condition, yes, b) = (&condition[..n], a[0], &b[..n]);
                for i in 0..n {
                    let no = b[i];
                    y[i] = pick(condition[i], yes, no);
                }
            }
            [0, a_step @ 0..=1, b_step @ 0..=1, _] => {
                let (from, step) = if condition[0] != 0 { (a, a_step) } else { (b, b_step) };
                match step {
                    0 => y.fill(from[0]),
                    _ => y.copy_from_slice(&from[..n]),
                }
            }
            [c_step, a_step, b_step, _] => {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = pick(condition[i * c_step], a[i * a_step], b[i * b_step]);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn all_ways_of_broadcasting() {
        for n in (1..20).chain([64, 65]) {
            let shape = [2, 3, n];
            let strides = [[3 * n, n, 1], [0, 0, 1], [3, 1, 0], [0, 0, 0], [0, 2, 1], [1, 2, 6]];
            let condition: Vec<u8> = (0..6 * n + 9).map(|i| [0, 1, 0, 255, 2][i % 5]).collect();
            let a: Vec<f32> = (0..6 * n + 9).map(|i| i as f32).collect();
            let b: Vec<f32> = (0..6 * n + 9).map(|i| -(i as f32)).collect();
            for c_s in &strides {
                for a_s in &strides {
                    for b_s in &strides {
                        let mut y = vec![9.0; 6 * n];
                        select(
                            &shape,
                            Strided { data: &condition, strides: c_s },
                            Strided { data: &a, strides: a_s },
                            Strided { data: &b, strides: b_s },
                            &mut y,
                        );
                        for (i, &y) in y.iter().enumerate() {
                            let place = [i / (3 * n), i / n % 3, i % n];
                            let at = |s: &[usize; 3]| place.iter().zip(s).map(|(p, s)| p * s).sum::<usize>();
                            assert_eq!(y, if condition[at(c_s)] != 0 { a[at(a_s)] } else { b[at(b_s)] });
                        }
                    }
                }
            }
        }
        let (yes, one) = (Strided { data: &[1u8][..], strides: &[] }, Strided { data: &[7u8][..], strides: &[] });
        let mut y = [0u8];
        select(&[], yes, one, one, &mut y);
        assert_eq!(y, [7]);
    }
}
