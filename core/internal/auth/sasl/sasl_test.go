// SPDX-License-Identifier: Apache-2.0

package sasl

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/auth/file"
)

// directory knows ann with the password "pencil" and the token "good".
type directory struct{ fault error }

func (d directory) one(ok bool) (*auth.Account, error) {
	switch {
	case d.fault != nil:
		return nil, d.fault
	case !ok:
		return nil, auth.ErrDenied
	}
	return &auth.Account{User: "ann"}, nil
}

func (d directory) Password(_ context.Context, a auth.Attempt) (*auth.Account, error) {
	return d.one(a.User == "ann" && a.Password == "pencil")
}

func (d directory) Token(_ context.Context, user, token string) (*auth.Account, error) {
	return d.one(token == "good" && (user == "" || user == "ann"))
}

func (d directory) Secret(_ context.Context, user string) (string, *auth.Account, error) {
	who, err := d.one(user == "ann")
	return "pencil", who, err
}

func (d directory) Keys(_ context.Context, hash, user string) (*auth.Keyring, *auth.Account, error) {
	who, err := d.one(user == "ann")
	if err != nil {
		return nil, nil, err
	}
	return file.Keys("pencil")[hash], who, nil
}

func (d directory) Certificate(_ context.Context, chain []*x509.Certificate, user string) (*auth.Account, error) {
	return d.one(chain[0].Subject.CommonName == "ann" && (user == "" || user == "ann"))
}

var errDown = errors.New("the directory is down")

// play hands responses to an exchange and returns how it ended. A response of "-"
// is none.
func play(s *Server, mechanism string, responses ...string) string {
	x := s.Begin(mechanism, auth.Peer{Addr: netip.MustParseAddrPort("192.0.2.1:1")})
	var said []string
	for _, r := range responses {
		in := []byte(r)
		if r == "-" {
			in = nil
		}
		challenge, who, err := x.Next(context.Background(), in)
		switch {
		case err != nil && errors.Is(err, auth.ErrDenied):
			return strings.Join(append(said, "denied"), " ")
		case err != nil:
			return strings.Join(append(said, "fault"), " ")
		case who != nil:
			return strings.Join(append(said, "is "+who.User), " ")
		}
		said = append(said, fmt.Sprintf("%q", challenge))
	}
	return strings.Join(said, " ")
}

