//! Where things go: which part of the picture, scaled to what, and which part of that ends where in the input. The
//! arithmetic is that of PIL and torchvision, down to how they round, because half a pixel shifts every sample.

use super::spec::Crop;

/// A rectangle in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Rect {
    fn whole(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, width, height }
    }
}

/// How a picture becomes an input: cut out `source`, scale it to `scaled`, keep `window` of that and put it at
/// (`left`, `top`) of a canvas filled with `fill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// Part of the picture.
    pub source: Rect,
    /// Width and height that `source` is scaled to.
    pub scaled: (usize, usize),
    /// Part of the scaled picture. Only this part is ever computed.
    pub window: Rect,
    /// Column of the canvas for the window.
    pub left: usize,
    /// Row of the canvas for the window.
    pub top: usize,
    /// Red, green and blue of the canvas around the window.
    pub fill: [u8; 3],
}

impl Placement {
    /// `source` scaled to cover the canvas.
    fn covering(source: Rect, out_width: usize, out_height: usize) -> Self {
        Self {
            source,
            scaled: (out_width, out_height),
            window: Rect::whole(out_width, out_height),
            left: 0,
            top: 0,
            fill: [0; 3],
        }
    }
}

/// The placement of a picture of `width` x `height` in an input of `out_width` x `out_height`; none is zero.
pub(super) fn place(crop: &Crop, width: usize, height: usize, out_width: usize, out_height: usize) -> Placement {
    match *crop {
        Crop::Stretch {} => Placement::covering(Rect::whole(width, height), out_width, out_height),
        Crop::Center { ratio } => {
            let shorter = width.min(height);
            let side = ((shorter as f64 * ratio) as usize).clamp(1, shorter);
            let square = Rect { left: (width - side) / 2, top: (height - side) / 2, width: side, height: side };
            Placement::covering(square, out_width, out_height)
        }
        Crop::ResizeThenCenter { resize } => resize_then_center(resize, width, height, out_width, out_height),
        Crop::Contain { color } => contain(color, width, height, out_width, out_height),
    }
}

fn resize_then_center(resize: u32, width: usize, height: usize, out_width: usize, out_height: usize) -> Placement {
    // In f64 as Python's `/`: the product is below 2^28 and exact, so the quotient is correctly rounded.
    let longer = |long: usize, short: usize| (f64::from(resize) * long as f64 / short as f64) as usize;
    let resize = resize as usize;
    let scaled = if width <= height { (resize, longer(height, width)) } else { (longer(width, height), resize) };
    let (window_left, window_width, left) = centre(scaled.0, out_width);
    let (window_top, window_height, top) = centre(scaled.1, out_height);
    Placement {
        source: Rect::whole(width, height),
        scaled,
        window: Rect { left: window_left, top: window_top, width: window_width, height: window_height },
        left,
        top,
        fill: [0; 3],
    }
}

/// Centre crop or centre padding along one side: where the window starts, how long it is, and where it goes.
fn centre(scaled: usize, out: usize) -> (usize, usize, usize) {
    if scaled >= out { (half_rounded_to_even(scaled - out), out, 0) } else { (0, scaled, (out - scaled) / 2) }
}

fn contain(color: [u8; 3], width: usize, height: usize, out_width: usize, out_height: usize) -> Placement {
    let (w, h) = (width as f64, height as f64);
    let (out_w, out_h) = (out_width as f64, out_height as f64);
    let ratio = w / h;
    let out_ratio = out_w / out_h;
    // A sliver would round to nothing (and PIL to an empty picture): it keeps one line.
    let scaled = if ratio > out_ratio {
        (out_width, ((h / w * out_w).round_ties_even() as usize).clamp(1, out_height))
    } else if ratio < out_ratio {
        (((w / h * out_h).round_ties_even() as usize).clamp(1, out_width), out_height)
    } else {
        (out_width, out_height)
    };
    Placement {
        source: Rect::whole(width, height),
        scaled,
        window: Rect::whole(scaled.0, scaled.1),
        left: half_rounded_to_even(out_width - scaled.0),
        top: half_rounded_to_even(out_height - scaled.1),
        fill: color,
    }
}

