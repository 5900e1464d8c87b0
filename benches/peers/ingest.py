#!/usr/bin/env python3
"""What a publisher of RTMP costs: our relay beside nginx-rtmp and MediaMTX, in turns, on one core each with the load on another.

ingest.py [PUBLISHERS ...]     (`make bench-ingest` builds the examples of sv-ingest that it runs; nginx-rtmp is Debian's
libnginx-mod-rtmp; MediaMTX is `mediamtx` on PATH, or left out). Up to 1000 publishers send 1 Mbit/s each, 30 pictures a second and AAC; more send 38 kbit/s.

Processor time is that of the server's threads as the kernel counts it; memory is its proportional set. A round in which
the load's tags were more than two pictures late is left out.
"""
import json, os, resource, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

target = os.environ.get("CARGO_TARGET_DIR") or os.path.expanduser("~/.cache/streamverse/target")
relay, load = (os.path.join(target, "release/examples", name) for name in ("relay", "rtmp_load"))
counts = [int(n) for n in sys.argv[1:]] or [100, 200, 400]
media = tempfile.TemporaryDirectory()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
rounds, seconds = int(os.environ.get("ROUNDS", 3)), int(os.environ.get("SECONDS", 12))

NGINX = """load_module {module};
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 20000; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""

def nginx(port, folder):
    module = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
    if not os.path.exists(module):
        return None
    path = os.path.join(folder, "conf")
    open(path, "w").write(NGINX.format(module=module, folder=folder, port=port))
    return ["nginx", "-c", path, "-p", folder]

def mediamtx(port, folder):
    program = shutil.which("mediamtx")
    if not program:
        return None
    path = os.path.join(folder, "mediamtx.yml")
    off = dict.fromkeys(("rtsp", "hls", "webrtc", "srt", "moq"), False)
    # What is JSON is YAML.
    json.dump({**off, "rtmpAddress": f"127.0.0.1:{port}", "logLevel": "error", "paths": {"all_others": {}}}, open(path, "w"))
    return [program, path]

def make(name, size, rate, bits, sound):
    path = os.path.join(media.name, name)
    inputs = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration=10"]
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", str(2 * rate)]
    coding += ["-b:v", bits, "-maxrate", bits, "-bufsize", bits]
    if sound:
        inputs += ["-f", "lavfi", "-i", "anoisesrc=duration=10:sample_rate=48000"]
        coding += ["-c:a", "aac", "-ac", "2", "-b:a", "96k"]
    subprocess.run(["ffmpeg", "-v", "error", "-y"] + inputs + coding + [path], check=True)
    return path

large = make("large.flv", "640x360", 30, "904k", True)
small = make("small.flv", "160x90", 5, "36k", False)

def ours(batch):
    return lambda port, folder: [relay, f"127.0.0.1:{port}", "1"] + batch

servers = {"nginx-rtmp": nginx, "MediaMTX": mediamtx, "ours": ours([]), "ours, read every 33 ms": ours(["33"]), "ours, read every 50 ms": ours(["50"])}

def children(pid):
    out = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{task}/children").read().split():
            out += children(int(child))
    return out

def busy(pid):
    total = 0
    for p in children(pid):
        for task in os.listdir(f"/proc/{p}/task"):
            total += int(open(f"/proc/{p}/task/{task}/schedstat").read().split()[0])
    return total / 1e9

def memory(pid):
    total = 0
    for p in children(pid):
        for line in open(f"/proc/{p}/smaps_rollup"):
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total

def once(start, count, watch=False):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = start(port, folder)
        if command is None:
            return None
        server = subprocess.Popen(["taskset", "-c", "0"] + command, stdout=subprocess.DEVNULL, env={**os.environ, "QUIET": "1"})
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port)).close(); break
                except OSError:
                    time.sleep(0.05)
            empty = memory(server.pid)
            sender = subprocess.Popen(["taskset", "-c", "1", load, f"127.0.0.1:{port}", str(count), str(seconds), small if count > 1000 else large],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      env={**os.environ, **({"WATCH": "1"} if watch else {})})
            assert "ready" in sender.stderr.readline()
            time.sleep(1)
            a, begun = busy(server.pid), time.time()
            time.sleep(seconds - 3)
            share = (busy(server.pid) - a) / (time.time() - begun)
            held = memory(server.pid) - empty
            told = json.loads(sender.communicate()[0])
            return dict(share=share * 100 / count, kb=held / count, **told)
        finally:
            server.send_signal(signal.SIGTERM); server.wait()

for count in counts:
    results = {name: [] for name in servers}
    for _ in range(rounds):
        for name, start in servers.items():
            result = once(start, count)
            if result is None:
                print(f"{name}: not installed"); continue
            valid = result["failed"] == 0 and result["latest_ms"] <= 67
            print(f"  {count} {name}: {result['share']:.4f} % of a core each, {result['kb']:.0f} kB, latest {result['latest_ms']} ms, "
                  f"{result['alive']} alive{'' if valid else '  (left out)'}", flush=True)
            if valid:
                results[name].append(result)
    base = [r["share"] for r in results["nginx-rtmp"]]
    for name, all in results.items():
        if all and base:
            share = statistics.median(r["share"] for r in all)
            print(f"{count} publishers, {name}: {share:.4f} % of a core each ({share / statistics.median(base):.2f} of nginx-rtmp), "
                  f"{statistics.median(r['kb'] for r in all):.0f} kB each")

# How long a tag is on its way, from the last byte in to the last byte out, where somebody plays one of 200.
for name in ("nginx-rtmp", "ours"):
    ways = [r["way_ms"] for _ in range(rounds) if (r := once(servers[name], 200, watch=True)) and r["latest_ms"] <= 67]
    if ways:
        print(f"200 publishers, {name}: a tag is {statistics.median(w['p50'] for w in ways):.2f} ms on its way, "
              f"one of a hundred {statistics.median(w['p99'] for w in ways):.2f} ms")
