//! Who may send what: keys with rules, and tokens that OpenSSL has signed.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use sv_core::Codec;
use sv_ingest::gateway::{Grant, Keys, Notice, Rules};

use crate::kit::{Listening, make, run};

fn film(ffmpeg: &Path, folder: &Path, bits: &str) -> std::path::PathBuf {
    let noise = "nullsrc=size=320x180:rate=30:duration=4,geq=random(1)*255:128:128";
    let arguments = ["-f", "lavfi", "-i", noise, "-f", "lavfi", "-i", "sine=duration=4"];
    let coding =
        ["-c:v", "libx264", "-preset", "ultrafast", "-b:v", bits, "-minrate", bits, "-maxrate", bits];
    let rest = ["-bufsize", bits, "-c:a", "aac"];
    make(ffmpeg, folder, "film.mp4", &[&arguments[..], &coding, &rest].concat())
}

/// Why who sends with that grant is sent away, if it is.
fn sent_away(rules: Rules) -> Option<String> {
    let ffmpeg = sv_testkit::tool("ffmpeg")?;
    let folder = tempfile::tempdir().unwrap();
    let film = film(&ffmpeg, folder.path(), "4M");
    let mut grant = Grant::new("studio");
    grant.rules = rules;
    let listening = Listening::new(Keys::new().grant(Sha256::digest("right").into(), grant));
    run(&ffmpeg, &["-i", film.to_str().unwrap(), "-c", "copy", "-f", "flv", &listening.url("right")]);
    listening.notices.iter().find_map(|notice| match notice {
        Notice::Ended { reason, .. } | Notice::Refused { reason, .. } => Some(reason),
        _ => None,
    })
}

#[test]
fn who_sends_is_held_to_the_rules_of_its_key() {
    if sv_testkit::tool("ffmpeg").is_none() {
        return;
    }
    let rules = Rules::default;
    let only = |codecs: [Codec; 2]| {
        let mut rules = rules();
        rules.codecs = codecs.into();
        rules
    };
    let mut of = vec![
        (rules(), "the publisher has stopped"),
        (only([Codec::H264, Codec::Aac]), "the publisher has stopped"),
        (only([Codec::Hevc, Codec::Aac]), "h264 may not be sent with this key: send hevc or aac"),
    ];
    let mut slow = rules();
    slow.bitrate = Some(500_000);
    of.push((slow, "it has more than the 500 kbit/s that its key allows"));
    let mut over = rules();
    over.until = Some(UNIX_EPOCH + Duration::from_secs(1_795_392_000));
    of.push((over, "the time for this stream is over"));
    for (rules, reason) in of {
        assert_eq!(sent_away(rules.clone()).as_deref(), Some(reason), "{rules:?}");
    }
}

/// What OpenSSL says of `input`.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("openssl").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "openssl {arguments:?}");
    out.stdout
}

fn base64url(bytes: &[u8]) -> String {
    let text = String::from_utf8(openssl(&["base64", "-A"], bytes)).unwrap();
    text.trim_end_matches(['=', '\n']).replace('+', "-").replace('/', "_")
}

