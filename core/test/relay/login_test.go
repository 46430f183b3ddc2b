// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/internal/auth/file"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// writeUsers writes a file of users, each with their name as password.
func writeUsers(t *testing.T, users ...file.User) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	all := map[string]*file.User{}
	for _, u := range users {
		hash, err := file.Hash(u.Name)
		if err != nil {
			t.Fatal(err)
		}
		u.Hash, u.Keys = hash, file.Keys(u.Name)
		all[u.Name] = &u
	}
	if err := file.Write(path, all); err != nil {
		t.Fatal(err)
	}
	return path
}

// submission is base as a listener for users who log in.
func submission(stages, users string) string {
	hcl := strings.Replace(base(stages, users), `listener "smtp" "in"`, `listener "submission" "in"`, 1)
	return strings.Replace(hcl, `relay_from = ["127.0.0.0/8"]`, `auth { users = [users.staff] }`, 1)
}

func usersFile(path string) string {
	return fmt.Sprintf("users \"staff\" {\n file {\n  path = %q\n }\n}\n", path)
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

func TestAUserLogsInAndSends(t *testing.T) {
	g := newRig(t, submission("", usersFile(writeUsers(t, file.User{Name: "ann", Tenant: "shop", Senders: []string{"ann@here.test", "@ann.test"}}))), nil)
	c := g.dial()
	c.cmd(530, "MAIL FROM:<ann@here.test>")
	c.cmd(535, "AUTH PLAIN %s", plain("ann", "wrong"))
	c.cmd(535, "AUTH PLAIN %s", plain("bob", "bob"))
	c.cmd(235, "AUTH PLAIN %s", plain("ann", "ann"))
	c.cmd(553, "MAIL FROM:<bob@here.test>")
	c.cmd(553, "MAIL FROM:<ann@there.test>")
	c.send(250, "any@ann.test", hello, "b@far.test")
	c.send(250, "ann@here.test", hello, "b@far.test")
	for _, m := range wait(t, g, 2) {
		trace, _, _ := strings.Cut(m, "\r\n\t")
		if !strings.Contains(m, "with ESMTPA ") || strings.Contains(trace, "ann") {
			t.Errorf("the trace field is %q", trace)
		}
	}
}

// TestTheTenantOfAUserIsThatOfItsMail: mail that waits shows whose it is.
func TestTheTenantOfAUserIsThatOfItsMail(t *testing.T) {
	g := newRig(t, submission("", usersFile(writeUsers(t, file.User{Name: "ann", Tenant: "shop"}))), nil)
	g.sink.SetScript(func(e testEvent) testAction { return testAction{Reply: "451 4.3.0 not now"} })
	c := g.dial()
	c.cmd(235, "AUTH PLAIN %s", plain("ann", "ann"))
	c.send(250, "ann@here.test", hello, "b@far.test")
	g.idle()
	if q := g.queue(); len(q) != 1 || q[0].Tenant != "shop" {
		t.Errorf("%+v", q)
	}
}

// TestAUserSendsForNoOtherTenant: the field that names a tenant is for those who
// have none.
func TestAUserSendsForNoOtherTenant(t *testing.T) {
	users := usersFile(writeUsers(t, file.User{Name: "ann", Tenant: "shop"}, file.User{Name: "bob"}))
	g := newRig(t, submission("", "listener: tenant_header = \"X-Tenant\"\n"+users), nil)
	g.sink.SetScript(func(e testEvent) testAction { return testAction{Reply: "451 4.3.0 not now"} })
	for user, want := range map[string]string{"ann": "shop", "bob": "other"} {
		c := g.dial()
		c.cmd(235, "AUTH PLAIN %s", plain(user, user))
		c.send(250, user+"@here.test", "X-Tenant: other\r\n"+hello, "b@far.test")
		g.idle()
		for _, m := range g.queue() {
			if string(m.Sender) == user+"@here.test" && m.Tenant != want {
				t.Errorf("the mail of %s is of tenant %q", user, m.Tenant)
			}
		}
	}
}

// TestClientsOfAnotherLibraryLogIn speaks with go-smtp's client, by each mechanism
// that it has.
func TestClientsOfAnotherLibraryLogIn(t *testing.T) {
	g := newRig(t, submission("", usersFile(writeUsers(t, file.User{Name: "ann"}))), nil)
	for _, mechanism := range []sasl.Client{sasl.NewPlainClient("", "ann", "ann"), sasl.NewLoginClient("ann", "ann")} {
		c, err := smtp.Dial(g.r.Addr("in").String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(mechanism); err != nil {
			t.Error(err)
		}
		if err := c.SendMail("ann@here.test", []string{"b@far.test"}, strings.NewReader(hello)); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	wait(t, g, 2)
}

// TestWhoGuessesIsNotAskedAnyMore: after ten failures even the right password is
// refused, and in the same words.
func TestWhoGuessesIsNotAskedAnyMore(t *testing.T) {
	g := newRig(t, submission("", usersFile(writeUsers(t, file.User{Name: "ann"}))), nil)
	for i := range 10 {
		c := g.dial()
		c.cmd(535, "AUTH PLAIN %s", plain(fmt.Sprint("user", i), "x"))
		c.c.Close()
	}
	c := g.dial()
	c.cmd(535, "AUTH PLAIN %s", plain("ann", "ann"))
	g.clock.Advance(2 * 60 * 1e9)
	c.cmd(235, "AUTH PLAIN %s", plain("ann", "ann"))
}

// TestALoginSurvivesAReload: who has logged in stays so, by the accounts of then.
func TestALoginSurvivesAReload(t *testing.T) {
	hcl := submission("", usersFile(writeUsers(t, file.User{Name: "ann"})))
	g := newRig(t, hcl, nil)
	c := g.dial()
	c.cmd(235, "AUTH PLAIN %s", plain("ann", "ann"))
	if err := g.r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.send(250, "ann@here.test", hello, "b@far.test")
	wait(t, g, 1)
}

// doorkeeper is a native stage that knows who may log in: ann, whose password is
// her name. It puts off whom it cannot judge.
type doorkeeper struct{}

// Message implements relay.Stage.
func (doorkeeper) Message(context.Context, relay.Message) (mail.Verdict, error) {
	return mail.Continue, nil
}

// Phases implements relay.PhaseStage.
func (doorkeeper) Phases() []mail.Phase { return []mail.Phase{mail.PhaseAuth} }

// Phase implements relay.PhaseStage.
func (doorkeeper) Phase(_ context.Context, _ mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
	c := m.Envelope().Client
	switch {
	case c.Authenticated:
		return mail.Reject, nil // it decides before, or there is no deciding
	case c.User == "later":
		return mail.Tempfail, nil
	case c.User == "broken":
		return 0, errors.New("trap")
	case c.User == "ann" && c.Mechanism == "PLAIN":
		return mail.Accept, nil
	}
	return mail.Continue, nil
}

// TestStagesKnowWhoMayLogIn: whom no stage accepts is refused, and a stage that
// cannot judge is no refusal.
func TestStagesKnowWhoMayLogIn(t *testing.T) {
	stages := map[string]relay.NewStage{"test": func([]byte) (relay.Stage, error) { return doorkeeper{}, nil }}
	g := newRig(t, submission(testStage, testPlugin+"\nusers \"staff\" {\n stages {}\n}\n"), stages)
	c := g.dial()
	for user, code := range map[string]int{"bob": 535, "later": 454, "broken": 454} {
		c.cmd(code, "AUTH PLAIN %s", plain(user, "x"))
	}
	c.cmd(530, "MAIL FROM:<ann@here.test>")
	c.cmd(235, "AUTH PLAIN %s", plain("ann", "x"))
	c.send(250, "ann@here.test", hello, "b@far.test")
	wait(t, g, 1)
}

// A proxy that is believed about logins says who a user is, and the user's account says
// the rest: what it may send as, and whose mail that is.
func TestTheAccountOfAUserForWhomAProxyStands(t *testing.T) {
	hcl := submission("", usersFile(writeUsers(t, file.User{Name: "ann", Tenant: "shop", Senders: []string{"@ann.test"}})))
	hcl = strings.Replace(hcl, `auth { users = [users.staff] }`, "auth { users = [users.staff] }\n  xclient {\n    from  = [\"127.0.0.1\"]\n    login = true\n  }", 1)
	g := newRig(t, hcl, nil)
	g.sink.SetScript(func(e testEvent) testAction { return testAction{Reply: "451 4.3.0 not now"} })
	c := g.dial()
	c.cmd(220, "XCLIENT ADDR=203.0.113.9 LOGIN=ann")
	c.cmd(250, "EHLO x.test")
	c.cmd(553, "MAIL FROM:<ann@there.test>")
	c.send(250, "any@ann.test", hello, "b@far.test")
	g.idle()
	if q := g.queue(); len(q) != 1 || q[0].Tenant != "shop" {
		t.Errorf("%+v", q)
	}
	c.cmd(220, "XCLIENT ADDR=203.0.113.9 LOGIN=nobody") // a name that only the proxy knows
	c.cmd(250, "EHLO x.test")
	c.cmd(250, "MAIL FROM:<ann@there.test>")
	c.cmd(250, "RSET")
	c.cmd(220, "XCLIENT ADDR=203.0.113.9")
	c.cmd(250, "EHLO x.test")
	c.cmd(530, "MAIL FROM:<any@ann.test>")
}

// TestMailOfUsersIsMended as RFC 6409 section 8 has it, and no more than that.
func TestMailOfUsersIsMended(t *testing.T) {
	users := usersFile(writeUsers(t, file.User{Name: "ann", Senders: []string{"ann@here.test"}}))
	const (
		from, other, id = "From: ann@here.test\r\n", "From: Bob <bob@there.test>\r\n", "Message-ID: <1@x>\r\nDate: Mon, 1 Jan 2029 00:00:00 +0000\r\n"
		signed          = "DKIM-Signature: v=1\r\n"
	)
	for _, c := range []struct {
		name, block, header string
		code                int
		has, hasNot         []string
	}{
		{"what is missing is added", "", from, 250, []string{"Date: Tue, 1 Jan 2030 09:00:00 +0000\r\n", "Message-ID: <", "@relay.test>\r\n", "from client.test"}, []string{"Sender:"}},
		{"what is there stays", "", from + id, 250, []string{id}, []string{"@relay.test>", "2030 09:00:00 +0000\r\nMessage"}},
		{"a signature stays good", "", signed + from, 250, []string{signed}, []string{"Message-ID"}},
		{"not wanted", "add_missing = false", from, 250, nil, []string{"Message-ID"}},
		{"blind copies", "", from + id + "Bcc: c@x.test\r\nbcc:\r\n d@x.test\r\nResent-Bcc: e@x.test\r\n", 250, nil, []string{"cc:", "@x.test"}},
		{"blind copies are wanted", "remove_bcc = false", from + id + "Bcc: c@x.test\r\n", 250, []string{"Bcc: c@x.test"}, nil},
		{"somebody else's From", "", other + id, 250, nil, []string{"Sender:"}},
		{"with Sender", "add_sender = true", other + id, 250, []string{"Sender: ann@here.test\r\n"}, nil},
		{"own From needs no Sender", "add_sender = true", from + id, 250, nil, []string{"Sender:"}},
		{"refused", `from = "own"`, other + id, 550, nil, nil},
		{"own", `from = "own"`, from + id, 250, nil, nil},
		{"quoted and named", `from = "own"`, "From: \"bob@there.test\" <ann@here.test>\r\n" + id, 250, nil, nil},
		{"two of them", `from = "own"`, "From: ann@here.test, bob@there.test\r\n" + id, 550, nil, nil},
		{"in a group", `from = "own"`, "From: ann@here.test: bob@there.test;\r\n" + id, 550, nil, nil},
		{"twice", `from = "own"`, from + other + id, 550, nil, nil},
		{"none", `from = "own"`, id, 550, nil, nil},
		{"not readable", `from = "own"`, "From: ann@here.test <bob@there.test\r\n" + id, 550, nil, nil},
		{"somebody else's Sender", `from = "own"`, from + "Sender: bob@there.test\r\n" + id, 550, nil, nil},
		{"hidden", "hide_client = true", from + id, 250, []string{"Received: by relay.test"}, []string{"127.0.0.1", "client.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			block := "listener: submission {\n"
			if c.block != "" {
				block += "listener: " + c.block + "\n"
			}
			g := newRig(t, submission("", block+"listener: }\n"+users), nil)
			d := g.dial()
			d.cmd(235, "AUTH PLAIN %s", plain("ann", "ann"))
			d.send(c.code, "ann@here.test", c.header+"Subject: x\r\n\r\nbody\r\n", "b@far.test")
			if c.code != 250 {
				return
			}
			m := wait(t, g, 1)[0]
			for _, text := range c.has {
				if !strings.Contains(m, text) {
					t.Errorf("%q is not in\n%s", text, m)
				}
			}
			for _, text := range c.hasNot {
				if strings.Contains(m, text) {
					t.Errorf("%q is in\n%s", text, m)
				}
			}
		})
	}
}

// TestUsersSendSoMuch: each by itself, and a tenant's together.
func TestUsersSendSoMuch(t *testing.T) {
	users := usersFile(writeUsers(t, file.User{Name: "ann", Tenant: "shop"}, file.User{Name: "bob", Tenant: "shop"}, file.User{Name: "carl"}))
	block := "listener: submission {\nlistener: user_messages = \"2/1h\"\nlistener: user_recipients = \"3/1h\"\nlistener: tenant_messages = \"3/1h\"\nlistener: }\n"
	g := newRig(t, submission("", block+users), nil)
	login := func(user string) *client {
		c := g.dial()
		c.cmd(235, "AUTH PLAIN %s", plain(user, user))
		return c
	}
	ann, bob, carl := login("ann"), login("bob"), login("carl")
	ann.send(250, "a@here.test", hello, "b@far.test", "c@far.test")
	ann.cmd(250, "MAIL FROM:<a@here.test>")
	ann.cmd(250, "RCPT TO:<b@far.test>")
	ann.cmd(452, "RCPT TO:<c@far.test>")
	ann.cmd(250, "RSET")
	ann.cmd(450, "MAIL FROM:<a@here.test>")
	bob.send(250, "b@here.test", hello, "b@far.test")
	bob.cmd(450, "MAIL FROM:<b@here.test>")
	carl.send(250, "c@here.test", hello, "b@far.test")
	g.clock.Advance(60 * 60 * 1e9)
	ann.send(250, "a@here.test", hello, "b@far.test")
}
