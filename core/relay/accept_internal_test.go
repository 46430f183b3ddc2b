// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// countedFS counts the spool files that are open.
type countedFS struct {
	vfs.FS
	open, opened atomic.Int64
}

type countedFile struct {
	vfs.File
	fs *countedFS
}

func (f countedFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

func (c *countedFS) count(path string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.Contains(path, "/spool/") {
		return f, err
	}
	c.open.Add(1)
	c.opened.Add(1)
	return countedFile{f, c}, nil
}

func (c *countedFS) Create(path string, w vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(path, w)
	return c.count(path, f, err)
}

func (c *countedFS) Open(path string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.Open(path, o...)
	return c.count(path, f, err)
}

// reader is a stage that splits, emits the body at hand and reads what is queued.
type reader struct{ stop mail.Verdict }

func (r reader) Message(_ context.Context, m Message) (mail.Verdict, error) {
	if _, err := m.Split([]int{1}); err != nil {
		return mail.Continue, err
	}
	return r.stop, m.Emit(Emission{Recipients: []mail.Address{"c@x.test"}, Header: []byte("Subject: copy\r\n"), OfMessage: true})
}

func (reader) Phases() []mail.Phase { return []mail.Phase{mail.PhaseQueued} }

func (reader) Phase(_ context.Context, _ mail.Phase, _ int, m Message) (mail.Verdict, error) {
	_, err := m.ReadMessage(1, make([]byte, 10), 0)
	return mail.Continue, err
}

// Whatever becomes of a message, no file of it stays open.
func TestNoBodyStaysOpen(t *testing.T) {
	for _, v := range []mail.Verdict{mail.Continue, mail.Discard, mail.Reject, mail.Quarantine} {
		fs := &countedFS{FS: vfs.NewMem()}
		r, err := Open(context.Background(), Options{Config: withEcho(), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
			Stages: map[string]NewStage{"echo": func([]byte) (Stage, error) { return reader{v}, nil }}, disk: func(o *store.Options) { o.FS = fs }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Submit(context.Background(), Submission{Recipients: []string{"a@x.test", "b@x.test"}, Content: strings.NewReader("Subject: x\n\n" + strings.Repeat("0123456789\n", 20000))})
		if (err != nil) != (v == mail.Reject) {
			t.Errorf("%v: %v", v, err)
		}
		if fs.opened.Load() < 2 || fs.open.Load() != 0 {
			t.Errorf("%v: %d of %d files are still open", v, fs.open.Load(), fs.opened.Load())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
