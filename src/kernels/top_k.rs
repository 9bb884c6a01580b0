//! The largest or the smallest elements of rows, in order.

use std::cmp::Ordering;

/// Of each row of `count` floats the `k` largest (or smallest) and where they are: best first, of equal ones the first
/// first, NaN last. `scratch` has room for the places of a row.
///
/// # Panics
/// If `k` is larger than `count`, or a slice has not the length that the sizes say.
pub fn top_k(
    x: &[f32],
    values: &mut [f32],
    places: &mut [i64],
    [count, k]: [usize; 2],
    largest: bool,
    scratch: &mut [u32],
) {
    assert!(k <= count && scratch.len() == count, "fewer than there are");
    assert_eq!(values.len(), places.len(), "a place for each value");
    if k == 0 || x.is_empty() {
        return;
    }
    assert_eq!(values.len() / k * count, x.len(), "length of x");
    for ((x, values), places) in x.chunks_exact(count).zip(values.chunks_exact_mut(k)).zip(places.chunks_exact_mut(k)) {
        // Whether `a` comes before `b`.
        let before = |a: u32, b: u32| {
            let (v, w) = (x[a as usize], x[b as usize]);
            match v.partial_cmp(&w) {
                Some(Ordering::Greater) => largest,
                Some(Ordering::Less) => !largest,
                Some(Ordering::Equal) => a < b,
                None if v.is_nan() && w.is_nan() => a < b,
                None => w.is_nan(),
            }
        };
        for (at, place) in scratch.iter_mut().enumerate() {
            *place = at as u32;
        }
        // A heap with the first on top.
        for at in (0..count / 2).rev() {
            sift(scratch, at, before);
        }
        let mut left = count;
        for (value, place) in values.iter_mut().zip(places) {
            *value = x[scratch[0] as usize];
            *place = scratch[0].into();
            left -= 1;
            scratch[0] = scratch[left];
            sift(&mut scratch[..left], 0, before);
        }
    }
}

/// Moves an element down until nothing below it comes before it.
fn sift(heap: &mut [u32], mut at: usize, before: impl Fn(u32, u32) -> bool) {
    loop {
        let mut child = 2 * at + 1;
        if child >= heap.len() {
            return;
        }
        if child + 1 < heap.len() && before(heap[child + 1], heap[child]) {
            child += 1;
        }
        if !before(heap[child], heap[at]) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn as_a_stable_sort_has_them() {
        for count in [1, 2, 3, 10, 63, 200] {
            let mut x: Vec<f32> = (0..2 * count).map(|i| (i * 37 % 29) as f32 - 9.5).collect();
            if count > 3 {
                (x[1], x[3], x[count]) = (f32::NAN, f32::NAN, f32::NEG_INFINITY);
            }
            for k in [0, 1, count / 2, count] {
                for largest in [true, false] {
                    let (mut values, mut places) = (vec![0.0; 2 * k], vec![0; 2 * k]);
                    top_k(&x, &mut values, &mut places, [count, k], largest, &mut vec![0; count]);
                    for (row, x) in x.chunks(count).enumerate() {
                        let mut sorted: Vec<usize> = (0..count).collect();
                        let key = |i: usize| {
                            if x[i].is_nan() {
                                f32::INFINITY
                            } else if largest {
                                -x[i]
                            } else {
                                x[i]
                            }
                        };
                        sorted.sort_by(|&a, &b| key(a).total_cmp(&key(b)));
                        for (i, &want) in sorted[..k].iter().enumerate() {
                            assert_eq!(places[row * k + i], want as i64, "{count} {k} {largest}");
                            assert_eq!(values[row * k + i].to_bits(), x[want].to_bits());
                        }
                    }
                }
            }
        }
    }
}
