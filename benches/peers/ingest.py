#!/usr/bin/env python3
"""What a publisher of RTMP costs: our relay beside nginx-rtmp, in turns, on one core each with the load on another.

ingest.py RELAY LOAD FILM.flv [PUBLISHERS ...]     (RELAY and LOAD: the examples of sv-ingest, built for release)

Processor time is that of the server's threads as the kernel counts it; memory is its proportional set. A round in which
the load's tags were more than two pictures late is left out.
"""
import json, os, signal, socket, statistics, subprocess, sys, tempfile, time

relay, load, film = sys.argv[1:4]
counts = [int(n) for n in sys.argv[4:]] or [100, 200, 400]
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

def ours(batch):
    return lambda port, folder: [relay, f"127.0.0.1:{port}", "1"] + batch

servers = {"nginx-rtmp": nginx, "ours": ours([]), "ours, read every 20 ms": ours(["20"]), "ours, read every 33 ms": ours(["33"])}

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

def once(make, count):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = make(port, folder)
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
            sender = subprocess.Popen(["taskset", "-c", "1", load, f"127.0.0.1:{port}", str(count), str(seconds), film],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
        for name, make in servers.items():
            result = once(make, count)
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
