// SPDX-License-Identifier: Apache-2.0

package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func transport() *Transport {
	return New(Options{Hostname: "mx.test", Clock: testkit.NewClock(time.Unix(1900000000, 123456789))})
}

func message() Message {
	return Message{
		Sender: "alice@example.com",
		Header: []byte("Subject: x\r\n\r\n"),
		Body:   mail.BytesBody("one\r\n.\r\ntwo\r\n"),
	}
}

// files returns the files and folders below dir, with the contents of files.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		all[rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// only returns the one file below dir.
func only(t *testing.T, dir string) (name, content string) {
	t.Helper()
	all := files(t, dir)
	for name, content = range all {
		if len(all) == 1 {
			return name, content
		}
	}
	t.Fatalf("want one file, have %q", all)
	return "", ""
}

func TestDeliver(t *testing.T) {
	root := filepath.Join(t.TempDir(), "mail")
	if r := transport().Deliver(context.Background(), Mailboxes{Root: root, Create: true}, "Bob@Example.ORG", message()); r != nil {
		t.Fatal(r)
	}
	name, content := only(t, root)
	want := "Return-Path: <alice@example.com>\nDelivered-To: Bob@Example.ORG\nSubject: x\n\none\n.\ntwo\n"
	if content != want {
		t.Errorf("got %q, want %q", content, want)
	}
	pattern := fmt.Sprintf(`^example\.org/bob/new/1900000000\.M123456P\d+Q1R[0-9a-f]{16}\.mx\.test,S=%d$`, len(want))
	if !regexp.MustCompile(pattern).MatchString(name) {
		t.Errorf("the file is %s", name)
	}
	for path, mode := range map[string]fs.FileMode{
		"": 0o700, "example.org": 0o700, "example.org/bob": 0o700, "example.org/bob/cur": 0o700,
		"example.org/bob/new": 0o700, "example.org/bob/tmp": 0o700, name: 0o600,
	} {
		if fi, err := os.Stat(filepath.Join(root, path)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, fi.Mode(), err)
		}
	}
}

func TestWhoHasAMailbox(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "example.org", "carol"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "example.org", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "example.org", "gone")); err != nil {
		t.Fatal(err)
	}
	listed := Mailboxes{Root: root, Listed: []string{"Alice@example.org", "a@bücher.test"}}
	for _, c := range []struct {
		boxes Mailboxes
		to    mail.Address
		want  int
	}{
		{listed, "alice@EXAMPLE.org", 0},
		{listed, `"alice"@example.org`, 0},
		{listed, "a@xn--bcher-kva.test", 0},
		{listed, "carol@example.org", 0}, // exists
		{listed, "bob@example.org", 550},
		{listed, "alice@example.net", 550},
		{listed, "file@example.org", 451},
		{Mailboxes{Root: root + "/none"}, "alice@example.org", 451},    // its disk is not mounted?
		{Mailboxes{Root: root, Create: true}, "gone@example.org", 451}, // a link to nowhere
		{Mailboxes{Root: root}, "gone@example.org", 550},
		{Mailboxes{Root: root, Create: true}, "bob@example.org", 0},
		{Mailboxes{Root: root, Create: true}, "bob", 553},
		{Mailboxes{Root: root, Create: true}, mail.Address(strings.Repeat("\x01", 100) + "@example.org"), 553},
	} {
		code := 0
		if r := transport().Deliver(context.Background(), c.boxes, c.to, message()); r != nil {
			code = r.Code
		}
		if code != c.want {
			t.Errorf("%s: got %d, want %d", c.to, code, c.want)
		}
	}
}

// No address leads out of the root.
func TestHostileAddresses(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "a", "b", "mail")
	for _, to := range []mail.Address{
		"../../x@example.org", `"../../../x"@example.org`, "x@../..", "x@..", "..@..", ".@.", "/etc/passwd@/etc",
		"a/b@c/d", "x\x00y@example.org", ".hidden@.hidden", `"\"@example.org`, "~root@example.org", "x@[192.0.2.1]",
		"x\r\nBcc: y@example.org",
	} {
		transport().Deliver(context.Background(), Mailboxes{Root: root, Create: true}, to, message())
	}
	name := regexp.MustCompile(`^a/b/mail/[a-z0-9_+%-][a-z0-9._+%-]*/[a-z0-9_+%-][a-z0-9._+%-]*/new/[^/]+$`)
	all := files(t, top)
	for file, content := range all {
		if !name.MatchString(file) || strings.Contains(content, "\nBcc:") {
			t.Errorf("%s: %q", file, content)
		}
	}
	if len(all) < 12 {
		t.Errorf("only %d were delivered", len(all))
	}
}

