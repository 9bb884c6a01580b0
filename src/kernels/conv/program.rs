//! Weights for an instruction whose sums of two products saturate at 16 bits: [`crate::kernels::isa::Dot::Maddubs`].
//!
//! An activation is at most 255, so sums of products fit into 16 bits as long as neither the positive nor the negative
//! weights among them add up to more than 128. Four steps of k, a *quad*, are multiplied at a time, which gives two sums of two
//! products for each column. Where two weights are too large together, a part of them goes to an extra quad, of four of
//! the columns: `(w0 - m0, w1 - m1)` and `(m0, m1)`. What remains is small in most columns, so that two quads can often
//! be added up in 16 bits before they are widened, which saves a multiplication. Which two is found by trying.
//!
//! The panel becomes a list of what to multiply with what, a *program*:
//!
//! | bytes | |
//! |---|---|
//! | 16 | how many doubles, singles, left and right extras: `u32` each |
//! | 16 | eight `i16` of 1, by which sums are widened |
//! | 4 each | where the activations of each quad are in a row, in bytes: two of each double, one of each other; padded to 32 |
//! | 64 each | doubles: the weights of two quads, `[2][8][4]` |
//! | 32 each | singles: `[8][4]` |
//! | 16 each | left extras, for the first four columns: `[4][4]`; then the right ones, for the other four; padded to 32 |

#[cfg(not(target_arch = "wasm32"))]
use super::scalar as arch;
#[cfg(target_arch = "wasm32")]
use super::simd_maddubs as arch;
use super::weights::{Block, PANEL};

/// Bytes before the offsets.
pub(super) const HEADER: usize = 32;
/// Weights of one sign may add up to so much: `128 * 255 < 2^15`.
const MOST: u8 = 128;
/// Sums of two products for each sign, of each column of a quad.
pub(super) const LANES: usize = 2 * PANEL;
/// Quads that are tried as the second of a double.
const TRIES: usize = 64;

/// What the positive weights of each lane add up to, and the negative ones; 255 for more.
pub(super) type Load = [u8; 2 * LANES];

/// Relative cost of the quads of a double, of a single quad, and of an extra one; measured on a processor without VNNI,
/// where sums of pairs of 16-bit numbers cost 1.
const COSTS: [f32; 3] = [0.7, 0.78, 0.41];

/// Programs of all panels.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// One after the other.
    pub blocks: Vec<Block>,
    /// Block at which each begins, and behind the last.
    pub starts: Vec<u32>,
}

impl Programs {
    /// Of panels of `steps` blocks each; nothing if they would cost more than `worth` parts of pairs, or be too large.
    pub fn new(packed: &[Block], steps: usize, worth: f32) -> Option<Self> {
        if steps == 0 || steps > u32::MAX as usize / 4 {
            return None;
        }
        let mut programs = Self { blocks: Vec::with_capacity(packed.len() + packed.len() / 4), starts: vec![0] };
        let most = worth * packed.len() as f32;
        let mut cost = 0.0;
        let mut plan = Plan::default();
        for panel in packed.chunks_exact(steps) {
            plan.make(panel);
            cost += plan.cost();
            // Costs only add up: what is not worth it needs no further panels.
            if cost > most {
                return None;
            }
            plan.write(&mut programs.blocks);
            programs.starts.push(programs.blocks.len().try_into().ok()?);
        }
        programs.blocks.shrink_to_fit();
        Some(programs)
    }
}

/// Part of the weights of the quad `quad`.
#[derive(Clone, Copy)]
struct Item<const N: usize> {
    quad: u32,
    weights: [i8; N],
}

/// The program of one panel, before it is laid out.
#[derive(Default)]
struct Plan {
    /// All quads, the heaviest first.
    main: Vec<Item<{ 4 * PANEL }>>,
    loads: Vec<Load>,
    order: Vec<u32>,
    used: Vec<bool>,
    doubles: Vec<[u32; 2]>,
    singles: Vec<u32>,
    extras: [Vec<Item<{ 2 * PANEL }>>; 2],
}

impl Plan {
    fn make(&mut self, panel: &[Block]) {
        self.main.clear();
        self.loads.clear();
        self.extras.iter_mut().for_each(Vec::clear);
        for (quad, Block(weights)) in panel.iter().enumerate() {
            let mut weights = *weights;
            let mut load = arch::lane_sums(&weights);
            if arch::largest(&load) > MOST {
                let extra = lighten(&mut weights);
                load = arch::lane_sums(&weights);
                for (half, list) in extra.as_chunks::<{ 2 * PANEL }>().0.iter().zip(&mut self.extras) {
                    if *half != [0; 2 * PANEL] {
                        list.push(Item { quad: quad as u32, weights: *half });
                    }
                }
            }
            self.main.push(Item { quad: quad as u32, weights });
            self.loads.push(load);
        }
        self.find_doubles();
    }

