#!/usr/bin/env python3
"""What receiving SRT costs, and how much is lost for good: ours beside libsrt's srt-live-transmit, in turns, with the same sender.

srt.py [MBIT ...]      (`make bench-srt` builds the examples of sv-ingest that it runs; srt-live-transmit is Debian's srt-tools,
and the sender is FFmpeg with libsrt inside: FFMPEG, or the first one found that speaks SRT. With MANY=200 in the environment it
measures instead what each of so many costs who send 1 Mbit/s at once, to the gateway and, where `mediamtx` is on PATH, to MediaMTX.)

First, processor time of the receiver alone, as the kernel counts it for all of its threads, for each second of a stream of
so many Mbit/s, AES-128. `ours, the engine` writes what comes to a file as srt-live-transmit does; `ours, the gateway` takes it
apart into packets of pictures and sound as well. Then bytes that never came, through a relay that loses, delays and reorders
datagrams by dice of a seed.
"""
import heapq, json, os, random, re, select, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time

target = os.environ.get("CARGO_TARGET_DIR") or os.path.expanduser("~/.cache/streamverse/target")
receive, gateway, load = (os.path.join(target, "release/examples", name) for name in ("srt_receive", "srt_relay", "srt_load"))
rates = [float(n) for n in sys.argv[1:]] or [1, 10]
rounds, seconds = int(os.environ.get("ROUNDS", 3)), int(os.environ.get("SECONDS", 10))
ffmpeg = os.environ.get("FFMPEG", "ffmpeg")
folder = tempfile.TemporaryDirectory()
secret = "a passphrase of the bench"
secret_file = os.path.join(folder.name, "secret")
open(secret_file, "w").write(secret)

def film(mbit):
    path = os.path.join(folder.name, f"{mbit}.ts")
    bits = f"{int(mbit * 900)}k"
    subprocess.run([ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=30:duration={seconds + 2}",
                    "-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={seconds + 2}", "-vf", "noise=alls=40:allf=t", "-c:v", "libx264",
                    "-preset", "ultrafast", "-b:v", bits, "-maxrate", bits, "-bufsize", bits, "-g", "30", "-c:a", "aac", path], check=True)
    return path

def free():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def libsrt(port, latency, locked):
    lock = f"&passphrase={secret}" if locked else ""
    return ["srt-live-transmit", "-q", "-a:no", f"srt://127.0.0.1:{port}?mode=listener&latency={latency}{lock}", "file://con"]

def engine(port, latency, locked):
    return [receive, f"127.0.0.1:{port}"] + [secret_file] * locked

def relay(port, latency, locked):
    return [gateway, f"127.0.0.1:{port}"] + [secret_file] * locked

def busy(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
    return total / 1e9

def send(path, port, latency, locked):
    # FFmpeg's latency is in microseconds.
    lock = f"&pbkeylen=16&passphrase={secret}" if locked else ""
    url = f"srt://127.0.0.1:{port}?streamid=bench&pkt_size=1316&latency={latency * 1000}{lock}"
    return subprocess.Popen([ffmpeg, "-v", "error", "-re", "-i", path, "-c", "copy", "-f", "mpegts", url], stdin=subprocess.DEVNULL)

def started(command, latency, out):
    return subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, "LATENCY": str(latency)})

def cost(start, path):
    port = free()
    with open(os.devnull, "w") as out:
        server = started(start(port, 120, True), 120, out)
        try:
            time.sleep(0.3)
            sender = send(path, port, 120, True)
            time.sleep(1.5)
            a, begun = busy(server.pid), time.time()
            time.sleep(seconds - 2)
            used = (busy(server.pid) - a) / (time.time() - begun)
            sender.wait()
            return used
        finally:
            server.kill(); server.wait()

def mediamtx(port, latency, locked):
    path = os.path.join(folder.name, "mediamtx.yml")
    off = dict.fromkeys(("rtsp", "hls", "webrtc", "rtmp", "moq"), False)
    paths = {"all_others": {"srtPublishPassphrase": secret if locked else None}}
    json.dump({**off, "srtAddress": f"127.0.0.1:{port}", "logLevel": "error", "paths": paths}, open(path, "w"))
    return ["mediamtx", path]

