// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/auth/oidc/oidctest"
)

// tokenClients are programs that log in with a bearer token.
func tokenClients(t *testing.T, server string) map[string]func(user, token string) (string, error) {
	t.Helper()
	_, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	mail := write(t, filepath.Join(t.TempDir(), "m"), []byte("Subject: by a token\r\n\r\nhello\r\n"))
	curl := func(user, token string) (string, error) { // it takes OAUTHBEARER where there is one
		return output(t, "curl", "-sSv", "--url", "smtp://127.0.0.1:"+port+"/client.postroad.test",
			"-u", user, "--oauth2-bearer", token, "--mail-from", user, "--mail-rcpt", "bob@postroad.test", "-T", mail)
	}
	msmtp := func(mechanism string) func(user, token string) (string, error) {
		return func(user, token string) (string, error) {
			cmd := exec.Command(program(t, "msmtp"), "-C", "/dev/null", "--host=127.0.0.1", "--port="+port, "--tls=off", "--auth="+mechanism, "--user="+user,
				"--passwordeval=cat "+write(t, filepath.Join(t.TempDir(), "token"), []byte(token+"\n")), "--from="+user, "bob@postroad.test")
			cmd.Stdin = strings.NewReader("Subject: by a token\r\n\r\nhello\r\n")
			return outputOf(t, cmd)
		}
	}
	python := func(mechanism string) func(user, token string) (string, error) {
		return func(user, token string) (string, error) {
			return output(t, "python3", "testdata/token_send.py", server, mechanism, user, token)
		}
	}
	return map[string]func(user, token string) (string, error){
		"curl": curl, "msmtp OAUTHBEARER": msmtp("oauthbearer"), "msmtp XOAUTH2": msmtp("xoauth2"),
		"smtplib OAUTHBEARER": python("OAUTHBEARER"), "smtplib XOAUTH2": python("XOAUTH2"),
	}
}

func TestATokenOfAProviderLogsIn(t *testing.T) {
	for name, jwt := range map[string]bool{"signed": true, "asked about": false} {
		t.Run(name, func(t *testing.T) {
			issuer := oidctest.Issuer(t, jwt)
			block := fmt.Sprintf(`issuer = %q
    audiences = ["smtp"]`, issuer)
			if !jwt {
				block = fmt.Sprintf(`issuer = %q
    introspection {
      client_id = %q
      client_secret = secret("oidc")
    }`, issuer, oidctest.ClientID)
			}
			server := startRelay(t, submission(t, "oidc {\n"+block+"\n}"), "POSTROAD_SECRET_OIDC="+oidctest.ClientSecret)
			token := oidctest.Token(t, issuer)
			clients := tokenClients(t, server.addr)
			for name, send := range clients {
				if out, err := send(oidctest.User, token); err != nil {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			}
			for name, send := range clients { // fewer than shut the address
				if out, err := send("bob@postroad.test", token); err == nil {
					t.Errorf("%s as somebody else: %s", name, out)
				}
			}
			if out, err := clients["curl"](oidctest.User, token[:len(token)-8]+"AAAAAAAA"); err == nil || !strings.Contains(out, "535") {
				t.Errorf("with a token that was changed: %v %s", err, out)
			}
			if strings.Contains(server.logged(), token[:40]) {
				t.Error("the log shows the token")
			}
		})
	}
}

func TestWhileTheProviderIsDownALoginIsTriedAgainLater(t *testing.T) {
	server := startRelay(t, submission(t, fmt.Sprintf("oidc {\nissuer = %q\naudiences = [\"smtp\"]\n}", "http://"+freeAddress(t))))
	token := oidctest.Token(t, oidctest.Issuer(t, true))
	for name, send := range tokenClients(t, server.addr) {
		if out, err := send(oidctest.User, token); err == nil || !strings.Contains(out, "454") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
