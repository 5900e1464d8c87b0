"""Ladders by title beside the fixed ladder of Apple's HLS authoring specification, as FFmpeg 9 makes
it in one command: bytes, CPU seconds, and VMAF of the best rung by FFmpeg's libvmaf.

    title.py [--preset fast|balanced] [--runs 5] [--share 0.6] [CLIP ...]

Each clip is done with the target that makes the best rung as good as FFmpeg's (tried again until it is,
within 0.3 VMAF), with that target and a budget of a share of FFmpeg's core-seconds, and with the default
target, above which nobody sees a difference. Core-seconds are medians. CLIPs are those of the corpus
unless named.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench import SV, ffmpeg9, measure

STEPS = [(1080, 5400), (720, 2600), (540, 1600), (432, 900), (360, 600), (240, 300)]
CLIPS = ["big_buck_bunny_trailer_720p24.mp4", "big_buck_bunny_720p25_5s.mp4", "screen_1080p30_silent_audio.mp4", "pedestrians_576p10.avi"]


def size_of(clip):
    out = subprocess.check_output(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height,sample_aspect_ratio", "-of", "json", clip]
    )
    stream = json.loads(out)["streams"][0]
    num, den = (int(n) or 1 for n in stream.get("sample_aspect_ratio", "1:1").split(":"))
    return round(stream["width"] * num / den / 2) * 2, stream["height"] // 2 * 2


def fixed(clip, out, preset):
    width, height = size_of(clip)
    rungs = [(round(width * h / height / 2) * 2, h, k) for h, k in STEPS if h <= height]
    split = f"[0:v]split={len(rungs)}" + "".join(f"[s{i}]" for i in range(len(rungs)))
    scale = ";".join(f"[s{i}]scale={w}:{h}:flags=bicubic,setsar=1[v{i}]" for i, (w, h, _) in enumerate(rungs))
    command = [ffmpeg9(), "-v", "error", "-y", "-i", clip, "-filter_complex", f"{split};{scale}"]
    for i, (_, _, k) in enumerate(rungs):
        command += ["-map", f"[v{i}]", "-c:v", "libx264", "-preset", preset, "-pix_fmt", "yuv420p", "-b:v", f"{k}k"]
        command += ["-maxrate", f"{k * 1500}", "-bufsize", f"{k * 3000}", "-force_key_frames", "expr:gte(t,n_forced*4)"]
        command += ["-sc_threshold", "0", "-an", str(out / f"{i}.mp4")]
    return ["sh", "-c", 'mkdir -p "$0" && exec "$@"', str(out), *map(str, command)]


def length_of(clip):
    out = subprocess.check_output(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", clip])
    return float(out)


def vmaf(clip, rung):
    width, height = size_of(clip)
    graph = f"[0:v]setpts=PTS-STARTPTS,scale={width}:{height}:flags=bicubic,setsar=1[a];[1:v]setpts=PTS-STARTPTS,scale={width}:{height}:flags=bicubic,setsar=1[b];[a][b]libvmaf"
    said = subprocess.run(
        [ffmpeg9(), "-hide_banner", "-nostats", "-i", rung, "-i", clip, "-lavfi", graph, "-f", "null", "-"], capture_output=True, text=True
    ).stderr
    return float(re.search(r"VMAF score: ([\d.]+)", said).group(1))


def ours(clip, work, preset, target, codec="h264", budget=None, runs=1):
    out = work / "title"
    command = [SV, "vod", clip, "--out", out, "--ladder", "title", "--target", f"{target:.2f}", "--preset", preset]
    command += ["--codec", codec, "--hls", "--json"] + (["--core-seconds", f"{budget:.1f}"] if budget else [])
    spent = []
    for _ in range(runs):
        user, system, _ = measure(command, out)
        spent.append(user + system)
    report = json.loads((out / "report.json").read_text())
    video = [r for r in report["renditions"] if r["kind"] == "video"]
    files = sorted((out / video[0]["name"]).iterdir(), key=lambda p: -1 if p.stem == "init" else int(p.stem))
    top = work / "top.mp4"
    top.write_bytes(b"".join(p.read_bytes() for p in files if p.suffix in (".mp4", ".m4s")))
    tried = sum(d["tried"][1] for d in report["decisions"])
    promised = report["decisions"][0]["places"][0]["vmaf"]
    return statistics.median(spent), sum(r["bytes"] for r in video), vmaf(clip, top), promised, len(video), tried


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--preset", default="balanced", choices=["fast", "balanced"])
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.6, help="of FFmpeg's core-seconds, for the rungs of the budgeted ladder")
    arguments = parser.parse_args()
    clips = arguments.clips or [Path(os.environ["STREAMVERSE_CORPUS"]) / "clips" / c for c in CLIPS]
    preset = {"fast": "veryfast", "balanced": "medium"}[arguments.preset]
    room = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    print(f"{'':34}{'rungs':>6}{'CPU s':>8}{'of it tried':>12}{'MB':>8}{'VMAF top':>10}{'promised':>10}{'CPU':>7}{'bytes':>7}")
    with tempfile.TemporaryDirectory(dir=room) as folder:
        work = Path(folder)
        for clip in clips:
            out = work / "fixed"
            spent = [sum(measure(fixed(clip, out, preset), out)[:2]) for _ in range(arguments.runs)]
            files = sorted(out.iterdir(), key=lambda p: int(p.stem))
            size = sum(p.stat().st_size for p in files)
            theirs = statistics.median(spent)
            minutes = length_of(clip) / 60
            top = vmaf(clip, files[0])
            print(f"{clip.stem[:22]:22} ffmpeg 9, fixed{len(files):>2}{theirs:>8.1f}{'':>12}{size / 1e6:>8.2f}{top:>10.2f}")
            equal = min(top, 99.0)
            for _ in range(3):
                got = ours(clip, work, arguments.preset, equal, arguments.codec)[2]
                if abs(got - top) <= 0.3:
                    break
                equal = min(max(equal + top - got, 50), 99.9)
            share = arguments.share * theirs / minutes
            for title, target, budget in (("as good", equal, None), ("budget", equal, share), ("default", 95.0, None)):
                try:
                    made = ours(clip, work, arguments.preset, target, arguments.codec, budget, arguments.runs)
                except SystemExit as error:
                    print(f"{'':22} ours, {title}: {error}")
                    continue
                cpu, bytes_, got, promised, rungs, tried = made
                print(
                    f"{'':22} ours, {title:8}{rungs:>4}{cpu:>8.1f}{tried:>12.1f}{bytes_ / 1e6:>8.2f}{got:>10.2f}{promised:>10.2f}{cpu / theirs:>7.2f}{bytes_ / size:>7.2f}",
                    flush=True,
                )


main()
