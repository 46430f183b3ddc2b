// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/export"
	"github.com/postroad-mail/postroad/core/mail"
)

type queueExportCmd struct {
	File   string   `arg:"" help:"File to write; it must not exist."`
	IDs    []string `arg:"" optional:"" name:"id" help:"Ids of messages."`
	All    bool     `help:"All messages."`
	Remove bool     `help:"Remove the messages from the queue once the file is durable. Those that are being tried at that moment are left out."`
	Reason string   `help:"Why they are removed; it is logged."`
	Yes    bool     `help:"Do it. Without it, --remove by a selector or --all only shows what is meant."`

	selector `embed:""`
}

// Run writes an export: to a file beside, synced, then named, and the folder
// synced. Only then messages are removed.
func (k queueExportCmd) Run(c *cli, s streams) error {
	a := control.ExportAction{Remove: k.Remove, By: operatorName()}
	if err := (choice{IDs: k.IDs, All: k.All, selector: k.selector}).into(&a.IDs, &a.Select, "export"); err != nil {
		return err
	}
	if k.Remove && k.Reason == "" {
		return &codedError{exitUsage, errors.New("queue export: --remove needs a --reason")}
	}
	if k.Remove && a.Select != nil && !k.Yes {
		return k.dryRun(c, s, a.Select)
	}
	return look(c, s, func(q reader) error {
		ids, err := writeExport(k.File, func(w io.Writer) error { return q.Export(context.Background(), a, w) })
		if err != nil {
			return err
		}
		removed := 0
		if k.Remove {
			if removed, err = k.remove(c, ids); err != nil {
				return fmt.Errorf("the export %s is whole, but its messages are still in the queue, on hold: %w", k.File, err)
			}
		}
		if c.JSON {
			return printJSON(s.out, map[string]any{"File": k.File, "Messages": len(ids), "Removed": removed})
		}
		_, err = fmt.Fprintf(s.out, "%s written to %s; %d removed from the queue.\n", amount(len(ids), "message"), k.File, removed)
		return err
	})
}

// dryRun shows what would be removed, and writes nothing.
func (k queueExportCmd) dryRun(c *cli, s streams, sel *mail.QueueSelector) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	d, err := client.Act(context.Background(), control.Action{Verb: "drop", Select: sel, By: operatorName(), Reason: k.Reason})
	if err != nil {
		return err
	}
	return report(c, s, d, "")
}

// dropBatch is how many ids go into one request.
const dropBatch = 10_000

// remove drops what was exported.
func (k queueExportCmd) remove(c *cli, ids []string) (removed int, err error) {
	client, err := dial(c)
	if err != nil {
		return 0, err
	}
	for len(ids) > 0 {
		n := min(dropBatch, len(ids))
		d, err := client.Act(context.Background(), control.Action{Verb: "drop", IDs: ids[:n], GoneOK: true, By: operatorName(), Reason: k.Reason + " (exported to " + k.File + ")"})
		if err != nil {
			return removed, err
		}
		removed += d.Messages
		ids = ids[n:]
	}
	return removed, nil
}

// writeExport returns after the export is whole, checked and durable under its
// name, with the ids in it. A file of that name is an error.
func writeExport(path string, write func(io.Writer) error) (ids []string, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, &codedError{exitUsage, fmt.Errorf("queue export: %s exists already; choose another name", path)}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-")
	if err != nil {
		return nil, fmt.Errorf("queue export: no file can be made in the folder %s: %w", filepath.Dir(path), cause(err))
	}
	defer os.Remove(f.Name()) // it has its name by then, or is of no use
	defer f.Close()
	if err := write(f); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if ids, err = checkExport(f); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil { // fails if somebody was faster
		return nil, err
	}
	return ids, syncFolder(filepath.Dir(path))
}

// cause is what err says of a path, without the path.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// checkExport reads a whole export and returns the ids in it.
func checkExport(f io.ReadSeeker) (ids []string, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	x, err := export.NewReader(f)
	for err == nil {
		var m *export.Message
		if m, err = x.Next(); err == nil {
			ids = append(ids, m.Envelope.ID)
		}
	}
	if err != io.EOF {
		return nil, err
	}
	return ids, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type queueImportCmd struct {
	File string `arg:"" help:"The export."`
	Yes  bool   `help:"Do it. Without it, the file is checked and what it would bring is shown."`
}

// Run imports an export: the file is checked to its end before its first message
// is queued.
func (k queueImportCmd) Run(c *cli, s streams) error {
	f, err := os.Open(k.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := checkExport(f); err != nil {
		return &codedError{exitData, fmt.Errorf("%s: %w; nothing was queued, copy the file again", k.File, err)}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	client, err := dial(c)
	if err != nil {
		return err
	}
	i, err := client.Import(context.Background(), control.ImportAction{Yes: k.Yes, By: operatorName()}, f)
	if err != nil {
		return err
	}
	if err := k.print(c, s, i); err != nil {
		return err
	}
	if len(i.Refused) > 0 {
		return &codedError{exitData, fmt.Errorf("%s refused: in the queue already, the first is %s", amount(len(i.Refused), "message"), i.Refused[0])}
	}
	return nil
}

func (k queueImportCmd) print(c *cli, s streams, i control.Imported) error {
	if c.JSON {
		return printJSON(s.out, i)
	}
	if !i.Did {
		return printMeant(s, control.Done{Messages: i.Messages, Recipients: i.Recipients, Octets: i.Octets, First: []mail.QueueEntry{}})
	}
	_, err := fmt.Fprintf(s.out, "%s queued, durably.\n", amount(i.Messages, "message"))
	return err
}