func TestLinksDoNotLeadOut(t *testing.T) {
	top := t.TempDir()
	root, out := filepath.Join(top, "mail"), filepath.Join(top, "out")
	for _, d := range []string{root + "/example.org/bob", out} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []string{root + "/example.org/alice", root + "/example.org/bob/new", root + "/example.net"} {
		if err := os.Symlink(out, l); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []mail.Address{"alice@example.org", "bob@example.org", "x@example.net"} {
		r := transport().Deliver(context.Background(), Mailboxes{Root: root, Create: true}, to, message())
		if r == nil || !r.Temporary() {
			t.Errorf("%s: %v", to, r)
		}
	}
	if all := files(t, out); len(all) > 0 {
		t.Errorf("outside: %q", all)
	}
}

// A success comes after the file, the folder that it is in and every new folder
// were synced; without the sync of any of them there is none, and no file.
func TestSyncs(t *testing.T) {
	run := func(failAt int) (synced []string, left map[string]string, r *mail.Reply) {
		root := filepath.Join(t.TempDir(), "mail")
		tr := transport()
		tr.fsync = func(f *os.File) error {
			rel, _ := filepath.Rel(root, f.Name())
			synced = append(synced, regexp.MustCompile(`[0-9]+\.M.*`).ReplaceAllString(rel, "FILE"))
			if len(synced)-1 == failAt {
				return syscall.EIO
			}
			return f.Sync()
		}
		r = tr.Deliver(context.Background(), Mailboxes{Root: root, Create: true}, "bob@x.test", message())
		if _, err := os.Stat(root); err != nil {
			return synced, nil, r
		}
		return synced, files(t, root), r
	}
	synced, _, r := run(-1)
	want := []string{"..", ".", "x.test", "x.test/bob", "x.test/bob/tmp/FILE", "x.test/bob/new"}
	if r != nil || !slices.Equal(synced, want) {
		t.Fatalf("%v\ngot  %q\nwant %q", r, synced, want)
	}
	for i := range want {
		if _, left, r := run(i); r == nil || r.Code != 451 || len(left) > 0 {
			t.Errorf("sync %d fails: %v, left %q", i, r, left)
		}
	}
}

// The folders are synced by the first delivery into a mailbox alone, and one
// that was taken away is made again.
func TestSecondDelivery(t *testing.T) {
	root := t.TempDir()
	tr := transport()
	syncs := 0
	tr.fsync = func(f *os.File) error { syncs++; return nil }
	deliver := func(wantSyncs int) {
		t.Helper()
		syncs = 0
		if r := tr.Deliver(context.Background(), Mailboxes{Root: root, Create: true}, "bob@x.test", message()); r != nil || syncs != wantSyncs {
			t.Errorf("%v, %d syncs, want %d", r, syncs, wantSyncs)
		}
	}
	deliver(5)
	deliver(2)
	if err := os.RemoveAll(filepath.Join(root, "x.test")); err != nil {
		t.Fatal(err)
	}
	deliver(5)
	if err := os.RemoveAll(filepath.Join(root, "x.test", "bob", "tmp")); err != nil {
		t.Fatal(err)
	}
	if r := tr.Deliver(context.Background(), Mailboxes{Root: root, Create: true}, "bob@x.test", message()); r == nil || !r.Temporary() {
		t.Error(r)
	}
	deliver(5)
}

func TestWhatFaultsMean(t *testing.T) {
	for err, want := range map[error]string{
		&fs.PathError{Op: "write", Err: syscall.ENOSPC}: "452 4.3.1",
		fmt.Errorf("x: %w", syscall.EDQUOT):             "452 4.2.2",
		syscall.EIO:                                     "451 4.3.0",
		fs.ErrPermission:                                "451 4.3.0",
		errors.Join(syscall.ENOSPC, fs.ErrNotExist):     "452 4.3.1",
	} {
		if r := refuse(err); !strings.HasPrefix(r.Line(), want) || !errors.Is(r, err) {
			t.Errorf("%v: %s", err, r.Line())
		}
	}
}

type brokenBody struct{ mail.BytesBody }

func (b brokenBody) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		return 0, errors.New("bad disk")
	}
	return b.BytesBody.ReadAt(p, off)
}

