//! Functions of one byte.

/// `y = table[x]`.
///
/// # Panics
/// If the lengths differ.
pub fn look_up(x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "lengths differ");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table[x as usize];
    }
}

/// `y = table[y]`.
pub fn look_up_in_place(y: &mut [u8], table: &[u8; 256]) {
    for y in y {
        *y = table[*y as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_byte_at_every_place() {
        let table: [u8; 256] = std::array::from_fn(|i| (i * 167 + 13) as u8);
        for n in (0..40).chain([256, 1000]) {
            let x: Vec<u8> = (0..n).map(|i| (i * 7 + n) as u8).collect();
            let expected: Vec<u8> = x.iter().map(|&x| table[x as usize]).collect();
            let mut y = vec![0; n];
            look_up(&x, &table, &mut y);
            assert_eq!(y, expected, "{n}");
            y.copy_from_slice(&x);
            look_up_in_place(&mut y, &table);
            assert_eq!(y, expected, "{n}");
        }
    }
}
