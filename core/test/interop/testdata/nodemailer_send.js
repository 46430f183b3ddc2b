// SPDX-License-Identifier: Apache-2.0

// Sends a message with nodemailer.
//
//   send    HOST:PORT FILE FROM TO...   sends FILE, a whole message with CRLF line ends
//   compose HOST:PORT FILE FROM TO...   composes a message, sends it, and writes it to FILE
"use strict";

const fs = require("fs");
const nodemailer = require("nodemailer");
const MailComposer = require("nodemailer/lib/mail-composer");

const [mode, server, path, from, ...to] = process.argv.slice(2);
const [host, port] = server.split(":");

async function composed() {
  const mail = {
    from, to, subject: "Grüße from nodemailer", messageId: "<node@here.test>", date: new Date(0),
    text: "Grüße\n.dot\n\nlast line\n", html: "<p>Grüße</p>",
    attachments: [{ filename: "data.bin", content: Buffer.from(Array.from({ length: 4096 }, (_, i) => i & 255)) }],
  };
  const Composer = MailComposer.default || MailComposer;
  const content = await new Composer(mail).compile().build();
  fs.writeFileSync(path, content);
  return content;
}

async function main() {
  const content = mode === "compose" ? await composed() : fs.readFileSync(path);
  const transport = nodemailer.createTransport({ host, port: Number(port), secure: false, ignoreTLS: true, name: "client.test" });
  await transport.sendMail({ envelope: { from, to }, raw: content });
  transport.close();
}

main().catch((e) => {
  console.error(e.response || e);
  process.exit(1);
});
