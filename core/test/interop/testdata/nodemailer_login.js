// SPDX-License-Identifier: Apache-2.0

// Logs in and sends a message with nodemailer.
//
//   starttls|implicit HOST:PORT USER PASSWORD FROM TO
"use strict";

const nodemailer = require("nodemailer");

const [mode, server, user, pass, from, to] = process.argv.slice(2);
const [host, port] = server.split(":");

async function main() {
  const transport = nodemailer.createTransport({
    host, port: Number(port), secure: mode === "implicit", requireTLS: true, name: "client.test", auth: { user, pass }, tls: { rejectUnauthorized: false },
  });
  await transport.sendMail({ from, to, subject: "nodemailer " + mode, text: "hello" });
  transport.close();
}

main().catch((e) => {
  console.error(e.response || e);
  process.exit(1);
});
