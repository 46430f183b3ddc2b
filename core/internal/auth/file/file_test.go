// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

func hashed(t testing.TB, password string) string {
	t.Helper()
	h, err := Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	users := map[string]*User{
		"ann":          {Name: "ann", Hash: hashed(t, "pencil"), Keys: Keys("pencil"), Tenant: "shop", Senders: []string{"ann@a.test", "@b.test"}},
		"bob@bob.test": {Name: "bob@bob.test", Hash: hashed(t, "x"), Keys: Keys("x"), Secret: "x"},
	}
	if err := Write(path, users); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || !reflect.DeepEqual(got, users) {
		t.Errorf("%v, %+v", err, got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".users-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestAFileThatOthersMayReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
	d, err := Open(path + ".none")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Fault(); err == nil || !strings.Contains(err.Error(), "postroad user add") {
		t.Error(err)
	}
	if _, err := d.Password(t.Context(), auth.Attempt{User: "ann", Password: "x"}); !errors.Is(err, auth.ErrDenied) {
		t.Error(err)
	}
}

func TestFaultsNameTheirLine(t *testing.T) {
	good := "ann:" + hashed(t, "x")
	for text, want := range map[string]string{
		"ann":                        "line 1: expected name:hash",
		"\n\nann:secret":             "line 3: the hash is neither",
		":x":                         "line 1: a user's name",
		"a b:x":                      "line 1: a user's name",
		good + "\n" + good:           "line 2: user \"ann\" is there already",
		good + " colour=red":         "line 1: colour: not known",
		good + " scram-sha-256=1,,,": "iterations are",
		good + " scram-sha-256=4096,AAAA,AAAA,AAAA": "the keys have 32 octets",
		good + " scram-sha-1=x":                     "expected iterations,salt",
		good + " secret=%":                          "secret: illegal base64",
		"ann:$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAA": "more than",
		"ann:$argon2id$v=19$m=64,t=0,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAA":       "more than",
		"ann:$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAA":        "neither",
		"ann:$2a$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":  "cost",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestPasswordsOfBothHashes(t *testing.T) {
	b, err := bcrypt.GenerateFromPassword([]byte("pencil"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{string(b), "pencil", true}, {string(b), "pencils", false},
		{hashed(t, "pencil"), "pencil", true}, {hashed(t, "pencil"), "", false},
		{"", "", false}, {"x", "x", false},
	} {
		if got := Matches(c.hash, c.password); got != c.want {
			t.Errorf("%.20s, %q: %v", c.hash, c.password, got)
		}
	}
}

func TestTheFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	write := func(name, password string) {
		t.Helper()
		if err := Write(path, map[string]*User{name: {Name: name, Hash: hashed(t, password), Keys: Keys(password)}}); err != nil {
			t.Fatal(err)
		}
	}
	write("ann", "one")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(user, password string) error {
		_, err := d.Password(t.Context(), auth.Attempt{User: user, Password: password})
		return err
	}
	if err := try("ann", "one"); err != nil {
		t.Fatal(err)
	}
	write("bob", "two")
	if err := try("bob", "two"); err != nil {
		t.Errorf("a new user cannot log in: %v", err)
	}
	if err := try("ann", "one"); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("a user that was removed: %v", err)
	}
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try("bob", "two"); err != nil {
		t.Errorf("with a faulty file the users are gone: %v", err)
	}
	if d.Fault() == nil {
		t.Error("the fault is not told")
	}
}

func TestKeysOfUsersWithoutThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := Write(path, map[string]*User{"ann": {Name: "ann", Hash: hashed(t, "x")}}); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Keys(t.Context(), "SHA-256", "ann"); !errors.Is(err, auth.ErrDenied) {
		t.Error(err)
	}
	if _, _, err := d.Secret(t.Context(), "ann"); !errors.Is(err, auth.ErrDenied) {
		t.Error(err)
	}
}

// FuzzParse: what is read is written as it was read.
func FuzzParse(f *testing.F) {
	f.Add([]byte("# users\n\nann:" + hashed(f, "x") + " tenant=a senders=@b.test secret=eA==\n"))
	f.Add([]byte((&User{Name: "bob", Hash: hashed(f, "x"), Keys: Keys("x")}).String()))
	f.Fuzz(func(t *testing.T, b []byte) {
		users, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse([]byte(text(users)))
		if err != nil || len(again) != len(users) {
			t.Fatalf("%v: %q", err, text(users))
		}
		for name, u := range users {
			if again[name].String() != u.String() {
				t.Fatalf("%q became %q", u, again[name])
			}
		}
	})
}