func TestNoHalfMessage(t *testing.T) {
	root := t.TempDir()
	msg := message()
	msg.Body = brokenBody{make([]byte, 1<<20)}
	r := transport().Deliver(context.Background(), Mailboxes{Root: root, Create: true}, "bob@x.test", msg)
	if left := files(t, root); r == nil || r.Code != 451 || len(left) > 0 {
		t.Errorf("%v, left %d files", r, len(left))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r = transport().Deliver(ctx, Mailboxes{Root: root, Create: true}, "bob@x.test", message())
	if left := files(t, root); r == nil || r.Code != 451 || len(left) > 0 {
		t.Errorf("%v, left %d files", r, len(left))
	}
}

func TestManyAtOnce(t *testing.T) {
	root := t.TempDir()
	tr := transport() // its clock stands still
	tr.fsync = func(*os.File) error { return nil }
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if r := tr.Deliver(context.Background(), Mailboxes{Root: root, Create: true}, "bob@x.test", message()); r != nil {
					t.Error(r)
				}
			}
		})
	}
	wg.Wait()
	if n := len(files(t, root)); n != 400 {
		t.Errorf("%d files", n)
	}
}

func TestLineEnds(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"a\r\nb\r\n":        "a\nb\n",
		"a\nb\rc\r\r\n\r\n": "a\nb\rc\r\n\n",
		"a\r":               "a\r",
		"\r\n":              "\n",
	} {
		for piece := 1; piece <= len(in)+1; piece++ {
			if got := convert(t, []byte(in), piece); got != want {
				t.Errorf("%q in pieces of %d: %q", in, piece, got)
			}
		}
	}
}

func convert(t *testing.T, in []byte, piece int) string {
	var b bytes.Buffer
	l := lines{w: newBuffers().out}
	l.w.Reset(&b)
	for len(in) > 0 {
		n := min(piece, len(in))
		l.write(in[:n])
		in = in[n:]
	}
	l.end()
	if err := l.w.Flush(); err != nil || l.n != int64(b.Len()) {
		t.Fatal(err, l.n)
	}
	return b.String()
}

func FuzzLineEnds(f *testing.F) {
	f.Add([]byte("a\r\r\n\r"), 2)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		piece = max(1, piece&0xff)
		want := strings.ReplaceAll(string(in), "\r\n", "\n")
		if got := convert(t, in, piece); got != want {
			t.Fatalf("%q in pieces of %d: got %q, want %q", in, piece, got, want)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("../x@y/../z")
	f.Add(`"a\"b"@[IPv6:::1]`)
	good := regexp.MustCompile(`^[a-z0-9_+%-][a-z0-9._+%-]*/[a-z0-9_+%-][a-z0-9._+%-]*$`)
	f.Fuzz(func(t *testing.T, a string) {
		p, err := Path(mail.Address(a))
		if err == nil && (!good.MatchString(p) || !filepath.IsLocal(p)) {
			t.Fatalf("%q has the path %q", a, p)
		}
		if other, otherErr := Path(mail.Address(strings.ToUpper(a))); mail.Address(a).ASCII() && (other != p || (err == nil) != (otherErr == nil)) {
			t.Fatalf("%q: %q and %q", a, p, other)
		}
	})
}

func BenchmarkDeliver(b *testing.B) {
	root := b.TempDir()
	tr := transport()
	msg := message()
	msg.Body = mail.BytesBody(bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog again and again.\r\n"), 83))
	b.ReportAllocs()
	for b.Loop() {
		if r := tr.Deliver(b.Context(), Mailboxes{Root: root, Create: true}, "bob@x.test", msg); r != nil {
			b.Fatal(r)
		}
	}
}
