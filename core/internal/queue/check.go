// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"slices"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// Finding is something wrong in a queue on disk.
type Finding struct {
	ID       string // the message; empty: none is known
	Key      []byte // the record; nil: a file of the spool
	File     string // its name; empty: a record
	What     string // for people
	Harmless bool   // usual after a crash, or not ours: the relay starts and loses nothing
	whole    bool   // the message cannot be delivered
}

// String tells what is wrong, and where.
func (f *Finding) String() string {
	where := "spool/" + f.File
	if f.File == "" {
		where = fmt.Sprintf("record %q", f.Key)
	}
	return where + ": " + f.What
}

// Checked is what Check found.
type Checked struct {
	Messages, Recipients, Files int
	Findings                    []Finding
	Unreadable                  error // a part of the database cannot be read: there may be more
}

// Clean reports that nothing is wrong.
func (c *Checked) Clean() bool {
	harmful := func(f Finding) bool { return !f.Harmless }
	return c.Unreadable == nil && !slices.ContainsFunc(c.Findings, harmful)
}

// Check reads every record of a queue and looks at every body file, and changes
// nothing. The blocks of the database have checksums, which the reading checks;
// of a body file only the size is known. Its error is ErrNewer, or that the
// spool cannot be listed.
func Check(s *store.Store) (*Checked, error) {
	c := &checker{store: s, result: &Checked{}, messages: make(map[string]*checked)}
	_, err := checkLayout(s)
	if c.unreadable(err); err != nil && c.result.Unreadable == nil {
		return nil, err
	}
	for _, step := range []struct {
		kind kind
		take func(id string, rcpt int, key, v []byte)
	}{{kindEnvelope, c.envelope}, {kindContent, c.content}, {kindState, c.state}, {kindHold, c.hold}, {kindSuspension, c.suspension}} {
		c.scan(step.kind, step.take)
	}
	c.rest()
	c.missing()
	return c.result, c.files()
}

// checked is what is known of one message.
type checked struct {
	record   record
	rcpts    int
	damaged  bool // the envelope cannot be read
	content  bool // there is one
	bodyFile bool // it is there
}

type checker struct {
	store    *store.Store
	result   *Checked
	messages map[string]*checked
}

func (c *checker) find(f Finding) { c.result.Findings = append(c.result.Findings, f) }

// record notes a finding about a record.
func (c *checker) record(id string, key []byte, whole bool, format string, args ...any) {
	c.find(Finding{ID: id, Key: slices.Clone(key), What: fmt.Sprintf(format, args...), whole: whole})
}

func (c *checker) scan(k kind, take func(id string, rcpt int, key, v []byte)) {
	from, to := bounds(k)
	c.read(from, to, func(key, v []byte) {
		id, rcpt, err := splitKey(key)
		if err != nil {
			c.record("", key, false, "%v", err)
			return
		}
		take(id, rcpt, key, v)
	})
}

// read is a scan that notes what cannot be read.
func (c *checker) read(from, to []byte, take func(key, v []byte)) {
	c.unreadable(c.store.Scan(from, to, func(key, v []byte) bool { take(key, v); return true }))
}

// unreadable notes the first damage of the database; nil is none, ErrNewer is
// another matter.
func (c *checker) unreadable(err error) {
	if err != nil && c.result.Unreadable == nil && !errors.Is(err, ErrNewer) {
		c.result.Unreadable = err
	}
}

func (c *checker) envelope(id string, _ int, key, v []byte) {
	m := &checked{}
	c.messages[id] = m
	c.result.Messages++
	rec, err := readEnvelope(id, v)
	if err != nil {
		m.damaged = true
		c.record(id, key, true, "%v", err)
		return
	}
	m.rcpts = len(rec.env.Recipients)
	c.result.Recipients += rec.env.Live()
	rec.env = nil // a queue may be large
	m.record = *rec
}

func (c *checker) content(id string, _ int, key, v []byte) {
	m := c.messages[id]
	switch {
	case m == nil:
		c.record(id, key, false, "content of a message that has no envelope")
		return
	case !m.damaged && !m.record.fits(len(v)):
		c.record(id, key, true, "content of %d octets, not those that its envelope says", len(v))
	}
	m.content = true
}

// fits reports whether a content record can have n octets.
func (r *record) fits(n int) bool {
	if r.onFile {
		return n == r.header
	}
	return int64(n) == int64(r.header)+r.body
}

func (c *checker) state(id string, rcpt int, key, v []byte) {
	m := c.messages[id]
	_, err := readState(rcpt, v)
	switch {
	case m == nil:
		c.record(id, key, false, "state of a message that has no envelope")
	case m.damaged:
	case err != nil:
		c.record(id, key, false, "%v: the recipient will be tried from the start, and may get the message twice", err)
	case rcpt >= m.rcpts:
		c.record(id, key, false, "state of recipient %d of %d", rcpt, m.rcpts)
	}
}

func (c *checker) hold(id string, _ int, key, v []byte) {
	m := c.messages[id]
	_, err := readHold(v)
	switch {
	case m == nil:
		c.record(id, key, false, "hold of a message that has no envelope")
	case !m.damaged && err != nil:
		c.record(id, key, false, "%v: the message stays on hold", err)
	}
}

func (c *checker) suspension(id string, _ int, key, v []byte) {
	if _, err := readSuspension(id, v); err != nil {
		c.record("", key, false, "%v: it does not hold any more", err)
	}
}

// rest reads what is not the queue's, and finds records of kinds that it does
// not know.
func (c *checker) rest() {
	c.read(nil, nil, func(key, _ []byte) {
		if len(key) > 1 && key[0] == 'q' && !known(key) {
			c.record("", key, false, "a record of an unknown kind")
		}
	})
}

func known(key []byte) bool {
	if slices.Equal(key, layoutKey()) {
		return true
	}
	return slices.Contains([]kind{kindContent, kindEnvelope, kindHold, kindState, kindSuspension}, kind(key[1]))
}

// missing finds messages without their content.
func (c *checker) missing() {
	for id, m := range c.messages {
		if !m.content && !m.damaged {
			c.record(id, key(kindContent, id), true, "the content is missing")
		}
	}
}

// files compares the spool with the envelopes.
func (c *checker) files() error {
	names, err := c.store.Spool().List()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		c.file(name)
	}
	for id, m := range c.messages {
		if m.record.onFile && !m.bodyFile {
			c.find(Finding{ID: id, File: id, What: "the body file is missing", whole: true})
		}
	}
	return nil
}

func (c *checker) file(name string) {
	m := c.messages[name]
	size, isFile := c.store.Spool().Size(name)
	switch {
	case checkID(name) != nil || !isFile:
		c.find(Finding{File: name, What: "not a file of Postroad; it is left alone", Harmless: true})
		return
	case m == nil || !m.damaged && !m.record.onFile:
		c.find(Finding{ID: name, File: name, What: "a body file that no message needs; the next start removes it", Harmless: true})
		return
	case !m.damaged && size != m.record.body:
		c.find(Finding{ID: name, File: name, What: fmt.Sprintf("the body file has %d octets, not %d", size, m.record.body), whole: true})
	}
	m.bodyFile = true
	c.result.Files++
}
