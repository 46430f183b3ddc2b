// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// gatewayDoors are the two submission listeners of a gateway, by how TLS begins there.
type gatewayDoors map[string]string

// startGateway runs examples/gateway.hcl for the user ann, with a next hop for all mail.
func startGateway(t *testing.T) (gatewayDoors, *testkit.Sink) {
	t.Helper()
	sink := testkit.NewSink(t, testkit.SinkOptions{Listen: "127.0.0.4:0"})
	dns := testkit.NewDNS(t, "far.test. MX 10 good.test.\ngood.test. A 127.0.0.4\n")
	d := gatewayDoors{"starttls": testkit.FreeAddr(t), "implicit": testkit.FreeAddr(t)}
	startRelay(t, "../../../examples/gateway.hcl", "POSTROAD_DNS="+dns.Addr(), "POSTROAD_MX_PORT="+port(t, sink.Addr().String()),
		"POSTROAD_SUBMISSION="+d["starttls"], "POSTROAD_SMTPS="+d["implicit"], "POSTROAD_USER=ann", "POSTROAD_PASSWORD=pencil and paper")
	return d, sink
}

// logsIn is one client: it logs in as ann with a password and sends a message to a recipient.
type logsIn struct {
	name, door string
	run        func(t *testing.T, addr, password, rcpt string) (string, error)
}

func loginClients(t *testing.T) []logsIn {
	t.Helper()
	var all []logsIn
	modules := installNodemailer(t)
	for _, door := range []string{"starttls", "implicit"} {
		for _, library := range []string{"smtplib", "aiosmtplib"} {
			all = append(all, logsIn{library, door, func(t *testing.T, addr, password, rcpt string) (string, error) {
				return output(t, "/usr/bin/python3", "testdata/login_send.py", library, door, addr, "ann", password, "ann@here.test", rcpt)
			}})
		}
		all = append(all, logsIn{"nodemailer", door, func(t *testing.T, addr, password, rcpt string) (string, error) {
			cmd := exec.Command(program(t, "node"), "testdata/nodemailer_login.js", door, addr, "ann", password, "ann@here.test", rcpt)
			cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(modules, "node_modules"))
			return outputOf(t, cmd)
		}}, logsIn{"openssl s_client", door, byHand(door)})
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			all = append(all, logsIn{"swaks " + mechanism, door, func(t *testing.T, addr, password, rcpt string) (string, error) {
				tls := map[string]string{"starttls": "--tls", "implicit": "--tls-on-connect"}[door]
				return output(t, "swaks", tls, "--server", addr, "--helo", "client.test", "--auth", mechanism, "--auth-user", "ann", "--auth-password", password,
					"--from", "ann@here.test", "--to", rcpt)
			}})
		}
		for _, mechanism := range []string{"plain", "scram-sha-1", "scram-sha-256"} {
			all = append(all, logsIn{"msmtp " + mechanism, door, msmtp(door, mechanism)})
		}
	}
	return all
}

// msmtp speaks SASL by libgsasl.
func msmtp(door, mechanism string) func(t *testing.T, addr, password, rcpt string) (string, error) {
	return func(t *testing.T, addr, password, rcpt string) (string, error) {
		host, at, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		secret := write(t, filepath.Join(t.TempDir(), "password"), []byte(password+"\n"))
		starttls := map[string]string{"starttls": "on", "implicit": "off"}[door]
		cmd := exec.Command(program(t, "msmtp"), "--host="+host, "--port="+at, "--domain=client.test", "--tls=on", "--tls-starttls="+starttls, "--tls-certcheck=off",
			"--auth="+mechanism, "--user=ann", "--passwordeval=cat "+secret, "--from=ann@here.test", rcpt)
		cmd.Stdin = strings.NewReader("From: ann@here.test\nSubject: msmtp\n\nhello\n")
		return outputOf(t, cmd)
	}
}