func TestExchanges(t *testing.T) {
	up := New(Options{Directories: []any{directory{}}, Mechanisms: Names(), Hostname: "mx.test"})
	down := New(Options{Directories: []any{directory{errDown}}, Mechanisms: Names()})
	both := New(Options{Directories: []any{directory{errDown}, directory{}}, Mechanisms: Names()})
	for _, c := range []struct {
		name, mechanism string
		server          *Server
		responses       []string
		want            string
	}{
		{"initial response", "PLAIN", up, []string{"\x00ann\x00pencil"}, "is ann"},
		{"invited", "PLAIN", up, []string{"-", "\x00ann\x00pencil"}, `"" is ann`},
		{"as herself", "plain", up, []string{"ann\x00ann\x00pencil"}, "is ann"},
		{"as somebody else", "PLAIN", up, []string{"bob\x00ann\x00pencil"}, "denied"},
		{"wrong password", "PLAIN", up, []string{"\x00ann\x00pencils"}, "denied"},
		{"unknown user", "PLAIN", up, []string{"\x00bob\x00pencil"}, "denied"},
		{"no password", "PLAIN", up, []string{"\x00ann\x00"}, "denied"},
		{"no user", "PLAIN", up, []string{"\x00\x00pencil"}, "denied"},
		{"two parts", "PLAIN", up, []string{"ann\x00pencil"}, "denied"},
		{"four parts", "PLAIN", up, []string{"\x00ann\x00pencil\x00"}, "denied"},
		{"empty", "PLAIN", up, []string{""}, "denied"},
		{"invited twice", "PLAIN", up, []string{"-", "-"}, `"" denied`},
		{"soft hyphen in the password is nothing (RFC 4013)", "PLAIN", up, []string{"\x00ann\x00pen\u00adcil"}, "is ann"},
		{"a control character", "PLAIN", up, []string{"\x00ann\x00pencil\n"}, "denied"},
		{"not UTF-8", "PLAIN", up, []string{"\x00ann\x00\xff\xfe"}, "denied"},
		{"directory down", "PLAIN", down, []string{"\x00ann\x00pencil"}, "fault"},
		{"first directory down", "PLAIN", both, []string{"\x00ann\x00pencil"}, "is ann"},
		{"first directory down, nobody knows her", "PLAIN", both, []string{"\x00bob\x00pencil"}, "fault"},

		{"prompts", "LOGIN", up, []string{"-", "ann", "pencil"}, `"Username:" "Password:" is ann`},
		{"user at once", "LOGIN", up, []string{"ann", "pencil"}, `"Password:" is ann`},
		{"wrong", "LOGIN", up, []string{"ann", "x"}, `"Password:" denied`},

		{"a token", "OAUTHBEARER", up, []string{"n,a=ann,\x01host=mx.test\x01port=587\x01auth=Bearer good\x01\x01"}, "is ann"},
		{"nobody named", "OAUTHBEARER", up, []string{"n,,\x01auth=bearer good\x01\x01"}, "is ann"},
		{"bad token", "OAUTHBEARER", up, []string{"n,a=ann,\x01auth=Bearer bad\x01\x01", "\x01"}, fmt.Sprintf("%q denied", bearerError)},
		{"bad token, empty last response", "OAUTHBEARER", up, []string{"n,a=ann,\x01auth=Bearer bad\x01\x01", ""}, fmt.Sprintf("%q denied", bearerError)},
		{"somebody else's token", "OAUTHBEARER", up, []string{"n,a=bob,\x01auth=Bearer good\x01\x01", ""}, fmt.Sprintf("%q denied", bearerError)},
		{"two tokens", "OAUTHBEARER", up, []string{"n,,\x01auth=Bearer bad\x01auth=Bearer good\x01\x01"}, "denied"},
		{"basic", "OAUTHBEARER", up, []string{"n,,\x01auth=Basic good\x01\x01"}, "denied"},
		{"cut off", "OAUTHBEARER", up, []string{"n,,\x01auth=Bearer good"}, "denied"},
		{"channel binding", "OAUTHBEARER", up, []string{"p=tls-exporter,,\x01auth=Bearer good\x01\x01"}, "denied"},
		{"a token", "XOAUTH2", up, []string{"user=ann\x01auth=Bearer good\x01\x01"}, "is ann"},
		{"bad token", "XOAUTH2", up, []string{"user=ann\x01auth=Bearer bad\x01\x01", ""}, fmt.Sprintf("%q denied", bearerError)},
		{"nothing", "XOAUTH2", up, []string{""}, "denied"},
		{"directory down", "XOAUTH2", down, []string{"user=ann\x01auth=Bearer good\x01\x01"}, "fault"},

		{"without a certificate", "EXTERNAL", up, []string{""}, "denied"},
		{"an initial response", "CRAM-MD5", up, []string{"ann 00"}, "denied"},
		{"not offered", "GSSAPI", up, []string{""}, "fault"},

		{"garbage", "SCRAM-SHA-256", up, []string{"garbage"}, "denied"},
		{"binding without TLS", "SCRAM-SHA-256-PLUS", up, []string{"p=tls-exporter,,n=ann,r=abc"}, "denied"},
		{"directory down", "SCRAM-SHA-256", down, []string{"n,,n=ann,r=abc"}, "fault"},
	} {
		if got := play(c.server, c.mechanism, c.responses...); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.mechanism, c.name, got, c.want)
		}
	}
}

// TestCRAMMD5Example is the example of RFC 2195 section 2.
func TestCRAMMD5Example(t *testing.T) {
	if got := cramDigest("tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>"); got != "b913a602c7eda7a495b4e6e7334d3890" {
		t.Error(got)
	}
}

func TestCRAMMD5(t *testing.T) {
	s := New(Options{Directories: []any{directory{}}, Mechanisms: Names(), Hostname: "mx.test"})
	for password, want := range map[string]bool{"pencil": true, "wrong": false} {
		x := s.Begin("CRAM-MD5", auth.Peer{})
		challenge, _, err := x.Next(t.Context(), nil)
		if err != nil || !strings.HasSuffix(string(challenge), "@mx.test>") {
			t.Fatal(string(challenge), err)
		}
		_, who, err := x.Next(t.Context(), []byte("ann "+strings.ToUpper(cramDigest(password, string(challenge)))))
		if (err == nil && who != nil) != want {
			t.Errorf("%s: %v, %v", password, who, err)
		}
	}
}

