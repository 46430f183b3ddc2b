// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"testing"

	"github.com/postroad-mail/postroad/core/plugintest"
)

// BenchmarkMessage passes a plain message of 1 KiB with one recipient through
// one stage: all its phases. "idle" asks for no phase and shows what the
// harness itself takes; subtract it.
func BenchmarkMessage(b *testing.B) {
	bucket := "bucket \"wide\" {\n  rate = \"1000000000/1s\"\n  burst = 1000000000\n}"
	cases := []struct{ name, plugin, config, blocks string }{
		{"idle", "filter", "", ""},
		{"filter", "filter", filterConfig, ""},
		{"rewrite", "rewrite", rewriteConfig, ""},
		{"route", "route", "rule {\n  header = \"X-Route\"\n  match = \"^bulk$\"\n  route = \"plugintest\"\n}", ""},
		{"ratelimit", "ratelimit", "limit {\n  key = \"client\"\n  bucket = \"wide\"\n}", bucket},
		{"footer", "rewrite", "footer = \"Bye\"", ""},
	}
	m := plugintest.Message{From: "ann@example.org", To: []string{"bob@example.test"}, EML: benchMail + filler(600) + "\n"}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			p := plugintest.Load(b, modulePath(c.plugin), plugintest.Setup{Config: c.config, Blocks: c.blocks})
			var fuel, calls float64
			b.ReportAllocs()
			for b.Loop() {
				r := p.Run(m)
				if r.Err != nil {
					b.Fatal(r.Err)
				}
				fuel, calls = 0, 0
				for _, call := range r.Calls {
					fuel, calls = fuel+float64(call.Fuel), calls+float64(call.HostCalls)
				}
			}
			b.ReportMetric(fuel, "fuel/op")
			b.ReportMetric(calls, "hostcalls/op")
		})
	}
}

const (
	filterConfig = `deny_client     = ["198.51.100.0/24"]
deny_sender     = ["*@spam.invalid", ".spam.invalid"]
deny_recipient  = ["nobody@invalid", ".nowhere.invalid"]
deny_attachment = ["*.exe", "*.scr", "*.pif", "*.com", "*.bat", "*.cmd", "*.js", "*.vbs"]
deny_header {
  name  = "Subject"
  match = "(?i)^(make money fast|you have won)"
}
deny_header {
  name   = "X-Spam-Flag"
  match  = "(?i)^yes"
  action = "quarantine"
}`
	rewriteConfig = `delete_header {
  name = "X-Internal-*"
}
add_header {
  name  = "X-Postroad-Client"
  value = "{client_ip}"
}`
	benchMail = `Received: from client.example.org by mx.example.test with ESMTP; Tue, 1 Jan 2030 12:00:00 +0000
Received: from desk.example.org by client.example.org with ESMTP; Tue, 1 Jan 2030 11:59:58 +0000
Date: Tue, 1 Jan 2030 11:59:57 +0000
From: Ann <ann@example.org>
To: Bob <bob@example.test>
Subject: The quarterly meeting has moved to Thursday afternoon
Message-ID: <20300101115957.1@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

`
)
