#!/usr/bin/env python3
"""What a live ladder costs: `sv gateway --ladder` beside one FFmpeg that makes the same rungs, in turns, from the same sender.

live_ladder.py         (`make bench-live-ladder` builds sv. ROUNDS and SECONDS say how often and how long; FFMPEG names another FFmpeg.)

Processor time of the receiver from its start to its end, as the kernel counts it, for each second of 720p at 30 pictures a
second: taken by RTMP, passed through as the top rung, with 480p, 360p and 240p made below by x264 veryfast on one thread
each, to the same factor and caps, key frames where the source has them; HLS segments of 2 s on the disk. Ours writes DASH
too, parts of half a second, and syncs each segment; FFmpeg doesn't. `no rungs` is each without the ladder.
"""
import glob, json, os, signal, socket, statistics, subprocess, sys, tempfile, time

target = os.environ.get("CARGO_TARGET_DIR") or os.path.expanduser("~/.cache/streamverse/target")
sv = os.environ.get("SV") or os.path.join(target, "release/sv")
ffmpeg = os.environ.get("FFMPEG", "ffmpeg")
rounds, seconds = int(os.environ.get("ROUNDS", 3)), int(os.environ.get("SECONDS", 20))
folder = tempfile.TemporaryDirectory()

def film():
    path = os.path.join(folder.name, "film.mp4")
    subprocess.run([ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=30:duration={seconds}",
                    "-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={seconds}", "-vf", "noise=alls=12:allf=t,format=yuv420p", "-c:v", "libx264",
                    "-preset", "veryfast", "-b:v", "4M", "-maxrate", "4M", "-bufsize", "8M", "-g", "60", "-bf", "2", "-c:a", "aac", path], check=True)
    return path

def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def ours(port, out, ladder):
    more = ["--ladder", ladder] if ladder else []
    return [sv, "gateway", "--json", "--linger", "2s", "--out", out, "--rtmp", f"127.0.0.1:{port}", "--listen", f"127.0.0.1:{free()}", "--no-watch"] + more

def theirs(rungs):
    def command(port, out, ladder):
        # Sound once for each rung, as its HLS muxer wants it.
        maps, coding, streams = ["-map", "0:v", "-map", "0:a"], ["-c:v:0", "copy"], "v:0,a:0"
        for n, rung in enumerate(rungs if ladder else [], 1):
            maps += ["-map", "0:v", "-map", "0:a"]
            coding += [f"-c:v:{n}", "libx264", f"-preset:v:{n}", "veryfast", f"-crf:v:{n}", str(rung["crf"]), f"-threads:v:{n}", "1",
                       f"-maxrate:v:{n}", str(rung["max"]), f"-bufsize:v:{n}", str(2 * rung["max"]), f"-sc_threshold:v:{n}", "0",
                       f"-g:v:{n}", "100000", f"-force_key_frames:v:{n}", "source", f"-filter:v:{n}", f"scale={rung['width']}:{rung['height']}:flags=bicubic"]
            streams += f" v:{n},a:{n}"
        return [ffmpeg, "-v", "error", "-y", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/live/bench"] + maps + ["-c:a", "copy"] + coding + [
            "-f", "hls", "-hls_time", "2", "-hls_segment_type", "fmp4", "-hls_flags", "independent_segments+delete_segments", "-hls_list_size", "30",
            "-var_stream_map", streams, "-master_pl_name", "master.m3u8", os.path.join(out, "%v", "index.m3u8")]
    return command

def cost(command, path, ladder):
    port = free()
    out = tempfile.mkdtemp(dir=folder.name)
    server = subprocess.Popen(command(port, out, ladder), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    time.sleep(1)
    subprocess.run([ffmpeg, "-v", "error", "-re", "-i", path, "-c", "copy", "-f", "flv", f"rtmp://127.0.0.1:{port}/live/bench"], stdin=subprocess.DEVNULL)
    # FFmpeg ends with its input; ours has made everything then.
    for line in server.stdout:
        if "live.ladder.dropped" in line:
            sys.exit(f"the machine is too busy for a comparison: {line}")
        if "live.presentation.ended" in line:
            server.send_signal(signal.SIGINT)
    _, _, usage = os.wait4(server.pid, 0)
    server.returncode = 0
    # A sender that closes makes FFmpeg forget what it hasn't read yet: what counts is what was made.
    made = min(length(path) for path in glob.glob(os.path.join(out, "**/*.m3u8"), recursive=True) if "EXTINF" in open(path).read())
    assert made > seconds / 2, f"only {made} s are there"
    return (usage.ru_utime + usage.ru_stime) / made

def length(path):
    return sum(float(line[8:].split(",")[0]) for line in open(path) if line.startswith("#EXTINF:"))

# What ours decides for this film, so that both make the same.
rungs = [dict(name=f"{h}p", width=w, height=h, codec="h264", bitrate=b, max=b * 3 // 2, crf=22.0)
         for w, h, b in [(854, 480, 1_200_000), (640, 360, 600_000), (426, 240, 300_000)]]
ladder = os.path.join(folder.name, "ladder.toml")
with open(ladder, "w") as file:
    for rung in rungs:
        file.write("[[rungs]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in
                   {**{k: rung[k] for k in ("name", "width", "height", "codec", "bitrate", "crf")}, "max_bitrate": rung["max"]}.items()) + "\n")
path = film()
kinds = {"ours": ours, "FFmpeg": theirs(rungs)}
results = {}
for n in range(rounds):
    for name, command in kinds.items():
        for what in (None, ladder):
            results.setdefault((name, bool(what)), []).append(cost(command, path, what))
            print(f"round {n + 1}: {name}{'' if what else ', no rungs'}: {results[name, bool(what)][-1]:.3f}", file=sys.stderr)
median = {key: statistics.median(values) for key, values in results.items()}
print("| processor seconds for each second | ours | FFmpeg | ratio |\n|---|---|---|---|")
for what, told in ((True, "three rungs"), (False, "no rungs")):
    a, b = median["ours", what], median["FFmpeg", what]
    print(f"| {told} | {a:.3f} | {b:.3f} | {a / b:.2f} |")