// TestSCRAMWithAClientOfAnother plays SCRAM with the client of another library.
func TestSCRAMWithAClientOfAnother(t *testing.T) {
	s := New(Options{Directories: []any{directory{}}, Secret: []byte("secret")})
	for _, c := range []struct {
		hash           string
		generate       scram.HashGeneratorFcn
		user, password string
		as, want       string
	}{
		{"SHA-1", scram.SHA1, "ann", "pencil", "", "ann"},
		{"SHA-256", scram.SHA256, "ann", "pencil", "", "ann"},
		{"SHA-256", scram.SHA256, "ann", "pencil", "ann", "ann"},
		{"SHA-256", scram.SHA256, "ann", "pencil", "bob", ""},
		{"SHA-256", scram.SHA256, "ann", "pencils", "", ""},
		{"SHA-256", scram.SHA256, "bob", "pencil", "", ""},
	} {
		client, err := c.generate.NewClient(c.user, c.password, c.as)
		if err != nil {
			t.Fatal(err)
		}
		who, err := converse(t, s.Begin("SCRAM-"+c.hash, auth.Peer{}), client.NewConversation())
		switch {
		case c.want == "" && !errors.Is(err, auth.ErrDenied):
			t.Errorf("%+v: %v, %v", c, who, err)
		case c.want != "" && (err != nil || who.User != c.want):
			t.Errorf("%+v: %v, %v", c, who, err)
		}
	}
}

func converse(t *testing.T, x auth.Exchange, c *scram.ClientConversation) (*auth.Account, error) {
	t.Helper()
	said := ""
	for range 4 {
		response, err := c.Step(said)
		if err != nil {
			response = "" // the server has said enough
		}
		challenge, who, err := x.Next(t.Context(), []byte(response))
		if err != nil || who != nil {
			return who, err
		}
		if said = string(challenge); c.Done() {
			said = ""
		}
	}
	t.Fatal("the exchange does not end")
	return nil, nil
}

// TestUnknownUsersLookLikeOthers: salt and iterations of a user that there is not
// are the same each time, and differ from another's.
func TestUnknownUsersLookLikeOthers(t *testing.T) {
	s := New(Options{Directories: []any{directory{}}, Secret: []byte("secret")})
	other := New(Options{Directories: []any{directory{}}, Secret: []byte("another")})
	first := func(s *Server, user string) string {
		x := s.Begin("SCRAM-SHA-256", auth.Peer{})
		challenge, _, err := x.Next(t.Context(), []byte("n,,n="+user+",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, salt, _ := strings.Cut(string(challenge), ",s=")
		return salt
	}
	if a, b := first(s, "bob"), first(s, "bob"); a != b {
		t.Errorf("the salt of an unknown user changes: %s, %s", a, b)
	}
	if first(s, "bob") == first(s, "carl") || first(s, "bob") == first(other, "bob") {
		t.Error("salts of unknown users are the same for all")
	}
	for _, user := range []string{"ann", "bob"} {
		salt, iterations, _ := strings.Cut(first(s, user), ",i=")
		if len(salt) != 24 || iterations != fmt.Sprint(auth.Iterations) {
			t.Errorf("%s: %s %s", user, salt, iterations)
		}
	}
}

// TestDowngradeIsFoundOut: a client that could bind the login to the connection,
// and was made to believe that we cannot, says so (RFC 5802 section 6).
func TestDowngradeIsFoundOut(t *testing.T) {
	s := New(Options{Directories: []any{directory{}}, Secret: []byte("secret")})
	if got := play(s, "SCRAM-SHA-256", "y,,n=ann,r=abc"); got == "denied" {
		t.Error("without TLS we do not offer a binding, and y is right")
	}
	state := connected(t)
	x := s.Begin("SCRAM-SHA-256", auth.Peer{TLS: state})
	if _, _, err := x.Next(t.Context(), []byte("y,,n=ann,r=abc")); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("above TLS: %v", err)
	}
	x = s.Begin("SCRAM-SHA-256", auth.Peer{TLS: state})
	if _, _, err := x.Next(t.Context(), []byte("n,,n=ann,r=abc")); err != nil {
		t.Errorf("a client without channel binding: %v", err)
	}
}

func TestChannelBinding(t *testing.T) {
	s := New(Options{Directories: []any{directory{}}, Secret: []byte("secret")})
	state, other := connected(t), connected(t)
	for _, c := range []struct {
		name string
		ours bool
	}{{"the same connection", true}, {"a man in the middle", false}} {
		client, err := scram.SHA256.NewClient("ann", "pencil", "")
		if err != nil {
			t.Fatal(err)
		}
		seen := state
		if !c.ours {
			seen = other
		}
		binding, err := scram.NewTLSExporterBinding(seen)
		if err != nil {
			t.Fatal(err)
		}
		who, err := converse(t, s.Begin("SCRAM-SHA-256-PLUS", auth.Peer{TLS: state}), client.NewConversationWithChannelBinding(binding))
		if (err == nil && who != nil) != c.ours {
			t.Errorf("%s: %v, %v", c.name, who, err)
		}
	}
}

func TestWhatIsOffered(t *testing.T) {
	certificate := connected(t)
	certificate.VerifiedChains = [][]*x509.Certificate{{{}}}
	passwords := struct{ auth.Passwords }{directory{}}
	for _, c := range []struct {
		name  string
		o     Options
		bound bool
		want  string
	}{
		{"all, in the clear", Options{Directories: []any{directory{}}}, false, "SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN"},
		{"all, with TLS", Options{Directories: []any{directory{}}}, true, "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 EXTERNAL PLAIN LOGIN"},
		{"passwords alone", Options{Directories: []any{passwords}}, false, "PLAIN LOGIN"},
		{"as named", Options{Directories: []any{directory{}}, Mechanisms: []string{"CRAM-MD5", "PLAIN"}}, false, "PLAIN CRAM-MD5"},
		{"nothing", Options{}, false, ""},
	} {
		state := certificate
		if !c.bound {
			state = nil
		}
		if got := strings.Join(New(c.o).Mechanisms(state), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// gate counts, and lets bob in no more.
type gate struct{ seen []string }

func (g *gate) Enter(_ auth.Peer, user string) (func(error), bool) {
	g.seen = append(g.seen, "enter "+user)
	return func(err error) { g.seen = append(g.seen, fmt.Sprint("left ", err)) }, user != "bob"
}

// TestTheGateIsAskedBeforeTheDirectory: whom it shuts out is denied like others.
func TestTheGateIsAskedBeforeTheDirectory(t *testing.T) {
	for _, c := range []struct {
		mechanism string
		responses []string
		want      string
	}{
		{"PLAIN", []string{"\x00ann\x00pencil"}, "enter ann, left <nil>"},
		{"PLAIN", []string{"\x00ann\x00x"}, "enter ann, left auth: denied"},
		{"PLAIN", []string{"\x00bob\x00x"}, "enter bob"},
		{"XOAUTH2", []string{"user=ann\x01auth=Bearer good\x01\x01"}, "enter ann, left <nil>"},
		{"SCRAM-SHA-256", []string{"n,,n=ann,r=abc", "c=biws,r=abc,p=AAAA"}, "enter ann, left auth: denied"},
		{"SCRAM-SHA-256", []string{"n,,n=bob,r=abc", "c=biws,r=abc,p=AAAA"}, "enter bob"},
	} {
		g := &gate{}
		play(New(Options{Directories: []any{directory{}}, Gate: g, Secret: []byte("s")}), c.mechanism, c.responses...)
		if got := strings.Join(g.seen, ", "); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.mechanism, c.responses, got, c.want)
		}
	}
}

// TestClientsOfGoSASL logs in with another library's clients.
func TestClientsOfGoSASL(t *testing.T) {
	s := New(Options{Directories: []any{directory{}}})
	for _, c := range []sasl.Client{
		sasl.NewPlainClient("", "ann", "pencil"), sasl.NewLoginClient("ann", "pencil"),
		sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: "ann", Token: "good", Host: "mx.test", Port: 25}),
	} {
		name, initial, err := c.Start()
		if err != nil {
			t.Fatal(err)
		}
		x := s.Begin(name, auth.Peer{})
		challenge, who, err := x.Next(t.Context(), initial)
		for err == nil && who == nil {
			var response []byte
			if response, err = c.Next(challenge); err == nil {
				challenge, who, err = x.Next(t.Context(), response)
			}
		}
		if err != nil || who.User != "ann" {
			t.Errorf("%s: %v, %v", name, who, err)
		}
	}
}