fn token(algorithm: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\"}}");
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signature = base64url(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[cfg(feature = "jwt")]
#[test]
fn tokens_say_who_may_send_what() {
    use sv_ingest::gateway::{Admission as _, Answer, Ask, Tokens, Verdict};

    if sv_testkit::tool("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, more) in [("rsa", vec!["-algorithm", "RSA"]), ("ed", vec!["-algorithm", "ED25519"])] {
        openssl(&[&["genpkey", "-out", &path(name)], &more[..]].concat(), b"");
        openssl(&["pkey", "-in", &path(name), "-pubout", "-out", &path(&format!("{name}.pub"))], b"");
    }
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(&[&["genpkey", "-out", &path("ec")], &curve[..]].concat(), b"");
    openssl(&["pkey", "-in", &path("ec"), "-pubout", "-out", &path("ec.pub")], b"");
    // OpenSSL says both numbers in DER, each with as many bytes as it needs.
    let ec = |data: &[u8]| {
        let der = openssl(&["dgst", "-sha256", "-sign", &path("ec"), "-binary"], data);
        let (r, s) = der[4..].split_at(der[3].into());
        [r, &s[2..]].into_iter().flat_map(|n| [&[0; 32][..], n].concat().split_off(n.len())).collect()
    };
    let secret = "0123456789abcdef0123456789abcdef";
    let hmac = |data: &[u8]| openssl(&["dgst", "-sha256", "-hmac", secret, "-binary"], data);
    let rsa = |data: &[u8]| openssl(&["dgst", "-sha256", "-sign", &path("rsa"), "-binary"], data);
    let ed = |data: &[u8]| {
        std::fs::write(path("data"), data).unwrap();
        openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &path("ed"), "-in", &path("data")], b"")
    };
    let pem = |name: &str| std::fs::read(path(&format!("{name}.pub"))).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let tokens = Tokens::secret(secret.as_bytes()).unwrap();
    let tokens =
        ["rsa", "ed", "ec"].iter().fold(tokens, |all, key| all.or(Tokens::public(&pem(key)).unwrap()));

    let decide = |tokens: &Tokens, publish: bool, name: &str| {
        let (say, said) = channel();
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let ask = Ask::new(publish, "rtmp", "live", name, peer);
        tokens.decide(ask, Answer::new(move |verdict| say.send(verdict).unwrap()));
        said.recv().unwrap()
    };
    let send = |name: &str| decide(&tokens, true, name);
    let refused = |reason: &str| Verdict::refuse(reason);

    let good = format!(r#"{{"stream":"studio","exp":{}}}"#, now + 60);
    let all = [
        token("HS256", &good, hmac),
        token("RS256", &good, rsa),
        token("EdDSA", &good, ed),
        token("ES256", &good, ec),
    ];
    for token in all {
        assert_eq!(send(&token), Verdict::allow("studio"));
        assert_eq!(send(&format!("studio?token={token}")), Verdict::allow("studio"));
        assert_eq!(send(&format!("other?token={token}")), refused("the token is for another stream"));
        assert_eq!(send(&format!("{token}A")), refused("the token was signed by somebody else"));
    }
    // The secret of one way is no key of another, and no signature is no signature.
    let public = String::from_utf8(pem("rsa")).unwrap();
    let confused = |data: &[u8]| openssl(&["dgst", "-sha256", "-hmac", &public, "-binary"], data);
    assert!(matches!(send(&token("HS256", &good, confused)), Verdict::Refuse { .. }));
    assert!(matches!(send(&token("none", &good, |_| Vec::new())), Verdict::Refuse { .. }));

    let says = |claims: String| send(&token("HS256", &claims, hmac));
    assert_eq!(says(format!(r#"{{"stream":"a","exp":{}}}"#, now - 60)), refused("the token is too old"));
    assert_eq!(says(r#"{"stream":"a"}"#.into()), refused("the token has no \"exp\""));
    let early = format!(r#"{{"stream":"a","exp":{0},"nbf":{0}}}"#, now + 60);
    assert_eq!(says(early), refused("the token is not good yet"));
    let rules = format!(
        r#"{{"stream":"a","exp":{},"rank":1,"only":{{"codecs":["av1","opus"],"bitrate":5000000,"hours":["mon-fri 08:00-18:00"]}}}}"#,
        now + 60
    );
    let Verdict::Allow(grant) = says(rules) else { panic!("it was refused") };
    assert_eq!((grant.rank, grant.rules.bitrate), (1, Some(5_000_000)));
    assert_eq!(grant.rules.codecs, [Codec::Av1, Codec::Opus]);
    assert_eq!(grant.rules.hours, ["mon-fri 08:00-18:00".parse().unwrap()]);

    // Who plays needs one where that is wanted, and one for playing can't send.
    let play = token("HS256", &format!(r#"{{"stream":"a","publish":false,"exp":{}}}"#, now + 60), hmac);
    assert_eq!(send(&play), refused("the token is only for playing"));
    assert_eq!(decide(&tokens, false, "a"), Verdict::allow("a"));
    let private = tokens.clone().private();
    assert!(matches!(decide(&private, false, "a"), Verdict::Refuse { .. }));
    assert_eq!(decide(&private, false, &format!("a?token={play}")), Verdict::allow("a"));

    let ours = tokens.clone().audience("eu-1");
    let with = |audience: &str| {
        let claims = format!(r#"{{"stream":"a","aud":"{audience}","exp":{}}}"#, now + 60);
        decide(&ours, true, &token("HS256", &claims, hmac))
    };
    assert_eq!(with("eu-1"), Verdict::allow("a"));
    assert_eq!(with("us-1"), refused("the token was made for somebody else"));
    assert!(matches!(decide(&ours, true, &token("HS256", &good, hmac)), Verdict::Refuse { .. }));
    assert!(!format!("{ours:?}").contains("0123"));
    assert!(Tokens::secret(b"short").is_err() && Tokens::public(b"no key").is_err());
}
