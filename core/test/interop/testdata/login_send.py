# SPDX-License-Identifier: Apache-2.0
"""Logs in and sends a message, with Python's smtplib or with aiosmtplib.

LIBRARY starttls|implicit HOST:PORT USER PASSWORD FROM TO
"""

import asyncio
import smtplib
import ssl
import sys

library, mode, server, user, password, sender, recipient = sys.argv[1:]
host, port = server.rsplit(":", 1)
text = f"From: {sender}\r\nTo: {recipient}\r\nSubject: {library} {mode}\r\n\r\nhello\r\n"
nobody = ssl.create_default_context()
nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE


def with_smtplib():
    make = smtplib.SMTP_SSL if mode == "implicit" else smtplib.SMTP
    more = {"context": nobody} if mode == "implicit" else {}
    with make(host, int(port), local_hostname="client.test", timeout=60, **more) as s:
        if mode == "starttls":
            s.starttls(context=nobody)
        s.login(user, password)
        s.sendmail(sender, [recipient], text)


async def with_aiosmtplib():
    import aiosmtplib

    await aiosmtplib.send(
        text, sender=sender, recipients=[recipient], hostname=host, port=int(port), username=user, password=password,
        use_tls=mode == "implicit", start_tls=mode == "starttls", tls_context=nobody, local_hostname="client.test",
    )


try:
    if library == "smtplib":
        with_smtplib()
    else:
        asyncio.run(with_aiosmtplib())
except Exception as e:
    sys.exit(f"{type(e).__name__}: {e}")
