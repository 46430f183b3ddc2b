# SPDX-License-Identifier: Apache-2.0
"""Sends a message with Python's smtplib.LMTP to HOST:PORT, or to a socket when that is a path.

SERVER FILE FROM TO
"""

import smtplib
import sys

server, path, sender, recipient = sys.argv[1:]
host, port = (server, 0) if server.startswith("/") else server.rsplit(":", 1)
with smtplib.LMTP(host, int(port), local_hostname="client.test") as s:
    refused = s.sendmail(sender, [recipient], open(path, "rb").read())
    code, text = s.quit()
    sys.exit(str(refused) if refused or code != 221 else 0)
