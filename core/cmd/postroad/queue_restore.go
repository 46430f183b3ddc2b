// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/postroad-mail/postroad/core/relay"
)

type queueRestoreCmd struct {
	Dir  string `arg:"" help:"Folder that postroad queue backup has made. It is read, and stays as it is."`
	Hold string `placeholder:"REASON" help:"Hold everything that was restored, so that nothing is delivered before it is released. What was held or in quarantine stays so."`
}

// Run puts a backup into the data directory.
func (k queueRestoreCmd) Run(c *cli, s streams) error {
	if err := noRelay(c, "restore", "or restore into another data_dir"); err != nil {
		return err
	}
	dir, err := filepath.Abs(k.Dir)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o := relay.Options{ConfigFile: c.Config}
	f, earlier, err := relay.RestoreQueue(ctx, o, dir)
	if err != nil {
		return err
	}
	if err := k.hold(o); err != nil {
		return fmt.Errorf("the backup is restored, but not held; remove db and spool from %s and try again: %w", f.DataDir, err)
	}
	if c.JSON {
		return printJSON(s.out, f)
	}
	return k.print(s.out, f, earlier)
}

func (k queueRestoreCmd) print(w io.Writer, f *relay.Fsck, earlier bool) error {
	if earlier {
		fmt.Fprintln(w, "A restore that was interrupted had copied everything; it is complete now, and nothing was copied again.")
	}
	fmt.Fprintf(w, "%s has %s to %s, %s, all synced.\n", f.DataDir, counted(int64(f.Messages), "message"),
		counted(int64(f.Recipients), "recipient"), counted(int64(f.BodyFiles), "body file"))
	next := "What was delivered since the backup was made goes out a second time when the relay starts. To look at it first, move db and spool\n" +
		"away and restore with --hold REASON, or give the started relay at once: postroad queue hold --all --reason restored --yes"
	if k.Hold != "" {
		next = "All of it is held, or in quarantine as before. Start the relay, look at postroad queue list, and release or drop: what was\n" +
			"delivered since the backup was made is there as well."
	}
	_, err := fmt.Fprintln(w, next)
	return err
}

// hold keeps all that is in the data directory back.
func (k queueRestoreCmd) hold(o relay.Options) error {
	if k.Hold == "" {
		return nil
	}
	q, err := relay.OpenQueue(o)
	if err != nil {
		return err
	}
	return errors.Join(q.HoldAll(context.Background(), k.Hold, operatorName()), q.Close())
}
