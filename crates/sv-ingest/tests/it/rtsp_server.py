"""A GStreamer server of RTSP that plays one film to whoever knows the password: script FILE METHOD. Prints its port."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
film, method = sys.argv[1:]
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
auth = GstRtspServer.RTSPAuth()
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "user")
if method == "digest":
    auth.set_supported_methods(gi.repository.GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest("me", "p@ss", token)
else:
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("me", "p@ss"), token)
server.set_auth(auth)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( filesrc location={film} ! qtdemux name=d d. ! queue ! h264parse ! rtph264pay name=pay0 pt=96 "
    "d. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)
factory.add_role_from_structure(Gst.Structure.from_string(
    "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true")[0])
server.get_mount_points().add_factory("/film", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
