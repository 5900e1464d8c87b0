"""What seams between chunks cost: mean VMAF of the best rung, in one go and in chunks.

    seams.py [--chunk 8s] [CLIP ...]

libvmaf is that of FFmpeg 9.0.2 (imageio-ffmpeg); `sv` is the one that `make build` leaves.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from bench import SV, ffmpeg9

CLIPS = ["big_buck_bunny_trailer_720p24.mp4", "city_405p25.mpg", "pedestrians_576p10.avi"]


def vod(clip, out, more):
    subprocess.run([SV, "vod", clip, "--out", out, *more], check=True, capture_output=True)
    best = json.loads((out / "report.json").read_text())["renditions"][0]
    folder = out / best["name"]
    segments = sorted(folder.glob("*.m4s"), key=lambda path: int(path.stem))
    joined = out / "best.mp4"
    joined.write_bytes(b"".join(path.read_bytes() for path in [folder / "init.mp4", *segments]))
    return joined, best["width"], best["height"]


def vmaf(clip, joined, width, height, log):
    graph = (
        f"[0:v]setpts=PTS-STARTPTS[a];[1:v]scale={width}:{height}:flags=bicubic,setpts=PTS-STARTPTS[b];"
        f"[a][b]libvmaf=n_threads=2:log_fmt=json:log_path={log}"
    )
    command = [ffmpeg9(), "-v", "error", "-i", joined, "-i", clip, "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, check=True)
    return json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--chunk", default="8s")
    arguments = parser.parse_args()
    clips = arguments.clips or [Path(os.environ["STREAMVERSE_CORPUS"]) / "clips" / clip for clip in CLIPS]
    print(f"{'':36}{'one go':>9}{'chunks':>9}{'costs':>8}{'bytes':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for number, clip in enumerate(clips):
            work = Path(folder)
            one, *size = vod(clip, work / f"one{number}", [])
            cut, *_ = vod(clip, work / f"cut{number}", ["--workers", "2", "--chunk", arguments.chunk])
            whole, chunks = (vmaf(clip, joined, *size, work / "log.json") for joined in (one, cut))
            ratio = cut.stat().st_size / one.stat().st_size
            print(f"{clip.name:36}{whole:>9.3f}{chunks:>9.3f}{whole - chunks:>8.3f}{ratio:>8.3f}", flush=True)


main()
