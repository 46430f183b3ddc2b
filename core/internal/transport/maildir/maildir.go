// SPDX-License-Identifier: Apache-2.0

// Package maildir delivers messages into Maildir folders of this machine: one
// file per message, written and synced in tmp/, then renamed into new/, so that
// a reader never sees half a message and a success survives a power cut.
//
// The mailbox of local-part@domain is the folder <root>/<domain>/<local-part>,
// each name encoded as Name says: addresses are hostile, and nothing in one
// leads out of root, symbolic links included. Mail readers that know Maildir++
// find its cur/, new/ and tmp/ and may add folders of their own.
//
// A file holds the message with LF line ends, as programs on this side expect,
// behind two fields of ours: Return-Path, the envelope's sender (RFC 5321 §4.4),
// and Delivered-To, the envelope's recipient.
package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Clock is the time that file names show.
type Clock interface {
	Now() time.Time
}

// Options say who delivers.
type Options struct {
	Hostname string // the last part of file names
	Clock    Clock  // nil: the system's
}

// Transport delivers into mailboxes. It may be used by many goroutines and
// holds nothing that must be closed.
type Transport struct {
	names names
	bufs  sync.Pool              // of *buffers
	fsync func(f *os.File) error // tests look on and let it fail

	mu    sync.Mutex
	ready map[string]bool // mailboxes whose folders are known to be on disk
}

// New returns a Transport.
func New(o Options) *Transport {
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	t := &Transport{names: names{clock: o.Clock, host: safeHost(o.Hostname)}, fsync: (*os.File).Sync, ready: map[string]bool{}}
	t.bufs.New = func() any { return newBuffers() }
	return t
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// Mailboxes are the mailboxes below one folder.
type Mailboxes struct {
	Root   string   // made when a mailbox is made
	Create bool     // every address has a mailbox, made when its first message comes
	Listed []string // addresses that have one, made likewise
}

// Message is what is delivered. It is only read.
type Message struct {
	Sender mail.Address
	Header []byte    // with its empty line, if it has one
	Body   mail.Body // nil: nothing behind Header
}

// Replies that are the recipient's or the operator's to mend.
var (
	errNoMailbox = mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 1, 1}, Text: "there is no such mailbox"}
	errAddress   = mail.Reply{Code: 553, Enhanced: mail.Enhanced{5, 1, 3}, Text: "the address cannot be a mailbox"}
	errFull      = mail.Reply{Code: 452, Enhanced: mail.Enhanced{4, 3, 1}, Text: "the disk of the mailbox is full"}
	errQuota     = mail.Reply{Code: 452, Enhanced: mail.Enhanced{4, 2, 2}, Text: "the mailbox is full"}
	errFault     = mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 3, 0}, Text: "the mailbox cannot be written"}
)

// Deliver puts msg into the mailbox of to. It returns nil after the file and its
// folder are synced. A reply says what went wrong: 550 5.1.1 for an address
// without a mailbox, and 4xx for everything else that time or the operator may
// mend. Then no file is left, except after a crash a part of one in tmp/, which
// mail readers clean up after 36 hours.
func (t *Transport) Deliver(ctx context.Context, boxes Mailboxes, to mail.Address, msg Message) *mail.Reply {
	dir, err := Path(to)
	if err != nil {
		return errAddress.Because(err)
	}
	box, err := t.open(boxes, to, dir)
	if err != nil {
		return refuse(err)
	}
	defer box.Close()
	if err := t.store(ctx, box, to, msg); err != nil {
		t.forget(boxes.Root, dir) // perhaps somebody took a folder away
		return refuse(err)
	}
	return nil
}

// refuse says what err means for the message.
func refuse(err error) *mail.Reply {
	var r *mail.Reply
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, syscall.ENOSPC):
		return errFull.Because(err)
	case errors.Is(err, syscall.EDQUOT):
		return errQuota.Because(err)
	}
	return errFault.Because(err)
}

// store writes the file and brings it into new/.
func (t *Transport) store(ctx context.Context, box *os.Root, to mail.Address, msg Message) (err error) {
	name := t.names.next()
	tmp := "tmp/" + name
	f, err := box.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	left := tmp
	defer func() {
		if err != nil {
			err = errors.Join(err, box.Remove(left))
		}
	}()
	size, err := t.fill(ctx, f, to, msg)
	if err != nil {
		return err
	}
	final := fmt.Sprintf("new/%s,S=%d", name, size)
	if err := box.Rename(tmp, final); err != nil {
		return err
	}
	left = final
	return t.syncDir(box, "new")
}

// fill writes, syncs and closes the file and returns its size.
func (t *Transport) fill(ctx context.Context, f *os.File, to mail.Address, msg Message) (int64, error) {
	b := t.bufs.Get().(*buffers)
	defer t.bufs.Put(b)
	size, err := b.write(ctx, f, to, msg)
	if err == nil {
		err = t.fsync(f)
	}
	return size, errors.Join(err, f.Close())
}
