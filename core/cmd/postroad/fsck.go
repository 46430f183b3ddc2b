// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/relay"
)

type queueFsckCmd struct {
	Repair bool `help:"Move what is damaged to data_dir/damaged, so that the relay starts. Nothing is deleted."`
}

// Run checks the data directory of a relay that does not run.
func (k queueFsckCmd) Run(c *cli, s streams) error {
	if err := noRelay(c, "fsck", "or check a copy that postroad queue backup makes"); err != nil {
		return err
	}
	o := relay.Options{ConfigFile: c.Config}
	check := relay.CheckQueue
	if k.Repair {
		check = func(o relay.Options) (*relay.Fsck, error) { return relay.RepairQueue(o, time.Now()) }
	}
	f, err := check(o)
	if err != nil {
		return err
	}
	if err := k.print(c, s, f); err != nil {
		return err
	}
	if len(f.Problems) > 0 && !k.Repair {
		return &codedError{exitData, fmt.Errorf("%s in %s: look at the list, then run postroad queue fsck --repair", problems(len(f.Problems)), f.DataDir)}
	}
	return nil
}

// noRelay refuses while a relay runs: what it writes is no damage, and its queue
// cannot be another.
func noRelay(c *cli, command, instead string) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	if _, err := client.Info(context.Background()); errors.Is(err, control.ErrNotRunning) {
		return nil
	}
	return &codedError{exitUnavailable, fmt.Errorf("queue %s: the relay is running on this data directory; stop it first, %s", command, instead)}
}

func problems(n int) string {
	if n == 1 {
		return "1 problem"
	}
	return fmt.Sprintf("%d problems", n)
}

func (k queueFsckCmd) print(c *cli, s streams, f *relay.Fsck) error {
	if c.JSON {
		return printJSON(s.out, f)
	}
	for _, p := range f.Problems {
		fmt.Fprintln(s.out, "problem:", harmless(p))
	}
	for _, n := range f.Notes {
		fmt.Fprintln(s.out, "note:", harmless(n))
	}
	return k.summary(s.out, f)
}

func (k queueFsckCmd) summary(w io.Writer, f *relay.Fsck) error {
	if f.Aside != "" {
		fmt.Fprintf(w, "What was damaged is in %s now. The relay can start.\n", f.Aside)
	}
	_, err := fmt.Fprintf(w, "%s to %s, %s, %s.\n", amount(f.Messages, "message"), amount(f.Recipients, "recipient"), amount(f.BodyFiles, "body file"), problems(len(f.Problems)))
	return err
}

type queueBackupCmd struct {
	Dir string `arg:"" help:"Folder to make, with a copy of queue and stores in it. It must not exist."`
}

// Run makes a copy of the queue: by the running relay, or from disk.
func (k queueBackupCmd) Run(c *cli, s streams) error {
	dir, err := filepath.Abs(k.Dir)
	if err != nil {
		return err
	}
	if err := k.make(c, dir); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, map[string]string{"backup": dir})
	}
	_, err = fmt.Fprintf(s.out, "The backup is complete and synced: %s\n", dir)
	return err
}

func (k queueBackupCmd) make(c *cli, dir string) error {
	client, err := dial(c)
	if err != nil {
		return err
	}
	if err = client.Backup(context.Background(), dir); !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	q, openErr := relay.OpenQueue(relay.Options{ConfigFile: c.Config})
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	return errors.Join(q.Backup(context.Background(), dir), q.Close())
}
