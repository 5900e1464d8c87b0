//! Compares raw 8-bit 4:2:0 files picture by picture: `compare WIDTHxHEIGHT RATE ORIGINAL COPY`.

use sv_transcode::metric::{Judge, Luma, Shown};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, size, rate, original, copy] = &args[..] else {
        return Err("usage: compare WIDTHxHEIGHT RATE ORIGINAL COPY".into());
    };
    let (w, h) = size.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
    let (width, height): (usize, usize) = (w.parse()?, h.parse()?);
    let picture = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let (original, copy) = (std::fs::read(original)?, std::fs::read(copy)?);
    let luma = |bytes: &[u8]| Luma {
        width,
        height,
        samples: bytes[..width * height].iter().map(|&s| f32::from(s)).collect(),
    };
    let mut judge = Judge::new(rate.parse()?);
    let originals: Vec<Luma> = original.chunks_exact(picture).map(luma).collect();
    for (i, (a, b)) in originals.iter().zip(copy.chunks_exact(picture)).enumerate() {
        let before = i.checked_sub(1).and_then(|i| originals.get(i));
        judge.add(Shown { before, original: a, after: originals.get(i + 1), copy: &luma(b) })?;
    }
    let v = judge.verdict().ok_or("there is no picture")?;
    println!(
        "VMAF {:.3}, XPSNR {:.3} dB, ADM {:.4}, VIF {:.4?}, motion {:.3}",
        v.vmaf, v.xpsnr, v.adm, v.vif, v.motion
    );
    Ok(())
}
