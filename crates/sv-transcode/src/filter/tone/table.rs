//! A function of three colour codes as a table, read by trilinear interpolation in whole numbers.
//!
//! Nodes are every 16 codes of 10 bits, so that neutral (512) is one and grey stays exactly grey.

/// Codes from node to node.
const STEP: u16 = 16;
/// Nodes along each axis.
const SIDE: usize = 1024 / STEP as usize + 1;
/// From a node to its neighbour along Cr and Cb; along Y it is 1.
const RED: usize = SIDE;
const BLUE: usize = SIDE * SIDE;
/// Bits behind the point of the values that are kept: 10-bit codes fit 15 bits then.
const FRACTION: u32 = 5;
/// The eight weights of a value add up to 1 shifted by this.
const WEIGHT: u32 = 3 * STEP.ilog2();

/// Three values for each three codes.
pub(super) struct Table {
    /// Y, Cb and Cr apart, because chroma is read once for four of luma. Each value lies beside that
    /// of the next node along Cr, so that the eight corners of a cell are two runs of four.
    values: [Vec<[i16; 2]>; 3],
}

/// Where in the table a pair of chroma codes is.
pub(super) struct Place {
    first: usize,
    /// Of the corners in the order in which they lie, luma aside.
    weights: [i16; 8],
}

/// Weights of the corners by where luma is between two nodes.
static LUMA: [[i16; 8]; STEP as usize] = {
    let mut all = [[0; 8]; STEP as usize];
    let mut high = 0;
    while high < STEP as i16 {
        let low = STEP as i16 - high;
        all[high as usize] = [low, low, high, high, low, low, high, high];
        high += 1;
    }
    all
};

impl Table {
    /// Of `function`, which takes and gives Y, Cb and Cr as codes of 10 bits.
    pub(super) fn of(function: impl Fn([f64; 3]) -> [f64; 3]) -> Self {
        let code = |node: usize| node as f64 * f64::from(STEP);
        let nodes = (0..SIDE * SIDE * SIDE).map(|node| {
            let out = function([code(node % SIDE), code(node / BLUE), code(node / RED % SIDE)]);
            // The cast saturates.
            out.map(|value| (value * f64::from(1 << FRACTION)).round() as i16)
        });
        let nodes: Vec<[i16; 3]> = nodes.collect();
        // The last along Cr have no next one, and are the first of no cell.
        let beside = nodes.iter().zip(nodes.iter().cycle().skip(RED));
        let values = [0, 1, 2].map(|c: usize| beside.clone().map(|(one, next)| [one[c], next[c]]).collect());
        Self { values }
    }

    /// Codes must be below 1024.
    #[inline]
    pub(super) fn place(cb: u16, cr: u16) -> Place {
        let (b, r) = ((cb % STEP) as i16, (cr % STEP) as i16);
        let (nb, nr) = (STEP as i16 - b, STEP as i16 - r);
        let first = usize::from(cb / STEP) * BLUE + usize::from(cr / STEP) * RED;
        let ([w, x], [y, z]) = ([nb * nr, nb * r], [b * nr, b * r]);
        Place { first, weights: [w, x, w, x, y, z, y, z] }
    }

    /// Component 0 to 2 at a luma code below 1024, with `bits` a sample.
    #[inline]
    pub(super) fn read<const COMPONENT: usize>(&self, place: &Place, y: u16, bits: u32) -> u16 {
        let at = place.first + usize::from(y / STEP);
        // One check for all; it never fails, because all codes are below 1024.
        let Some(cell) = self.values[COMPONENT].get(at..at + BLUE + 2) else { return 0 };
        let ([a, b], [c, d]) = ([cell[0], cell[1]], [cell[BLUE], cell[BLUE + 1]]);
        let corners = [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]];
        let luma = &LUMA[usize::from(y % STEP)];
        let mut sum = 0;
        for i in 0..8 {
            sum += i32::from(corners[i]) * i32::from(place.weights[i].wrapping_mul(luma[i]));
        }
        let shift = WEIGHT + FRACTION + 10 - bits;
        ((sum + (1 << (shift - 1))) >> shift) as u16
    }
}
