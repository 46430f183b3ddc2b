// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/auth/oidc/oidctest"
)

func xoauth2(user, token string) string {
	return base64.StdEncoding.EncodeToString([]byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"))
}

// usersOIDC are users of an issuer, whose clock is the machine's while the relay's is
// that of the test.
func usersOIDC(issuer string) string {
	return fmt.Sprintf("users \"staff\" {\n oidc {\n  issuer = %q\n  audiences = [\"smtp\"]\n  tenant = \"shop\"\n  clock_skew = \"10000d\"\n }\n}\n", issuer)
}

func TestAUserLogsInWithATokenAndSends(t *testing.T) {
	issuer := oidctest.Issuer(t, true)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := newRig(t, submission("", usersOIDC(issuer)), nil)
	g.sink.SetScript(func(e testEvent) testAction { return testAction{Reply: "451 4.3.0 not now"} })
	c := g.dial()
	token := oidctest.Token(t, issuer)
	c.cmd(334, "AUTH XOAUTH2 %s", xoauth2("bob@here.test", token))
	c.cmd(535, "AQ==")
	c.cmd(235, "AUTH XOAUTH2 %s", xoauth2(oidctest.User, token))
	c.send(250, oidctest.User, hello, "b@far.test")
	g.idle()
	if q := g.queue(); len(q) != 1 || q[0].Tenant != "shop" {
		t.Errorf("%+v", q)
	}
}

// TestAProviderThatIsDownStopsNeitherStartNorReload: only its users wait.
func TestAProviderThatIsDownStopsNeitherStartNorReload(t *testing.T) {
	g := newRig(t, submission("", usersOIDC("http://127.0.0.1:1")), nil)
	issuer := oidctest.Issuer(t, true)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	token := oidctest.Token(t, issuer)
	c := g.dial()
	for range 2 {
		c.cmd(454, "AUTH XOAUTH2 %s", xoauth2(oidctest.User, token))
		if err := g.r.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