// FuzzExchange plays two responses in each mechanism. Only the right ones let in.
func FuzzExchange(f *testing.F) {
	names := Names()
	f.Add(uint8(0), []byte("n,,n=ann,r=abc"), []byte("c=biws,r=abc,p="))
	f.Add(uint8(4), []byte("n,a=ann,\x01auth=Bearer bad\x01\x01"), []byte("\x01"))
	f.Add(uint8(7), []byte("\x00ann\x00pencil"), []byte(""))
	f.Add(uint8(9), []byte("ann 00"), []byte("ann "+hex.EncodeToString(make([]byte, 16))))
	s := New(Options{Directories: []any{directory{}}, Mechanisms: names, Secret: []byte("s")})
	f.Fuzz(func(t *testing.T, which uint8, one, two []byte) {
		name := names[int(which)%len(names)]
		x := s.Begin(name, auth.Peer{})
		for _, response := range [][]byte{one, two, nil} {
			_, who, err := x.Next(t.Context(), response)
			if who != nil && err != nil {
				t.Fatal("both an account and an error")
			}
			shown := slices.ContainsFunc([][]byte{one, two}, func(b []byte) bool {
				return strings.Contains(string(b), "pencil") || strings.Contains(string(b), "good") || strings.Contains(string(b), "\u00ad")
			})
			if who != nil && !shown {
				t.Fatalf("%s let %q %q in", name, one, two)
			}
			if err != nil {
				return
			}
		}
	})
}
