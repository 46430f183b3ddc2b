// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

type fake struct {
	did    []Action
	backup string
}

func (f *fake) Info(context.Context) (Info, error) { return Info{Version: "v", PID: 7}, nil }
func (f *fake) Reload(context.Context) error       { return errors.New("pipeline.hcl:3: no such plugin") }
func (f *fake) List(_ context.Context, q Filter) ([]mail.QueueEntry, error) {
	return []mail.QueueEntry{{ID: "1", Sender: mail.Address(q.Sender)}}, nil
}
func (f *fake) Show(_ context.Context, id string) (mail.QueueEntry, error) {
	return mail.QueueEntry{ID: id}, nil
}
func (f *fake) Act(_ context.Context, a Action) (Done, error) {
	f.did = append(f.did, a)
	return Done{Messages: len(a.IDs), Did: true}, nil
}
func (f *fake) Suspend(_ context.Context, a SuspendAction) (Done, error) {
	return Done{Suspension: &mail.Suspension{Tenant: a.Select.Tenant, Reason: a.Reason}}, nil
}
func (f *fake) Resume(_ context.Context, a ResumeAction) ([]mail.Suspension, error) {
	return []mail.Suspension{{ID: a.IDs[0]}}, nil
}
func (f *fake) Suspensions(context.Context) ([]mail.Suspension, error) {
	return []mail.Suspension{{ID: "s"}}, nil
}
func (f *fake) Export(_ context.Context, a ExportAction, w io.Writer) error {
	fmt.Fprintf(w, "%d ids\n", len(a.IDs))
	if len(a.IDs) == 0 {
		return errors.New("nothing\nto export")
	}
	return nil
}
func (f *fake) Import(_ context.Context, a ImportAction, r io.Reader) (Imported, error) {
	b, err := io.ReadAll(r)
	return Imported{Octets: int64(len(b)), Did: a.Yes}, err
}

func (f *fake) Stages(context.Context) ([]StageState, error) {
	return []StageState{{Pipeline: "in", Stage: "filter", State: "live", Calls: 7}}, nil
}
func (f *fake) SetStage(_ context.Context, a StageAction) (StageState, error) {
	return StageState{Stage: a.Stage, State: a.Verb}, nil
}
func (f *fake) Backup(_ context.Context, dir string) error {
	f.backup = dir
	return nil
}

func (f *fake) Differences(_ context.Context, stage string) ([]Difference, error) {
	return []Difference{{ID: stage, Live: Decided{Verdict: "continue"}, Edits: []string{"x"}}}, nil
}

func TestClientAndServer(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), SocketName)
	if err := os.WriteFile(path, nil, 0o644); err != nil { // what a killed relay left
		t.Fatal(err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	f := &fake{}
	s := NewServer(f)
	s.Serve(l)
	c := Dial(path)
	if i, err := c.Info(ctx); err != nil || i.PID != 7 {
		t.Errorf("info %+v, %v", i, err)
	}
	if err := c.Reload(ctx); err == nil || !strings.Contains(err.Error(), "pipeline.hcl:3") {
		t.Errorf("reload said %v", err)
	}
	if ms, err := c.List(ctx, Filter{QueueSelector: mail.QueueSelector{Sender: "a@b.test"}}); err != nil || len(ms) != 1 || ms[0].Sender != "a@b.test" {
		t.Errorf("list %+v, %v", ms, err)
	}
	if m, err := c.Show(ctx, "x"); err != nil || m.ID != "x" {
		t.Errorf("show %+v, %v", m, err)
	}
	if n, err := c.Act(ctx, Action{Verb: "drop", IDs: []string{"1", "2"}}); err != nil || n.Messages != 2 || f.did[0].Verb != "drop" {
		t.Errorf("act %+v, %v", n, err)
	}
	operatesTheQueue(t, c)
	if ss, err := c.Stages(ctx); err != nil || len(ss) != 1 || ss[0].Calls != 7 {
		t.Errorf("stages %+v, %v", ss, err)
	}
	if st, err := c.SetStage(ctx, StageAction{Verb: "promote", Stage: "in/filter"}); err != nil || st.Stage != "in/filter" || st.State != "promote" {
		t.Errorf("stage %+v, %v", st, err)
	}
	if ds, err := c.Differences(ctx, "in/filter"); err != nil || len(ds) != 1 || ds[0].ID != "in/filter" || len(ds[0].Edits) != 1 {
		t.Errorf("differences %+v, %v", ds, err)
	}
	if err := c.Backup(ctx, "/backups/1"); err != nil || f.backup != "/backups/1" {
		t.Errorf("backup %q, %v", f.backup, err)
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Info(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a stopped relay gave %v", err)
	}
}

func operatesTheQueue(t *testing.T, c *Client) {
	ctx := context.Background()
	if d, err := c.Suspend(ctx, SuspendAction{Select: mail.QueueSelector{Tenant: "shop"}, Reason: "why"}); err != nil || d.Suspension.Tenant != "shop" || d.Suspension.Reason != "why" {
		t.Errorf("suspend %+v, %v", d, err)
	}
	if ss, err := c.Resume(ctx, ResumeAction{IDs: []string{"s"}}); err != nil || ss[0].ID != "s" {
		t.Errorf("resume %+v, %v", ss, err)
	}
	if ss, err := c.Suspensions(ctx); err != nil || ss[0].ID != "s" {
		t.Errorf("suspensions %+v, %v", ss, err)
	}
	var out strings.Builder
	if err := c.Export(ctx, ExportAction{IDs: []string{"1"}}, &out); err != nil || out.String() != "1 ids\n" {
		t.Errorf("export %q, %v", out.String(), err)
	}
	var refused *Refused
	if err := c.Export(ctx, ExportAction{}, io.Discard); !errors.As(err, &refused) || refused.Text != "nothing to export" {
		t.Errorf("an export that failed halfway gave %v", err)
	}
	long := strings.Repeat("x", 3<<20)
	if i, err := c.Import(ctx, ImportAction{Yes: true}, strings.NewReader(long)); err != nil || i.Octets != int64(len(long)) || !i.Did {
		t.Errorf("import %+v, %v", i, err)
	}
	if _, err := c.Import(ctx, ImportAction{By: long}, strings.NewReader("")); err == nil {
		t.Error("an endless first line was read")
	}
}

func TestAPathThatIsTooLongIsSaidSo(t *testing.T) {
	_, err := Listen(filepath.Join(t.TempDir(), strings.Repeat("x", 120), SocketName))
	if err == nil || !strings.Contains(err.Error(), "shorter data_dir") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
