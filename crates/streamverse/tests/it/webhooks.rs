//! Webhooks of `sv gateway`, taken and judged by Python's own HTTP server and HMAC.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::gateway::{Gateway, film};

/// Says who may send (`/may`), takes what happens (`/event`, the first one at the second try), and prints each line as
/// JSON with whether its signature is right.
const SERVER: &str = r#"
import base64, hashlib, hmac, http.server, json, sys
secret = base64.b64decode(sys.argv[1])
tries = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        ident, at = self.headers['webhook-id'], self.headers['webhook-timestamp']
        mac = hmac.new(secret, f'{ident}.{at}.'.encode() + body, hashlib.sha256).digest()
        right = hmac.compare_digest('v1,' + base64.b64encode(mac).decode(), self.headers['webhook-signature'])
        said = json.loads(body)
        status, answer = 200, {}
        if self.path == '/may':
            name = said['data']['name']
            if name == 'good': answer = {'stream': 'studio', 'only': {'codecs': ['h264', 'aac']}}
            elif name == 'narrow': answer = {'stream': 'studio', 'only': {'codecs': ['av1']}}
            else: status, answer = 403, {'reason': 'nobody knows you'}
        else:
            tries[ident] = tries.get(ident, 0) + 1
            if len(tries) == 1 and tries[ident] == 1: status = 503
        print(json.dumps({'path': self.path, 'right': right, 'status': status, 'said': said}), flush=True)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('content-length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Listener {
    child: Child,
    url: String,
    lines: Receiver<Value>,
}

impl Listener {
    fn start() -> Option<Self> {
        let python = sv_testkit::tool("python3")?;
        let mut child =
            Command::new(python).args(["-c", SERVER, SECRET]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let (say, told) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = say.send(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { child, url: format!("http://127.0.0.1:{port}"), lines: told })
    }

    /// The next thing that is told there, rightly signed.
    fn next(&self, path: &str) -> Value {
        loop {
            let told = self.lines.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
            assert_eq!(told["right"], true, "{told}");
            if told["path"] == path {
                return told;
            }
        }
    }

    fn gateway(&self, dir: &Path) -> Gateway {
        let secret = dir.join("secret");
        std::fs::write(&secret, format!("whsec_{SECRET}\n")).unwrap();
        let (may, event) = (format!("{}/may", self.url), format!("{}/event", self.url));
        let secret = secret.to_str().unwrap();
        let options =
            ["--admission", &may, "--webhook", &event, "--webhook-secret", secret, "--linger", "2s"];
        Gateway::start(&dir.join("out"), &options)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_url_decides_who_sends_and_hears_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let (Some(film), Some(listener)) = (film(dir.path(), 2), Listener::start()) else { return };
    let mut gateway = listener.gateway(dir.path());
    assert!(!gateway.send(&film, "bad", &[]).wait().unwrap().success());
    let asked = listener.next("/may");
    let data = &asked["said"]["data"];
    assert_eq!(
        (&data["publish"], &data["protocol"], &data["app"]),
        (&true.into(), &"rtmp".into(), &"live".into())
    );
    assert_eq!(gateway.until("live.refused")["reason"], "nobody knows you");
    // What failed is told again, before anything else is.
    let first = listener.next("/event");
    assert_eq!((&first["status"], &first["said"]["type"]), (&503.into(), &"live.refused".into()));
    let again = listener.next("/event");
    assert_eq!((&again["status"], &again["said"]), (&200.into(), &first["said"]));

    // Whatever who is granted one codec sends, another one ends it.
    let _ = gateway.send(&film, "narrow", &[]).wait();
    let ended = gateway.until("live.stream.ended");
    assert_eq!(ended["reason"], "h264 may not be sent with this key: send av1");
    assert!(gateway.send(&film, "good", &[]).wait().unwrap().success());
    gateway.until("live.presentation.ended");
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "live.presentation.ended") {
        let said = listener.next("/event")["said"].clone();
        if said["type"] == "live.stream.started" {
            assert_eq!(
                (&said["data"]["stream"], &said["data"]["protocol"]),
                (&"studio".into(), &"rtmp".into())
            );
        }
        names.push(said["type"].as_str().unwrap().to_owned());
    }
    let of = |name: &str| names.iter().filter(|n| *n == name).count();
    assert_eq!((of("live.stream.started"), of("live.stream.ended")), (2, 2), "{names:?}");
    assert_eq!(of("live.presentation.started"), 1, "{names:?}");
}
