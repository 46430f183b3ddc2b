// SPDX-License-Identifier: Apache-2.0

// Package capture keeps messages as they came in, with what was decided about
// them, so that another chain can be run over them later (postroad replay).
//
// A Box is a folder with one file per message: a line of JSON, the Record, and
// behind it the message as it was before the first stage. It is bounded by
// number, octets and age, the oldest go first, and what the operator wants
// hidden is hidden before it is written.
package capture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// Record is what is kept about a message beside its content.
type Record struct {
	ID           string           `json:"id"` // the envelope's
	Pipeline     string           `json:"pipeline"`
	Received     time.Time        `json:"received"`
	Client       mail.Client      `json:"client"`
	PeerCert     []byte           `json:"peer_cert,omitempty"` // Client.PeerCert, which is no text
	Sender       string           `json:"sender"`
	Params       string           `json:"params,omitempty"` // of MAIL
	Recipients   []Recipient      `json:"recipients"`
	DeclaredSize int64            `json:"declared_size,omitempty"`
	SMTPUTF8     bool             `json:"smtputf8,omitempty"`
	EightBit     bool             `json:"eight_bit,omitempty"`
	Trusted      bool             `json:"trusted,omitempty"` // the client might send anywhere
	Tenant       string           `json:"tenant,omitempty"`  // as listener and header field named it
	Campaign     string           `json:"campaign,omitempty"`
	Priority     int              `json:"priority,omitempty"`
	NotBefore    time.Time        `json:"not_before,omitzero"` // as MAIL said by HOLDFOR or HOLDUNTIL
	Stages       []mail.StageMark `json:"stages,omitempty"`
	Decision     []string         `json:"decision"`           // what became of it, one fact a line
	Redacted     []string         `json:"redacted,omitempty"` // words of Options.Redact
}

// Recipient is one RCPT as the client gave it.
type Recipient struct {
	Address string `json:"address"`
	Params  string `json:"params,omitempty"`
}

// Message is a captured message.
type Message struct {
	Record
	Header mail.Header
	Body   mail.BytesBody
}

// Clock tells the time, and has f called on a goroutine of its own.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Options bound a Box. A zero number means the default.
type Options struct {
	Dir      string        // made with mode 0700 if it is not there
	Messages int           // kept at most; 1,000
	Size     int64         // octets of all files; 256 MiB
	Keep     time.Duration // age; 7 days
	Redact   []string      // of "body", "subject", "addresses", "client"
	Clock    Clock         // nil means the machine's
	Logger   hclog.Logger  // nil: none
}

// MaxMessage is the size of the largest message that is kept, in octets. Larger
// ones are not captured.
const MaxMessage = 32 << 20

const suffix = ".capture"

// ErrTooLarge is the error of Add for a message that is over MaxMessage, or over
// the size of the whole box.
var ErrTooLarge = errors.New("message is too large to be captured")

// Box is a folder of captured messages. It is safe for use by many goroutines;
// one process uses a folder for writing, with one Box. What is too old is removed
// when its time has come, until Close.
type Box struct {
	dir   string
	clock Clock
	log   hclog.Logger

	mu     sync.Mutex
	o      Options
	key    []byte // of pseudonyms
	files  []file // oldest first
	total  int64
	stop   func() bool // takes the call of age back; nil: it does not wait
	ending bool        // nothing is added any more
	closed bool
}

type file struct {
	name string
	size int64
	at   time.Time
}

// Open returns the Box in a folder, with what is there.
func Open(o Options) (*Box, error) {
	o = o.withDefaults()
	b := &Box{dir: o.Dir, clock: o.Clock, log: o.Logger}
	if err := b.Configure(o); err != nil {
		return nil, err
	}
	return b, nil
}

// Configure changes what bounds the Box and what is hidden from now on. Folder,
// clock and log stay.
func (b *Box) Configure(o Options) error {
	if err := CheckRedact(o.Redact); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.o, b.ending = o.withDefaults(), false
	if err := b.ready(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return b.prune(0)
}

// ready makes the folder and reads what is in it.
func (b *Box) ready() (err error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	if b.key, err = pseudonymKey(b.dir); err != nil {
		return err
	}
	if err := writeKeep(b.dir, b.o.Keep); err != nil {
		return err
	}
	if b.files, err = list(b.dir); err != nil {
		return err
	}
	b.total = 0
	for _, f := range b.files {
		b.total += f.size
	}
	return nil
}

// End says that nothing is to be kept any more, until Configure: Add does nothing,
// what is there still grows old, and the folder goes with the last message.
func (b *Box) End() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ending = true
	return b.prune(0)
}

// Close ends the removal of what grows old. A removal that runs has ended when it
// returns.
func (b *Box) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.arm()
}