    /// Finds two of which no lane is too heavy together: for each quad the heaviest other one.
    fn find_doubles(&mut self) {
        let Self { loads, order, used, doubles, singles, .. } = self;
        let count = loads.len();
        // Sorted by counting.
        let mut places = [0u32; MOST as usize + 2];
        for load in loads.iter() {
            places[(MOST - arch::largest(load)) as usize + 1] += 1;
        }
        for i in 1..places.len() {
            places[i] += places[i - 1];
        }
        order.clear();
        order.resize(count, 0);
        for (i, load) in loads.iter().enumerate() {
            let place = &mut places[(MOST - arch::largest(load)) as usize];
            order[*place as usize] = i as u32;
            *place += 1;
        }
        used.clear();
        used.resize(count, false);
        doubles.clear();
        singles.clear();
        for at in 0..count {
            if used[at] {
                continue;
            }
            let first = order[at];
            let fits = |&other: &usize| arch::fit(&loads[first as usize], &loads[order[other] as usize], MOST);
            match (at + 1..count).filter(|&other| !used[other]).take(TRIES).find(fits) {
                Some(other) => {
                    used[other] = true;
                    doubles.push([first, order[other]]);
                }
                None => singles.push(first),
            }
        }
    }

    /// In units of a quad of pairs.
    fn cost(&self) -> f32 {
        let [left, right] = [0, 1].map(|half| self.extras[half].len());
        COSTS[0] * 2.0 * self.doubles.len() as f32
            + COSTS[1] * self.singles.len() as f32
            + COSTS[2] * (left + right) as f32
    }

    fn write(&self, to: &mut Vec<Block>) {
        let Self { main, doubles, singles, extras: [left, right], .. } = self;
        let mut writer = Writer { to, filled: size_of::<Block>() };
        let counts = [doubles.len(), singles.len(), left.len(), right.len()];
        counts.iter().for_each(|&count| writer.put((count as u32).to_le_bytes()));
        (0..PANEL).for_each(|_| writer.put(1i16.to_le_bytes()));
        let all = doubles.as_flattened().iter().chain(singles);
        let quads = all.clone().map(|&i| main[i as usize].quad);
        let quads = quads.chain(left.iter().chain(right).map(|extra| extra.quad));
        quads.for_each(|quad| writer.put((4 * quad).to_le_bytes()));
        writer.pad();
        all.for_each(|&i| writer.put_signed(&main[i as usize].weights));
        left.iter().chain(right).for_each(|extra| writer.put_signed(&extra.weights));
    }
}

/// Appends to blocks.
struct Writer<'a> {
    to: &'a mut Vec<Block>,
    /// Bytes of the last one.
    filled: usize,
}

impl Writer<'_> {
    /// `N` bytes, a divisor of a block's size to which what was put before is a multiple.
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.put_signed(&bytes.map(|byte| byte as i8));
    }

    fn put_signed<const N: usize>(&mut self, bytes: &[i8; N]) {
        if self.filled == size_of::<Block>() {
            self.to.push(Block([0; 4 * PANEL]));
            self.filled = 0;
        }
        if let Some(block) = self.to.last_mut() {
            block.0[self.filled..][..N].copy_from_slice(bytes);
        }
        self.filled += N;
    }

    /// What follows begins a block.
    fn pad(&mut self) {
        self.filled = size_of::<Block>();
    }
}

/// Takes as much from the lanes that are too heavy as one extra quad can hold.
fn lighten(weights: &mut [i8; 4 * PANEL]) -> [i8; 4 * PANEL] {
    let mut extra = [0; 4 * PANEL];
    for (pair, extra) in weights.as_chunks_mut::<2>().0.iter_mut().zip(extra.as_chunks_mut::<2>().0) {
        let [a, b] = pair.map(i16::from);
        // Of one sign: two of different signs are not too heavy.
        let rest = (a + b).abs() - MOST as i16;
        if rest > 0 && (a < 0) == (b < 0) {
            let sign = a.signum();
            let first = rest.min(a.abs());
            let keep = [sign * first, sign * (rest - first)];
            *extra = [(a - keep[0]) as i8, (b - keep[1]) as i8];
            *pair = keep.map(|w| w as i8);
        }
    }
    extra
}

