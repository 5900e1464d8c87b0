"""Sends pictures and sound by WHIP with aiortc: script URL PICTURES. Prints how many pictures were encoded."""

import asyncio
import fractions
import sys

import aiohttp
import av
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack


class Pictures(MediaStreamTrack):
    kind = "video"

    def __init__(self, count):
        super().__init__()
        self.count, self.sent, self.over = count, 0, asyncio.Event()
        self.begun = None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.begun = self.begun or loop.time()
        await asyncio.sleep(max(0, self.begun + self.sent / 30 - loop.time()))
        if self.sent == self.count:
            self.over.set()
            await asyncio.Event().wait()
        frame = av.VideoFrame(320, 240, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self.sent * 4 % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = self.sent * 3000, fractions.Fraction(1, 90000)
        self.sent += 1
        return frame


async def main(url, count):
    connection = RTCPeerConnection()
    pictures = Pictures(count)
    connection.addTransceiver(pictures, direction="sendonly")
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    async with aiohttp.ClientSession() as http:
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=connection.localDescription.sdp, headers=headers) as response:
            assert response.status == 201, await response.text()
            session = url.rsplit("/", 1)[0] + response.headers["Location"]
            answer = RTCSessionDescription(sdp=await response.text(), type="answer")
        await connection.setRemoteDescription(answer)
        # The next picture is asked for when the one before has been sent.
        await pictures.over.wait()
        async with http.delete(session) as response:
            assert response.status == 200
    print(pictures.sent)
    await connection.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
