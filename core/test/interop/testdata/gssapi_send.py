# SPDX-License-Identifier: Apache-2.0
"""Logs in by GSSAPI with the ticket at hand, in one of several ways, and sends a message.

usage: gssapi_send.py HOST:PORT mutual|oneway|imap|bindings|bound|layer|replay [AUTHZID]

bound begins TLS 1.2 and binds the login to it by tls-unique; bindings does so to no connection.
"""
import base64
import smtplib
import ssl
import sys

import gssapi
from gssapi.raw import ChannelBindings

server, how, *rest = sys.argv[1:]
authzid = rest[0] if rest else ""
host, port = server.rsplit(":", 1)


def context(sock):
    service = "imap" if how == "imap" else "smtp"
    flags = [gssapi.RequirementFlag.integrity]
    if how != "oneway":
        flags.append(gssapi.RequirementFlag.mutual_authentication)
    bindings = None
    if how == "bindings":
        bindings = ChannelBindings(application_data=b"tls-exporter:" + bytes(32))
    if how == "bound":
        bindings = ChannelBindings(application_data=b"tls-unique:" + sock.get_channel_binding("tls-unique"))
    return gssapi.SecurityContext(
        name=gssapi.Name(service + "@localhost", gssapi.NameType.hostbased_service),
        mech=gssapi.MechType.kerberos, flags=flags, usage="initiate", channel_bindings=bindings)


def connect():
    s = smtplib.SMTP(host, int(port), timeout=30)
    s.ehlo("client.postroad.test")
    if how == "bound":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode, tls.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
        s.starttls(context=tls)
        s.ehlo("client.postroad.test")
    assert "GSSAPI" in s.esmtp_features["auth"].split(), s.esmtp_features
    return s


def told(code, text):
    if code != 334:
        sys.exit(f"{code} {text.decode()}")
    return base64.b64decode(text)


def send(s, token):
    return s.docmd(base64.b64encode(token).decode())


def login(s, ctx, token):
    challenge = told(*s.docmd("AUTH", "GSSAPI"))
    assert challenge == b"", challenge
    challenge = told(*send(s, token))
    if not ctx.complete:
        assert not ctx.step(challenge)
        challenge = told(*s.docmd(""))
    assert ctx.complete
    offer = ctx.unwrap(challenge).message
    assert offer == b"\x01\x00\x00\x00", offer
    choice = b"\x04\x00\xff\xff" if how == "layer" else b"\x01\x00\x00\x00"
    return send(s, ctx.wrap(choice + authzid.encode(), False).message)


s = connect()
ctx = context(s.sock)
first = ctx.step()
code, text = login(s, ctx, first)
if code != 235:
    sys.exit(f"{code} {text.decode()}")
s.sendmail("ann@postroad.test", ["bob@postroad.test"], b"Subject: by a ticket\r\n\r\nhello\r\n")
s.quit()
if how == "replay":
    s = connect()
    told(*s.docmd("AUTH", "GSSAPI"))
    code, text = send(s, first)
    sys.exit(f"{code} {text.decode()}")