/// Python's `round(n / 2)`.
fn half_rounded_to_even(n: usize) -> usize {
    n / 2 + usize::from(n % 4 == 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rect(left: usize, top: usize, width: usize, height: usize) -> Rect {
        Rect { left, top, width, height }
    }

    #[test]
    fn half_rounds_as_python_does() {
        let expected = [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6];
        for (n, half) in expected.into_iter().enumerate() {
            assert_eq!(half_rounded_to_even(n), half, "round({n} / 2)");
        }
    }

    #[test]
    fn centre_squares() {
        let cases = [
            ((640, 480), 0.875, rect(110, 30, 420, 420)),
            ((480, 640), 1.0, rect(0, 80, 480, 480)),
            ((333, 101), 0.875, rect(122, 6, 88, 88)),
            ((1, 1), 0.875, rect(0, 0, 1, 1)),
            ((5, 3), 0.01, rect(2, 1, 1, 1)),
            ((1, 32_767), 1.0, rect(0, 16_383, 1, 1)),
        ];
        for ((w, h), ratio, source) in cases {
            let placement = place(&Crop::Center { ratio }, w, h, 224, 192);
            assert_eq!(placement.source, source, "{w}x{h} {ratio}");
            assert_eq!((placement.scaled, placement.window), ((224, 192), rect(0, 0, 224, 192)));
        }
    }

    #[test]
    fn short_side_then_centre() {
        let cases = [
            // picture, resize, input, scaled, window, left, top
            ((640, 480), 256, (224, 224), (341, 256), rect(58, 16, 224, 224), 0, 0),
            ((480, 640), 256, (224, 224), (256, 341), rect(16, 58, 224, 224), 0, 0),
            ((500, 500), 256, (224, 224), (256, 256), rect(16, 16, 224, 224), 0, 0),
            ((100, 300), 10, (7, 9), (10, 30), rect(2, 10, 7, 9), 0, 0),
            ((100, 300), 10, (15, 40), (10, 30), rect(0, 0, 10, 30), 2, 5),
            ((100, 300), 10, (15, 9), (10, 30), rect(0, 10, 10, 9), 2, 0),
            ((1, 32_767), 256, (224, 224), (256, 8_388_352), rect(16, 4_194_064, 224, 224), 0, 0),
            ((32_767, 1), 8192, (1, 1), (268_427_264, 8192), rect(134_213_632, 4096, 1, 1), 0, 0),
        ];
        for ((w, h), resize, (ow, oh), scaled, window, left, top) in cases {
            let placement = place(&Crop::ResizeThenCenter { resize }, w, h, ow, oh);
            let expected = Placement { source: rect(0, 0, w, h), scaled, window, left, top, fill: [0; 3] };
            assert_eq!(placement, expected, "{w}x{h} -> {resize} -> {ow}x{oh}");
        }
    }

    #[test]
    fn letterbox() {
        let cases = [
            // picture, input, scaled, left, top
            ((640, 480), (224, 224), (224, 168), 0, 28),
            ((480, 640), (224, 224), (168, 224), 28, 0),
            ((10, 10), (7, 7), (7, 7), 0, 0),
            ((20, 10), (4, 2), (4, 2), 0, 0),
            ((3, 2), (3, 7), (3, 2), 0, 2),
            ((32_767, 1), (224, 224), (224, 1), 0, 112),
            ((1, 32_767), (224, 224), (1, 224), 112, 0),
        ];
        for ((w, h), (ow, oh), scaled, left, top) in cases {
            let placement = place(&Crop::Contain { color: [4, 5, 6] }, w, h, ow, oh);
            assert_eq!((placement.scaled, placement.left, placement.top), (scaled, left, top), "{w}x{h} in {ow}x{oh}");
            assert_eq!((placement.source, placement.fill), (rect(0, 0, w, h), [4, 5, 6]));
            assert_eq!(placement.window, rect(0, 0, scaled.0, scaled.1));
        }
    }

    #[test]
    fn everything_stays_inside() {
        let sides = [1, 2, 3, 7, 100, 333, 32_767];
        let crops = [
            Crop::Center { ratio: 0.875 },
            Crop::Center { ratio: 1e-9 },
            Crop::ResizeThenCenter { resize: 1 },
            Crop::ResizeThenCenter { resize: 8192 },
            Crop::Stretch {},
            Crop::Contain { color: [0; 3] },
        ];
        for crop in &crops {
            for w in sides {
                for h in sides {
                    for (ow, oh) in [(1, 1), (224, 224), (8192, 1), (1, 8192), (13, 17)] {
                        let p = place(crop, w, h, ow, oh);
                        let case = format!("{crop:?} {w}x{h} -> {ow}x{oh}: {p:?}");
                        assert!(p.source.width > 0 && p.source.left + p.source.width <= w, "{case}");
                        assert!(p.source.height > 0 && p.source.top + p.source.height <= h, "{case}");
                        assert!(p.window.width > 0 && p.window.left + p.window.width <= p.scaled.0, "{case}");
                        assert!(p.window.height > 0 && p.window.top + p.window.height <= p.scaled.1, "{case}");
                        assert!(p.left + p.window.width <= ow && p.top + p.window.height <= oh, "{case}");
                    }
                }
            }
        }
    }
}
