# SPDX-License-Identifier: Apache-2.0
"""Sends a message with Python's smtplib.

send    HOST:PORT FILE FROM TO...   sends FILE, a whole message with CRLF line ends
utf8    HOST:PORT FILE FROM TO...   the same with SMTPUTF8 (RFC 6531)
compose HOST:PORT FILE FROM TO...   composes a message with email.message, sends it, and writes it to FILE
"""

import email.message
import email.policy
import smtplib
import sys

mode, server, path, sender, *recipients = sys.argv[1:]
host, port = server.rsplit(":", 1)


def composed():
    m = email.message.EmailMessage(policy=email.policy.SMTP)
    m["From"], m["To"], m["Subject"] = sender, ", ".join(recipients), "Grüße aus Python, composed with a subject that must be folded"
    m["Message-ID"], m["Date"] = "<python@here.test>", "Tue, 01 Jan 2030 09:00:00 +0000"
    m.set_content("Grüße\n.dot\n\nlast line\n")
    m.add_alternative("<p>Grüße</p>\n", subtype="html")
    m.add_attachment(bytes(range(256)) * 64, maintype="application", subtype="octet-stream", filename="data.bin")
    return m.as_bytes()


try:
    with smtplib.SMTP(host, int(port), local_hostname="client.test", timeout=60) as s:
        if mode == "compose":
            content = composed()
            open(path, "wb").write(content)
        else:
            content = open(path, "rb").read()
        options = ["SMTPUTF8", "BODY=8BITMIME"] if mode == "utf8" else []
        refused = s.sendmail(sender, recipients, content, mail_options=options)
        sys.exit(str(refused) if refused else 0)
except smtplib.SMTPResponseException as e:
    sys.exit(f"{e.smtp_code} {e.smtp_error.decode()}")
