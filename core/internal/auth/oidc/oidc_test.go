// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is a provider that signs whatever a test wants.
type issuer struct {
	*httptest.Server
	rsa *rsa.PrivateKey

	mu    sync.Mutex
	now   time.Time
	keys  []jose.JSONWebKey
	down  bool
	asked atomic.Int32 // for keys
	as    string       // issuer that it says it is
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{rsa: key, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	i.publish("one", key.Public())
	i.Server = httptest.NewServer(i)
	i.as = i.URL
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) publish(kid string, key crypto.PublicKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"})
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var body any
	switch {
	case i.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.URL.Path == "/.well-known/openid-configuration":
		body = map[string]any{"issuer": i.as, "jwks_uri": i.URL + "/keys", "introspection_endpoint": i.URL + "/introspect"}
	case r.URL.Path == "/keys":
		i.asked.Add(1)
		body = jose.JSONWebKeySet{Keys: i.keys}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (i *issuer) options() Options {
	return Options{Issuer: i.URL, Audiences: []string{"smtp"}, Clients: []string{}, Scopes: []string{}, UserClaim: "email", Skew: time.Minute, Now: i.clock}
}

func (i *issuer) directory(t *testing.T, change func(*Options)) *Directory {
	t.Helper()
	o := i.options()
	if change != nil {
		change(&o)
	}
	d := New(o)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// good are the claims of a token that is good; with changes, nil takes out.
func (i *issuer) good(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "aud": "smtp", "sub": "17", "azp": "mailer", "scope": "mail.send openid", "email": "ann@example.org", "email_verified": true,
		"iat": i.clock().Unix(), "nbf": i.clock().Unix(), "exp": i.clock().Add(time.Hour).Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// token signs claims with the key that the issuer began with.
func (i *issuer) token(t *testing.T, change map[string]any) string {
	t.Helper()
	return sign(t, jose.RS256, i.rsa, map[jose.HeaderKey]any{"kid": "one", "typ": "at+jwt"}, i.good(change))
}

func isDenied(err error) bool { return errors.Is(err, auth.ErrDenied) }

func TestATokenLogsItsUserIn(t *testing.T) {
	i := newIssuer(t)
	d := i.directory(t, nil)
	for _, user := range []string{"", "ann@example.org", "Ann@Example.org"} {
		who, err := d.Token(t.Context(), user, i.token(t, nil))
		if err != nil || who.User != "ann@example.org" || who.Tenant != "" {
			t.Errorf("as %q: %+v %v", user, who, err)
		}
	}
	if _, err := d.Token(t.Context(), "bob@example.org", i.token(t, nil)); !isDenied(err) {
		t.Errorf("a token of ann logs bob in: %v", err)
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times for its keys", n)
	}
}

func TestClaimsThatATokenMustHave(t *testing.T) {
	i := newIssuer(t)
	all := func(o *Options) {
		o.Clients, o.Scopes, o.TenantClaim = []string{"mailer"}, []string{"mail.send"}, "org"
	}
	for name, c := range map[string]struct {
		change map[string]any
		ok     bool
	}{
		"as it should be":            {nil, true},
		"audiences":                  {map[string]any{"aud": []string{"web", "smtp"}}, true},
		"client_id":                  {map[string]any{"azp": nil, "client_id": "mailer"}, true},
		"scp":                        {map[string]any{"scope": nil, "scp": []string{"mail.send"}}, true},
		"expired within the skew":    {map[string]any{"exp": i.now.Add(-59 * time.Second).Unix()}, true},
		"early within the skew":      {map[string]any{"nbf": i.now.Add(59 * time.Second).Unix()}, true},
		"email_verified as a text":   {map[string]any{"email_verified": "true"}, true},
		"expired":                    {map[string]any{"exp": i.now.Add(-time.Minute).Unix()}, false},
		"no expiry":                  {map[string]any{"exp": nil}, false},
		"expiry null":                {map[string]any{"exp": json.RawMessage("null")}, false},
		"expiry a text":              {map[string]any{"exp": "2999-01-01"}, false},
		"expiry beyond all years":    {map[string]any{"exp": 1e300}, false},
		"not yet":                    {map[string]any{"nbf": i.now.Add(2 * time.Minute).Unix()}, false},
		"issued tomorrow":            {map[string]any{"iat": i.now.Add(24 * time.Hour).Unix()}, false},
		"another issuer":             {map[string]any{"iss": "https://evil.example"}, false},
		"issuer with a slash":        {map[string]any{"iss": i.URL + "/"}, false},
		"no issuer":                  {map[string]any{"iss": nil}, false},
		"another audience":           {map[string]any{"aud": "web"}, false},
		"no audience":                {map[string]any{"aud": nil}, false},
		"audience nested":            {map[string]any{"aud": [][]string{{"smtp"}}}, false},
		"audience in other case":     {map[string]any{"aud": "web", "AUD": "smtp"}, false},
		"another client":             {map[string]any{"azp": "game"}, false},
		"azp wins over client_id":    {map[string]any{"azp": "game", "client_id": "mailer"}, false},
		"scope missing":              {map[string]any{"scope": "mail.sender openid"}, false},
		"email not verified":         {map[string]any{"email_verified": false}, false},
		"email_verified missing":     {map[string]any{"email_verified": nil}, false},
		"no email":                   {map[string]any{"email": nil}, false},
		"email a list":               {map[string]any{"email": []string{"ann@example.org"}}, false},
		"email with a line end":      {map[string]any{"email": "ann@example.org\r\nX: y"}, false},
		"email without end":          {map[string]any{"email": strings.Repeat("a", 256)}, false},
		"no tenant":                  {map[string]any{"org": nil}, false},
		"claims of a user elsewhere": {map[string]any{"_claim_names": map[string]string{"email": "x"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			change := map[string]any{"org": "shop"}
			maps.Copy(change, c.change)
			who, err := i.directory(t, all).Token(t.Context(), "", i.token(t, change))
			if c.ok && (err != nil || who.Tenant != "shop") || !c.ok && !isDenied(err) {
				t.Errorf("%+v %v", who, err)
			}
		})
	}
}

func TestOtherClaimsCanNameTheUser(t *testing.T) {
	i := newIssuer(t)
	for claim, want := range map[string]string{"sub": "17", "preferred_username": "ann"} {
		d := i.directory(t, func(o *Options) { o.UserClaim, o.Tenant = claim, "shop" })
		who, err := d.Token(t.Context(), want, i.token(t, map[string]any{"preferred_username": "ann", "email_verified": false}))
		if err != nil || who.User != want || who.Tenant != "shop" {
			t.Errorf("%s: %+v %v", claim, who, err)
		}
	}
	d := i.directory(t, func(o *Options) { o.AnyEmail = true })
	if _, err := d.Token(t.Context(), "", i.token(t, map[string]any{"email_verified": false})); err != nil {
		t.Error(err)
	}
}

func TestSignaturesOfEveryKindAreRead(t *testing.T) {
	i := newIssuer(t)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	i.publish("ec", p256.Public())
	i.publish("ed", ed.Public())
	d := i.directory(t, nil)
	for _, c := range []struct {
		alg jose.SignatureAlgorithm
		key any
		kid string
	}{{jose.RS256, i.rsa, "one"}, {jose.RS512, i.rsa, "one"}, {jose.PS256, i.rsa, "one"}, {jose.ES256, p256, "ec"}, {jose.EdDSA, ed, "ed"}} {
		token := sign(t, c.alg, c.key, map[jose.HeaderKey]any{"kid": c.kid}, i.good(nil))
		if _, err := d.Token(t.Context(), "", token); err != nil {
			t.Errorf("%s: %v", c.alg, err)
		}
	}
}

func raw(parts ...string) string {
	for i, p := range parts {
		parts[i] = base64.RawURLEncoding.EncodeToString([]byte(p))
	}
	return strings.Join(parts, ".")
}

func TestHostileTokensAreDenied(t *testing.T) {
	i := newIssuer(t)
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	der, _ := x509.MarshalPKIXPublicKey(i.rsa.Public())
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	claims, _ := json.Marshal(i.good(nil))
	kid := map[jose.HeaderKey]any{"kid": "one"}
	good := i.token(t, nil)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"alg none":                      raw(`{"alg":"none","kid":"one"}`, string(claims), ""),
		"alg None, in other case":       raw(`{"alg":"nOnE","kid":"one"}`, string(claims), ""),
		"no alg":                        raw(`{"kid":"one"}`, string(claims), ""),
		"HS256 with the public key":     sign(t, jose.HS256, public, kid, i.good(nil)),
		"HS256 with the DER":            sign(t, jose.HS256, der, kid, i.good(nil)),
		"another key by the same kid":   sign(t, jose.RS256, other, kid, i.good(nil)),
		"a key in its own header":       sign(t, jose.RS256, other, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: other.Public(), Algorithm: "RS256"}}, i.good(nil)),
		"a key from elsewhere":          sign(t, jose.RS256, other, map[jose.HeaderKey]any{"kid": "one", "jku": "https://evil.example/keys", "x5u": "https://evil.example"}, i.good(nil)),
		"kid is a path":                 sign(t, jose.RS256, other, map[jose.HeaderKey]any{"kid": "../../../../dev/null"}, i.good(nil)),
		"kid is SQL":                    sign(t, jose.RS256, other, map[jose.HeaderKey]any{"kid": "one' UNION SELECT 'x"}, i.good(nil)),
		"kid is an object":              raw(`{"alg":"RS256","kid":{"one":1}}`, string(claims), "x"),
		"type of a logout":              sign(t, jose.RS256, i.rsa, map[jose.HeaderKey]any{"kid": "one", "typ": "logout+jwt"}, i.good(nil)),
		"type that is no text":          sign(t, jose.RS256, i.rsa, map[jose.HeaderKey]any{"kid": "one", "typ": 7}, i.good(nil)),
		"crit that nobody understands":  sign(t, jose.RS256, i.rsa, map[jose.HeaderKey]any{"kid": "one", "crit": []string{"x"}, "x": 1}, i.good(nil)),
		"signature of another token":    parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"x"}`)) + "." + parts[2],
		"signature cut off":             parts[0] + "." + parts[1] + ".",
		"five parts":                    good + ".a.b",
		"signed JSON, not compact":      fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"huge":                          i.token(t, map[string]any{"x": strings.Repeat("x", 10_000)}),
		"nested":                        sign(t, jose.RS256, i.rsa, map[jose.HeaderKey]any{"kid": "one", "cty": "JWT"}, good),
		"claims nested deeply":          sign(t, jose.RS256, i.rsa, kid, json.RawMessage(strings.Repeat("[", 3000)+strings.Repeat("]", 3000))),
		"claims null":                   sign(t, jose.RS256, i.rsa, kid, nil),
		"empty":                         "",
		"dots":                          "..",
		"octets":                        "\x00\xff.\x00.\x00",
		"a token of nobody's encoding":  parts[0] + "." + parts[1] + "=." + parts[2],
		"white space":                   parts[0] + ".\n" + parts[1] + "." + parts[2],
		"the second of two expirations": sign(t, jose.RS256, i.rsa, kid, json.RawMessage(fmt.Sprintf(`{"iss":%q,"aud":"smtp","email":"a@b","email_verified":true,"exp":1,"EXP":9999999999}`, i.URL))),
	} {
		t.Run(name, func(t *testing.T) {
			who, err := i.directory(t, nil).Token(t.Context(), "", token)
			if !isDenied(err) || who != nil {
				t.Errorf("%+v %v", who, err)
			}
			if err != nil && strings.Contains(err.Error(), parts[2][:20]) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestANewKeyIsFetchedOnceInAWhile(t *testing.T) {
	i := newIssuer(t)
	d := i.directory(t, nil)
	mustLogIn(t, d, i.token(t, nil))
	next, _ := rsa.GenerateKey(rand.Reader, 2048)
	token := func() string {
		return sign(t, jose.RS256, next, map[jose.HeaderKey]any{"kid": "two"}, i.good(nil))
	}
	for range 50 { // within the minute nobody makes us ask
		if _, err := d.Token(t.Context(), "", token()); !isDenied(err) {
			t.Fatal(err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	i.publish("two", next.Public())
	i.change(func() { i.now = i.now.Add(apart) })
	mustLogIn(t, d, token())
	mustLogIn(t, d, i.token(t, nil))
	if n := i.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestAKeyThatTheProviderWithdrawsIsGoodNoLonger(t *testing.T) {
	i := newIssuer(t)
	d := i.directory(t, nil)
	mustLogIn(t, d, i.token(t, nil))
	i.change(func() { i.keys, i.now = nil, i.now.Add(refresh) })
	mustLogIn(t, d, i.token(t, nil)) // by what is known; the provider is asked behind it
	d.settle()
	if _, err := d.Token(t.Context(), "", i.token(t, nil)); !isDenied(err) {
		t.Errorf("after the keys have gone: %v", err)
	}
}

// settle waits until the provider has answered.
func (d *Directory) settle() {
	d.mu.Lock()
	asking := d.asking
	d.mu.Unlock()
	if asking != nil {
		<-asking
	}
}

func TestAProviderThatIsDownIsAFaultAndComesBack(t *testing.T) {
	i := newIssuer(t)
	i.change(func() { i.down = true })
	d := i.directory(t, nil) // that it can be made at all is the point
	for range 3 {
		if _, err := d.Token(t.Context(), "", i.token(t, nil)); err == nil || isDenied(err) {
			t.Fatalf("%v", err)
		}
	}
	i.change(func() { i.down, i.now = false, i.now.Add(apart) })
	mustLogIn(t, d, i.token(t, nil))
	i.change(func() { i.down, i.now = true, i.now.Add(keep-time.Second) })
	mustLogIn(t, d, i.token(t, nil)) // it is down for less than a day
	d.settle()
	i.change(func() { i.now = i.now.Add(time.Hour) })
	if _, err := d.Token(t.Context(), "", i.token(t, nil)); err == nil || isDenied(err) {
		t.Errorf("after a day: %v", err)
	}
}

// TestAReloadWhileTheProviderIsDownShutsNobodyOut: the next directory knows what
// this one was told.
func TestAReloadWhileTheProviderIsDownShutsNobodyOut(t *testing.T) {
	i, known := newIssuer(t), NewKnown()
	with := func(o *Options) { o.Known = known }
	first := i.directory(t, with)
	mustLogIn(t, first, i.token(t, nil))
	i.change(func() { i.down = true })
	_ = first.Close()
	second := i.directory(t, with)
	mustLogIn(t, second, i.token(t, nil))
	i.change(func() { i.now = i.now.Add(keep) })
	if _, err := second.Token(t.Context(), "", i.token(t, nil)); err == nil || isDenied(err) {
		t.Errorf("after a day: %v", err)
	}
}

func mustLogIn(t *testing.T, d *Directory, token string) {
	t.Helper()
	if _, err := d.Token(t.Context(), "", token); err != nil {
		t.Fatal(err)
	}
}

func TestDiscoveryOfSomebodyElseIsAFault(t *testing.T) {
	i := newIssuer(t)
	i.change(func() { i.as = "https://evil.example" })
	if _, err := i.directory(t, nil).Token(t.Context(), "", i.token(t, nil)); err == nil || isDenied(err) {
		t.Errorf("%v", err)
	}
}

// answers is a transport that answers by hand.
type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func TestRequestsGoNowhereElse(t *testing.T) {
	i := newIssuer(t)
	big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxBody+1)) }))
	t.Cleanup(big.Close)
	turns := httptest.NewServer(http.RedirectHandler(i.URL+"/.well-known/openid-configuration", http.StatusFound))
	t.Cleanup(turns.Close)
	for name, url := range map[string]string{"plain": "http://192.0.2.1", "too long": big.URL, "redirect": turns.URL, "file": "file:///etc/passwd", "none": ""} {
		d := i.directory(t, func(o *Options) {
			o.Issuer = url
			if name == "plain" {
				o.HTTP = answers(func(r *http.Request) (*http.Response, error) {
					t.Errorf("%s was asked", r.URL)
					return nil, errors.New("no")
				})
			}
		})
		if _, err := d.Token(t.Context(), "", i.token(t, nil)); err == nil || isDenied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALoginEndsWithItsContext(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(hold) })
	i := newIssuer(t)
	d := i.directory(t, func(o *Options) { o.Issuer = s.URL })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Token(ctx, "", i.token(t, nil)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = d.Close() // it breaks the request off
	if _, err := d.Token(t.Context(), "", i.token(t, nil)); err == nil || isDenied(err) {
		t.Errorf("after Close: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(raw(`{"alg":"none"}`, `{}`, ""))
	f.Add(raw(`{"alg":"RS256","kid":"one"}`, `{"iss":"x","exp":1e300}`, "x"))
	f.Add("a.b.c")
	key, _ := rsa.GenerateKey(rand.Reader, 2048)
	set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one"}}})
	d := New(Options{Issuer: "https://id.example", UserClaim: "sub", Now: time.Now, HTTP: answers(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if strings.HasSuffix(r.URL.Path, "/keys") {
			_, _ = w.Write(set)
		} else {
			_, _ = w.WriteString(`{"issuer":"https://id.example","jwks_uri":"https://id.example/keys"}`)
		}
		return w.Result(), nil
	})})
	f.Cleanup(func() { _ = d.Close() })
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := d.Token(t.Context(), "", token); who != nil || !isDenied(err) {
			t.Errorf("%q: %+v %v", token, who, err)
		}
	})
}

// FuzzClaims: whatever the claims hold, who is logged in is whom they name.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"iss":"https://id.example","aud":["smtp"],"email":"a@b","email_verified":"true","exp":9e9,"scp":["x y"],"azp":1}`))
	f.Add([]byte(`{"exp":null,"nbf":-1,"aud":[[1]],"scope":{}}`))
	f.Add([]byte(`null`))
	d := New(Options{Issuer: "https://id.example", Audiences: []string{"smtp"}, UserClaim: "email", Scopes: []string{"x"}, Now: time.Now})
	f.Cleanup(func() { _ = d.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseClaims(b)
		if err != nil {
			return
		}
		if who, err := d.account(c, ""); err == nil && (who.User == "" || !plain(who.User)) {
			t.Errorf("%q logs %+v in", b, who)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},7]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, _ := parseKeys(b)
		for _, k := range keys {
			if !k.IsPublic() {
				t.Errorf("%q: a key that is not public", b)
			}
		}
	})
}