// byHand speaks as people do who try a server out: a line at a time, through openssl.
func byHand(door string) func(t *testing.T, addr, password, rcpt string) (string, error) {
	return func(t *testing.T, addr, password, rcpt string) (string, error) {
		args := []string{"s_client", "-quiet", "-crlf", "-connect", addr}
		if door == "starttls" {
			args = append(args, "-starttls", "smtp", "-name", "client.test")
		}
		plain := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00" + password))
		cmd := exec.Command(program(t, "openssl"), args...)
		cmd.Stdin = strings.NewReader("EHLO client.test\nAUTH PLAIN " + plain + "\nMAIL FROM:<ann@here.test>\nrcpt TO:<" + rcpt + ">\nDATA\n" +
			"From: ann@here.test\nSubject: by hand\n\nhello\n.\nQUIT\n")
		out, err := outputOf(t, cmd)
		if err == nil && !strings.Contains(out, "queued as") {
			err = fmt.Errorf("it was not taken")
		}
		return out, err
	}
}

// TestClientsLogIn with the programs and libraries that people use, above TLS from the start and by STARTTLS.
func TestClientsLogIn(t *testing.T) {
	d, sink := startGateway(t)
	for i, c := range loginClients(t) {
		t.Run(c.name+" "+c.door, func(t *testing.T) {
			rcpt := fmt.Sprintf("r%d@far.test", i)
			if out, err := c.run(t, d[c.door], "pencil and paper", rcpt); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			eventually(t, rcpt, func() error {
				for _, m := range sink.Messages() {
					if m.To[0] == "<"+rcpt+">" && strings.Contains(string(m.Content), "with ESMTPSA id") {
						return nil
					}
				}
				return fmt.Errorf("nothing came for %s", rcpt)
			})
		})
	}
}

// TestClientsHearThatThePasswordIsWrong, and have words for it. It is a relay of its own: who fails so often is shut out.
func TestClientsHearThatThePasswordIsWrong(t *testing.T) {
	for _, c := range loginClients(t) {
		if c.door != "starttls" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			d, sink := startGateway(t)
			out, err := c.run(t, d[c.door], "pen", "r@far.test")
			if err == nil || !strings.Contains(out, "535") && !strings.Contains(out, "authentication failed") {
				t.Errorf("%v\n%s", err, out)
			}
			if n := sink.Count(); n != 0 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
}

// TestSslscan has the listeners looked at by a program that knows what is weak.
func TestSslscan(t *testing.T) {
	d, _ := startGateway(t)
	for door, more := range map[string][]string{"implicit": nil, "starttls": {"--starttls-smtp"}} {
		out, err := output(t, "sslscan", append(append([]string{"--no-colour"}, more...), d[door])...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", door, err, out)
		}
		for _, want := range []string{"SSLv2     disabled", "SSLv3     disabled", "TLSv1.0   disabled", "TLSv1.1   disabled", "TLSv1.2   enabled", "TLSv1.3   enabled",
			"Session renegotiation not supported", "TLSv1.3 not vulnerable to heartbleed", "TLSv1.2 not vulnerable to heartbleed"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", door, want, out)
			}
		}
		for _, weak := range []string{"Compression enabled", "-SHA ", "RC4", "3DES", "DES-CBC", "NULL", "EXP-", "MD5", "ADH", "AECDH"} {
			if strings.Contains(out, weak) {
				t.Errorf("%s: %s is in\n%s", door, weak, out)
			}
		}
	}
}

// TestPostfixLogsIn as a client of the gateway, as a smarthost's customers do: with STARTTLS, AUTH, and AUTH=<> at MAIL.
func TestPostfixLogsIn(t *testing.T) {
	d, sink := startGateway(t)
	p := startPostfix(t, testkit.FreeAddr(t), sink.Addr().String(), d["starttls"], testkit.NewCert(t, "postfix.test"))
	etc := filepath.Join(p.dir, "etc")
	to := "[127.0.0.1]:" + port(t, d["starttls"])
	for _, setting := range []string{
		"transport_maps = inline:{ { far.test = smtp:" + to + " } }", "smtp_sasl_auth_enable = yes", "smtp_sasl_security_options = noanonymous",
		"smtp_sasl_password_maps = inline:{ { " + to + " = ann:pencil and paper } }", "smtp_tls_security_level = encrypt",
	} {
		if out, err := output(t, "postconf", "-c", etc, "-e", setting); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := output(t, "postfix", "-c", etc, "reload"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := swaks(t, p.addr, []byte(head), "rcpt@far.test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "the message", func() error {
		for _, m := range sink.Messages() {
			if m.To[0] == "<rcpt@far.test>" && strings.Contains(string(m.Content), "from postfix.test") && strings.Contains(string(m.Content), "with ESMTPSA id") {
				return nil
			}
		}
		return fmt.Errorf("it did not come")
	})
}
