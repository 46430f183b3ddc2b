# SPDX-License-Identifier: Apache-2.0
"""Logs in with a bearer token by Python's smtplib, and sends a message.

usage: token_send.py HOST:PORT OAUTHBEARER|XOAUTH2 USER TOKEN
"""
import smtplib
import sys

server, mechanism, user, token = sys.argv[1:]
host, port = server.rsplit(":", 1)


def response(challenge=None):
    if challenge:  # what is wrong; the server wants an answer before it says so
        return "\x01"
    if mechanism == "XOAUTH2":
        return f"user={user}\x01auth=Bearer {token}\x01\x01"
    return f"n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"


try:
    with smtplib.SMTP(host, int(port), local_hostname="client.postroad.test", timeout=60) as s:
        s.ehlo()
        s.auth(mechanism, response)
        s.sendmail(user, ["bob@postroad.test"], b"Subject: by a token\r\n\r\nhello\r\n")
except smtplib.SMTPException as e:
    sys.exit(repr(e))
