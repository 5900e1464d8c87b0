//! Receipts and estimates, through the command.

use crate::kit;

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_run_ends_with_a_receipt_and_an_estimate_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 3) else { return };
    let prices = dir.path().join("prices.toml");
    std::fs::write(&prices, "currency = \"EUR\"\ncore_hour = 3600.0\ngigabyte_month = 1000.0\n").unwrap();
    let temporary = dir.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();

    let out = dir.path().join("out");
    let mut command = kit::sv();
    command.arg("vod").arg(&source).arg("--out").arg(&out).args(["--preset", "fastest"]);
    assert!(command.env("SV_PRICES", &prices).output().unwrap().status.success());
    let report = json(&std::fs::read(out.join("report.json")).unwrap());
    let receipt = &report["receipt"];
    let stored: u64 =
        report["renditions"].as_array().unwrap().iter().map(|r| r["bytes"].as_u64().unwrap()).sum();
    assert_eq!(receipt["bytes"].as_u64(), Some(stored));
    let cores = receipt["core_seconds"].as_f64().unwrap();
    assert!(cores > 0.0 && receipt["device_seconds"].as_f64() == Some(0.0));
    // An hour of a core costs as many euros as it has seconds.
    assert!((receipt["price"]["work"].as_f64().unwrap() - cores).abs() < 1e-6);
    assert!((receipt["price"]["storage_month"].as_f64().unwrap() - stored as f64 / 1e6).abs() < 1e-6);
    assert_eq!(receipt["price"]["currency"], "EUR");

    // A short film is simply done, so its bytes are those of the run.
    let mut command = kit::sv();
    command.arg("estimate").arg(&source).args(["--preset", "fastest", "--json"]).env("TMPDIR", &temporary);
    let output = command.current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let estimate = json(&output.stdout);
    assert_eq!(estimate["bytes"].as_u64(), Some(stored));
    assert_eq!(estimate["price"], serde_json::Value::Null);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!dir.path().join("estimate").exists());

    std::fs::write(&prices, "core_hour = -1.0\n").unwrap();
    let refused = kit::sv().arg("estimate").arg(&source).arg("--prices").arg(&prices).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[test]
fn runs_beside_each_other_pay_for_themselves_alone() {
    use streamverse::vod::{self, Preset, Request};
    let dir = tempfile::tempdir().unwrap();
    let Some(source) = kit::source(dir.path(), 4) else { return };
    let run = |name: &str| {
        let mut request = Request::new(&source, dir.path().join(name));
        request.preset = Preset::Fast;
        let report = vod::start(request).unwrap().1.run().unwrap();
        report.receipt.unwrap().core_seconds
    };
    let alone = run("alone");
    let both = std::thread::scope(|scope| {
        let runs = ["one", "two"].map(|name| scope.spawn(move || run(name)));
        runs.map(|run| run.join().unwrap())
    });
    for each in both {
        // If they shared one clock, each would cost twice as much.
        assert!(each < 1.6 * alone && each > 0.5 * alone, "{both:?}, and {alone} alone");
    }
}

#[test]
fn a_long_film_is_judged_by_parts_of_it() {
    let dir = tempfile::tempdir().unwrap();
    // A minute of the same thing over and over: every part costs the same bytes.
    let pictures = "testsrc2=s=160x90:r=10:d=4,loop=loop=-1:size=40,trim=duration=70";
    let args = ["-f", "lavfi", "-i", pictures, "-c:v", "libx264", "-g", "40", "-pix_fmt", "yuv420p"];
    let Some(source) = kit::make(dir.path(), "long.mp4", &args) else { return };
    let run = |command: &mut std::process::Command| {
        let output = command.args(["--preset", "fastest"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    let estimate = json(&run(kit::sv().arg("estimate").arg(&source).arg("--json")).stdout);
    let out = dir.path().join("out");
    run(kit::sv().arg("vod").arg(&source).arg("--out").arg(&out));
    let receipt = json(&std::fs::read(out.join("report.json")).unwrap())["receipt"].clone();
    let bytes = |v: &serde_json::Value| v["bytes"].as_f64().unwrap();
    let ratio = bytes(&estimate) / bytes(&receipt);
    assert!((0.85..1.15).contains(&ratio), "{estimate} for {receipt}");
}