func (o Options) withDefaults() Options {
	if o.Messages == 0 {
		o.Messages = 1000
	}
	if o.Size == 0 {
		o.Size = 256 << 20
	}
	if o.Keep == 0 {
		o.Keep = 7 * 24 * time.Hour
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// keepFile is the file that says how long messages of the folder are kept, for
// when the configuration does not any more.
const keepFile = "keep"

func writeKeep(dir string, keep time.Duration) error {
	return os.WriteFile(filepath.Join(dir, keepFile), []byte(keep.String()+"\n"), 0o600)
}

// Kept returns how long the messages of a folder are to be kept; 0 when it does
// not say.
func Kept(dir string) time.Duration {
	b, err := os.ReadFile(filepath.Join(dir, keepFile))
	if err != nil {
		return 0
	}
	keep, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil || keep < 0 {
		return 0
	}
	return keep
}

// list returns the captured messages of a folder, oldest first. Names are ids,
// which sort by time.
func list(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var fs []file
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		fs = append(fs, file{name: e.Name(), size: info.Size(), at: info.ModTime()})
	}
	slices.SortFunc(fs, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return fs, nil
}

// Add keeps a message. header and body are those before the first stage; they
// are read only. The file is not synced: a capture is a help, not a promise.
func (b *Box) Add(r *Record, header *mail.Header, body mail.Body) error {
	size := header.Size()
	if body != nil {
		size += body.Size()
	}
	b.mu.Lock()
	o, key, ending := b.o, b.key, b.ending
	b.mu.Unlock()
	if ending {
		return nil
	}
	if size > MaxMessage || size > o.Size {
		return ErrTooLarge
	}
	kept := *r
	kept.PeerCert, kept.Client.PeerCert = []byte(kept.Client.PeerCert), ""
	hide := newRedactor(o.Redact, key)
	hide.record(&kept, header)
	line, err := json.Marshal(&kept)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if len(line) > maxRecord { // it could not be read again
		return ErrTooLarge
	}
	name := filepath.Base(kept.ID) + suffix
	if err := b.write(name, append(line, '\n'), hide.header(header, &r.Client), hide.body(header, body)); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return b.added(name)
}

// write makes the file whole under another name first, so that a reader never
// sees half of it.
func (b *Box) write(name string, line, header []byte, body io.Reader) (err error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name+".tmp"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(line), bytes.NewReader(header), body)); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	now := b.clock.Now()
	if err := os.Chtimes(f.Name(), now, now); err != nil { // its age, after a restart too
		return err
	}
	return os.Rename(f.Name(), filepath.Join(b.dir, name))
}

func (b *Box) added(name string) error {
	info, err := os.Stat(filepath.Join(b.dir, name))
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files = append(b.files, file{name: name, size: info.Size(), at: info.ModTime()})
	b.total += info.Size()
	return b.prune(1)
}

// prune removes the oldest until all bounds hold; the newest keep stay. It is
// called with the lock held.
func (b *Box) prune(keep int) error {
	defer b.arm()
	for len(b.files) > keep && (len(b.files) > b.o.Messages || b.total > b.o.Size || b.left(b.files[0]) <= 0) {
		if err := os.Remove(filepath.Join(b.dir, b.files[0].name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("capture: %w", err)
		}
		b.total -= b.files[0].size
		b.files = b.files[1:]
	}
	if b.ending && len(b.files) == 0 {
		return b.remove()
	}
	return nil
}

// remove takes the folder away, unless there is something in it that is not ours.
func (b *Box) remove() error {
	for _, name := range []string{keyFile, keepFile, ""} {
		err := os.Remove(filepath.Join(b.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("capture: %w", err)
		}
	}
	return nil
}

// left returns how long a file may still be kept.
func (b *Box) left(f file) time.Duration { return f.at.Add(b.o.Keep).Sub(b.clock.Now()) }

// again is how long a removal that failed waits for the next one.
const again = time.Minute

// arm has age called when the oldest file is too old.
func (b *Box) arm() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
	if b.closed || len(b.files) == 0 {
		return
	}
	wait := b.left(b.files[0])
	if wait <= 0 {
		wait = again
	}
	b.stop = b.clock.AfterFunc(wait, b.age)
}

// age removes what is too old.
func (b *Box) age() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if err := b.prune(0); err != nil {
		b.log.Warn("captured messages that are too old cannot be removed", "error", err)
	}
}

// Each calls f with every message of a folder, oldest first (to the millisecond),
// until f returns an error. Files that are damaged do not keep the others from
// it; they are named by the error in the end.
func Each(dir string, f func(*Message) error) error {
	files, err := list(dir)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	var damaged []error
	for _, file := range files {
		m, err := read(filepath.Join(dir, file.name))
		if errors.Is(err, fs.ErrNotExist) { // pruned meanwhile
			continue
		}
		if err != nil {
			damaged = append(damaged, fmt.Errorf("capture %s: %w", file.name, err))
			continue
		}
		if err := f(m); err != nil {
			return err
		}
	}
	return errors.Join(damaged...)
}

// maxRecord bounds the line of JSON, in octets.
const maxRecord = 4 << 20

func read(path string) (*Message, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxMessage+maxRecord {
		return nil, fmt.Errorf("it has %d octets, more than a capture can have", info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decode(raw)
}

// decode reads the octets of a file.
func decode(raw []byte) (*Message, error) {
	line, rest, ok := bytes.Cut(raw, []byte{'\n'})
	if !ok || len(line) > maxRecord {
		return nil, errors.New("it has no record in its first line")
	}
	m := &Message{}
	if err := json.Unmarshal(line, &m.Record); err != nil {
		return nil, fmt.Errorf("its record is damaged: %w", err)
	}
	m.Client.PeerCert = string(m.Record.PeerCert)
	br := bufio.NewReader(bytes.NewReader(rest))
	h, err := mail.ReadHeader(br, MaxMessage)
	if err != nil {
		return nil, fmt.Errorf("its header section: %w", err)
	}
	body, err := io.ReadAll(br)
	m.Header, m.Body = h, mail.BytesBody(body)
	return m, err
}
