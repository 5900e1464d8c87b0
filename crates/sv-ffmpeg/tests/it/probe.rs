//! What the linked FFmpeg says of itself.

use sv_core::Codec;
use sv_ffmpeg::probe;

#[test]
fn it_knows_itself() {
    assert!(
        probe::version().starts_with(|c: char| c.is_ascii_digit() || c == 'n' || c == 'N'),
        "{}",
        probe::version()
    );
    assert!(probe::license().contains("GPL"), "{}", probe::license());
    let native = |list: &[probe::Coder], codec| list.iter().any(|c| c.codec == codec && !c.hardware);
    // These two are FFmpeg's own and in every build.
    assert!(native(&probe::encoders(), Codec::Aac));
    assert!(native(&probe::decoders(), Codec::H264));
    assert!(!probe::has_encoder("libnonsense"));
    for device in probe::devices() {
        assert!(!device.name.is_empty());
        if let Some(problem) = device.problem {
            assert!(!problem.is_empty(), "{} without a reason", device.name);
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let track = sv_testkit::video::Pattern::new(64, 64, sv_core::Ratio::ONE).track(1);
    let Err(error) = sv_ffmpeg::Decoder::open(&track, Some("libnonsense"), Default::default()) else {
        panic!("found")
    };
    assert_eq!(error.kind(), sv_core::ErrorKind::Unsupported);
    assert!(error.to_string().contains("libnonsense"), "{error}");
}