def crowd(start, count, path, name):
    """What each of so many costs, in shares of a core."""
    port = free()
    server = subprocess.Popen(["taskset", "-c", "0"] + start(port, 120, True), stdout=subprocess.DEVNULL, env={**os.environ, "LATENCY": "120"})
    try:
        time.sleep(1)
        prefix = "publish:" if start is mediamtx else ""
        sender = subprocess.Popen(["taskset", "-c", "1", load, f"127.0.0.1:{port}", str(count), str(seconds), "1", path, secret_file],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PREFIX": prefix})
        assert "ready" in sender.stderr.readline()
        time.sleep(2)
        a, begun = busy(server.pid), time.time()
        time.sleep(seconds - 4)
        share = (busy(server.pid) - a) / (time.time() - begun)
        held = int(re.search(r"Pss:\s+(\d+)", open(f"/proc/{server.pid}/smaps_rollup").read())[1])
        told = json.loads(sender.communicate()[0])
        print(f"  {count} senders of 1 Mbit/s, {name}: {share * 100 / count:.4f} % of a core each, {held / count:.0f} kB each, {told}"
              f"{'' if told['latest_ms'] <= 67 else ' (the load was late, which flatters)'}", flush=True)
        return share * 100 / count
    finally:
        server.kill(); server.wait()

class Relay(threading.Thread):
    """Loses a share of datagrams in both directions, and delays the others by 15 to 20 ms, by dice of a seed."""
    def __init__(self, to, loss, seed):
        super().__init__(daemon=True)
        self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); self.inside.bind(("127.0.0.1", 0))
        self.outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); self.outside.connect(("127.0.0.1", to))
        self.port = self.inside.getsockname()[1]
        self.loss, self.dice, self.over, self.sent = loss, [random.Random(seed), random.Random(seed + 1)], False, {}
        self.start()

    def run(self):
        flying, client, count = [], None, 0
        while not self.over:
            wait = max(0, flying[0][0] - time.time()) if flying else 0.1
            for s in select.select([self.inside, self.outside], [], [], wait)[0]:
                try:
                    data, at = s.recvfrom(2048)
                except OSError:
                    continue
                there = s is self.inside
                client = at if there else client
                if there and data[0] < 0x80:
                    self.sent.setdefault(data[:4], (time.time(), data[16:]))
                dice = self.dice[0 if there else 1]
                lost, late = dice.random() < self.loss, 0.015 + dice.random() * 0.005
                # Handshakes go through: they are no part of what is measured.
                if not lost or data[:2] == b"\x80\0":
                    count += 1
                    heapq.heappush(flying, (time.time() + late, count, there, data))
            while flying and flying[0][0] <= time.time():
                _, _, there, data = heapq.heappop(flying)
                try:
                    self.outside.send(data) if there else self.inside.sendto(data, client)
                except OSError:
                    pass

def lost(start, path, loss, latency, seed):
    port = free()
    out = os.path.join(folder.name, "out.ts")
    with open(out, "w") as file:
        server = started(start(port, latency, False), latency, file)
        try:
            time.sleep(0.3)
            between = Relay(port, loss, seed)
            send(path, between.port, latency, False).wait()
            time.sleep(latency / 1000 + 0.7)
            between.over = True
        finally:
            server.send_signal(signal.SIGTERM); time.sleep(0.2); server.kill(); server.wait()
    # In the order in which they were sent first. Who sends doesn't wait for the end to be heard: the last second doesn't count.
    all = list(between.sent.values())
    came, at, sent, missing = open(out, "rb").read(), 0, 0, 0
    for when, payload in all:
        counts = when < all[-1][0] - 1
        sent += len(payload) * counts
        if came.startswith(payload, at):
            at += len(payload)
        else:
            missing += len(payload) * counts
    return missing, sent

if many := int(os.environ.get("MANY", 0)):
    path, shares = film(1), {"ours": []}
    if shutil.which("mediamtx"):
        shares["MediaMTX"] = []
    for _ in range(rounds):
        for name, all in shares.items():
            all.append(crowd(relay if name == "ours" else mediamtx, many, path, name))
    for name, all in shares.items():
        print(f"{many} senders of 1 Mbit/s, {name}: {statistics.median(all):.4f} % of a core each")
    sys.exit()

servers = {"libsrt": libsrt, "ours, the engine": engine, "ours, the gateway": relay}
for mbit in rates if not os.environ.get("LOSS_ONLY") else []:
    path, results = film(mbit), {name: [] for name in servers}
    real = os.path.getsize(path) * 8 / 1e6 / (seconds + 2)
    for _ in range(rounds):
        for name, start in servers.items():
            used = cost(start, path)
            results[name].append(used / real)
            print(f"  {real:.1f} Mbit/s, {name}: {used * 100:.2f} % of a core, {used / real * 1000:.3f} ms of a core's second for each Mbit/s", flush=True)
    base = statistics.median(results["libsrt"])
    for name, all in results.items():
        print(f"{real:.1f} Mbit/s, {name}: {statistics.median(all) * 1000:.3f} ms each Mbit/s, {statistics.median(all) / base:.2f} of libsrt")

path = film(2)
for loss, latency in ((0.05, 120), (0.10, 300), (0.20, 300)):
    total = {"libsrt": 0, "ours, the engine": 0}
    for seed in range(rounds):
        for name in total:
            missing, sent = lost(servers[name], path, loss, latency, seed)
            total[name] += missing
            print(f"  {loss:.0%} loss, {latency} ms, seed {seed}, {name}: {missing} of {sent} bytes never came", flush=True)
    print(f"{loss:.0%} loss, {latency} ms: of {sent * rounds} bytes " + ", ".join(f"{name} {n} bytes" for name, n in total.items()))