#[cfg(test)]
mod tests {
    use super::super::{tests::Random, weights::WORTH};
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn word(bytes: &[i8], at: usize) -> usize {
        u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i] as u8)) as usize
    }

    /// Checks a program against its panel: all weights are there, and no sum can leave 16 bits.
    fn check(panel: &[Block], program: &[Block]) {
        let bytes: Vec<i8> = program.iter().flat_map(|block| block.0).collect();
        let [doubles, singles, left, right] = [0, 4, 8, 12].map(|at| word(&bytes, at));
        assert_eq!(2 * doubles + singles, panel.len());
        let count = 2 * doubles + singles + left + right;
        let offset = |i: usize| word(&bytes, HEADER + 4 * i);
        let weights = &bytes[HEADER + (4 * count).next_multiple_of(32)..];
        let mut whole = vec![[0i32; 4 * PANEL]; panel.len()];
        let mut place = 0;
        let mut take = |i: usize, columns: std::ops::Range<usize>| {
            let part = &weights[place..][..4 * columns.len()];
            place += part.len();
            for (n, &w) in part.iter().enumerate() {
                whole[offset(i) / 4][4 * columns.start + n] += w as i32;
            }
            part.to_vec()
        };
        let sums = |quads: &[Vec<i8>]| {
            for lane in 0..quads[0].len() / 2 {
                let pair = || quads.iter().flat_map(|quad| [quad[2 * lane] as i32, quad[2 * lane + 1] as i32]);
                assert!(pair().map(|w| w.max(0) * 255).sum::<i32>() <= i16::MAX as i32);
                assert!(pair().map(|w| w.min(0) * 255).sum::<i32>() >= i16::MIN as i32);
            }
        };
        for i in 0..doubles {
            sums(&[take(2 * i, 0..8), take(2 * i + 1, 0..8)]);
        }
        (2 * doubles..2 * doubles + singles).for_each(|i| sums(&[take(i, 0..8)]));
        (count - left - right..count - right).for_each(|i| sums(&[take(i, 0..4)]));
        (count - right..count).for_each(|i| sums(&[take(i, 4..8)]));
        assert!(weights[place..].len() < 32, "nothing else");
        for (whole, Block(original)) in whole.iter().zip(panel) {
            assert_eq!(*whole, original.map(i32::from));
        }
    }

    fn programs(panel: &[Block]) -> Vec<Block> {
        let mut plan = Plan::default();
        plan.make(panel);
        let mut program = Vec::new();
        plan.write(&mut program);
        program
    }

    #[test]
    fn programs_hold_all_weights_and_no_sum_saturates() {
        let mut random = Random(7);
        for steps in [1, 2, 3, 8, 33, 200] {
            for bits in 1..=8 {
                let mut panel = vec![Block([0; 4 * PANEL]); steps];
                let weights = panel.iter_mut().flat_map(|block| &mut block.0);
                weights.for_each(|w| *w = random.weight() >> (8 - bits));
                check(&panel, &programs(&panel));
            }
        }
        for w in [-128, -127, -65, -64, 64, 65, 127] {
            let panel = vec![Block([w; 4 * PANEL]); 5];
            check(&panel, &programs(&panel));
        }
    }

    #[test]
    fn every_pair_of_weights_can_be_taken_apart() {
        for a in i8::MIN..=i8::MAX {
            for b in i8::MIN..=i8::MAX {
                let mut weights = [0; 4 * PANEL];
                weights[6..8].copy_from_slice(&[a, b]);
                let extra = lighten(&mut weights);
                assert!(
                    arch::largest(&arch::lane_sums(&weights)) <= MOST
                        && arch::largest(&arch::lane_sums(&extra)) <= MOST,
                    "{a} {b}"
                );
                assert_eq!([6, 7].map(|i| weights[i] as i32 + extra[i] as i32), [a as i32, b as i32]);
            }
        }
    }

    #[test]
    fn only_what_pays_is_used() {
        let of = |w: i8| Programs::new(&vec![Block([w; 4 * PANEL]); 24], 12, WORTH);
        assert_eq!(of(20).map(|programs| programs.starts.len()), Some(3));
        // Everything is there twice.
        assert!(of(127).is_none() && of(-128).is_none());
        assert!(Programs::new(&[], 0, WORTH).is_none());
    }
}
