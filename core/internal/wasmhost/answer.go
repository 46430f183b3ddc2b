// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// answer is the line of JSON that a command writes. All members may be left out.
// sdk/abi/command.schema.json has it as a schema.
//
//	member      what
//	verdict     its name; absent is continue
//	code        of the reply; absent is the usual one
//	enhanced    status of the reply, "5.7.1"
//	text        of the reply
//	ops         list of edits, done in their order; an op that fails is a failure
//	            of the stage, and none is done
//	body        "replace": a message follows behind the line, header section and
//	            body; the ops are done on that one. Absent: nothing may follow
//
// An op has the member op, the name of a host function, and as others what that
// function takes. Strings that are no UTF-8 stand in base64 under the name with
// _b64 behind it (*).
//
//	op            members
//	hdr_add       name, value*, pos (0 top, -1 end, 1+2·id before, 2+2·id behind a
//	              field; absent is -1)
//	hdr_set       a field: id, or name and index; value*
//	hdr_del       a field: id, or name and index
//	              index counts the fields of that name from 0, or from the last
//	              one, -1; absent is 0
//	rcpt_add      rcpt*
//	rcpt_set      a recipient: idx, or rcpt* (its address); to*
//	rcpt_del      a recipient
//	rcpt_verdict  a recipient; verdict, code, enhanced, text
//	sender_set    sender*
//	score         symbol, milli
//	meta_set      key, value*, scope ("message", which is the default, or "session")
//	route_set     a recipient, or none for all; route (its name) or next_hop
//	queue_set     key ("not_before", "expires", "priority", "dsn"), value (a number)
//	label_set     key ("tenant" or "campaign"), value (empty: none)
//	split         rcpts, a list of indexes; handles are 1, 2, … in order
//	use           handle
//	emit          sender*, recipients, header*, body*, or body_of_message: true
//	ehlo_set      action ("add" or "remove"), line
//	kv_put        store, key*, value*, ttl_ms, if_absent
//	kv_del        store, key*
//	kv_add        store, key*, delta, ttl_ms
//	kv_cas        store, key*, old*, value*, ttl_ms
//	http          url, method, headers (list of "Name: value"), body*; it is sent
//	              when the hook commits
//	metric        kind ("counter", "gauge", "histogram"), name, value (a number)
type answer struct {
	Verdict  string `json:"verdict"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Text     string `json:"text"`
	Ops      ops    `json:"ops"`
	Body     string `json:"body"`
}

// ops are at most as many as a call may make edits. They are counted while they
// are read: three octets of JSON make an op of hundreds.
type ops []op

// UnmarshalJSON implements json.Unmarshaler.
func (l *ops) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		if err == nil && t != nil {
			err = errors.New("ops is no list")
		}
		return err
	}
	for d.More() {
		if len(*l) == maxEdits {
			return fmt.Errorf("ops has more than %d: %w", maxEdits, abi.ErrLimit)
		}
		*l = append(*l, op{})
		if err := d.Decode(&(*l)[len(*l)-1]); err != nil {
			return err
		}
	}
	return nil
}

// op is one edit. Which members count depends on Op.
type op struct {
	Op    string `json:"op"`
	Name  string `json:"name"`
	Pos   *int32 `json:"pos"`
	ID    *int   `json:"id"`
	Index int    `json:"index"`

	Idx      *int   `json:"idx"`
	Verdict  string `json:"verdict"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Text     string `json:"text"`

	Symbol  string   `json:"symbol"`
	Milli   int32    `json:"milli"`
	Scope   string   `json:"scope"`
	Route   string   `json:"route"`
	NextHop string   `json:"next_hop"`
	Rcpts   []int    `json:"rcpts"`
	Handle  int      `json:"handle"`
	Action  string   `json:"action"`
	Line    string   `json:"line"`
	Store   string   `json:"store"`
	TTL     int64    `json:"ttl_ms"`
	Absent  bool     `json:"if_absent"`
	Delta   int64    `json:"delta"`
	URL     string   `json:"url"`
	Method  string   `json:"method"`
	Headers []string `json:"headers"`
	Timeout int64    `json:"timeout_ms"` // of http; nobody waits for the answer
	Kind    string   `json:"kind"`

	Recipients []mail.Address `json:"recipients"`
	OfMessage  bool           `json:"body_of_message"`

	Value     json.RawMessage `json:"value"` // a string, or a number of queue_set and metric
	ValueB64  []byte          `json:"value_b64"`
	Key       string          `json:"key"`
	KeyB64    []byte          `json:"key_b64"`
	Old       string          `json:"old"`
	OldB64    []byte          `json:"old_b64"`
	Rcpt      string          `json:"rcpt"`
	RcptB64   []byte          `json:"rcpt_b64"`
	To        string          `json:"to"`
	ToB64     []byte          `json:"to_b64"`
	Sender    string          `json:"sender"`
	SenderB64 []byte          `json:"sender_b64"`
	Header    string          `json:"header"`
	HeaderB64 []byte          `json:"header_b64"`
	Body      string          `json:"body"`
	BodyB64   []byte          `json:"body_b64"`
}

// text returns value as octets.
func (p *op) text() (string, error) {
	if p.ValueB64 != nil || p.Value == nil {
		return string(p.ValueB64), nil
	}
	var s string
	if err := json.Unmarshal(p.Value, &s); err != nil {
		return "", fmt.Errorf("value %s is no string", p.Value)
	}
	return s, nil
}

// number returns value as a number.
func (p *op) number() (int64, error) {
	var n int64
	if err := json.Unmarshal(p.Value, &n); err != nil {
		return 0, fmt.Errorf("value %s is no number", p.Value)
	}
	return n, nil
}

// either returns the string, or what stood in base64 in its place.
func either(s string, b64 []byte) string {
	if b64 != nil {
		return string(b64)
	}
	return s
}

// parseAnswer reads the line of a command. An unknown member is refused: it
// would be an edit that is not done.
func parseAnswer(line []byte) (*answer, error) {
	a := &answer{}
	if len(bytes.TrimSpace(line)) == 0 {
		return a, nil
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(a); err != nil {
		return nil, fmt.Errorf("the first line that it wrote is no answer: %w; a program that writes the message itself needs mode = %q", err, ModeFilter)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the first line that it wrote has more than one JSON value")
	}
	if a.Body != "" && a.Body != "replace" {
		return nil, fmt.Errorf("its answer has body %q; the one to give is \"replace\"", a.Body)
	}
	return a, nil
}

// verdict returns the verdict of an answer.
func (a *answer) verdict() (mail.Verdict, error) { return verdictByName(a.Verdict) }

func verdictByName(name string) (mail.Verdict, error) {
	if name == "" {
		return mail.Continue, nil
	}
	for v := mail.Continue; v <= mail.Skip; v++ {
		if v.String() == name {
			return v, nil
		}
	}
	return 0, fmt.Errorf("verdict %q is unknown", name)
}

// reply sets the reply that goes with the verdict, if the answer has one.
func (a *answer) reply(i *instance) error {
	if a.Code == 0 && a.Text == "" && a.Enhanced == "" {
		return nil
	}
	enh, err := parseEnhanced(a.Enhanced)
	if err != nil {
		return err
	}
	return i.hook.SetReply(a.Code, enh, a.Text)
}

// jsonOutput is the standard output of a command: an answer, and maybe a message.
type jsonOutput struct {
	i    *instance
	line []byte
	a    *answer // nil until the line is complete
	m    replacement
}

func (o *jsonOutput) write(p []byte) error {
	if o.a == nil {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if len(o.line)+len(line) > maxLine {
			return fmt.Errorf("the first line that it wrote is longer than %d octets", maxLine)
		}
		o.line = append(o.line, line...)
		if !ended {
			return nil
		}
		if err := o.parse(); err != nil {
			return err
		}
		p = rest
	}
	if o.a.Body == "replace" {
		return o.m.write(p)
	}
	if len(bytes.TrimSpace(p)) > 0 {
		return errors.New(`it wrote more than its line of JSON, without "body": "replace" in it`)
	}
	return nil
}

func (o *jsonOutput) parse() error {
	a, err := parseAnswer(o.line)
	if err != nil {
		return err
	}
	o.a, o.m.i = a, o.i
	if a.Body == "replace" {
		return o.m.may()
	}
	return nil
}

// end does what the answer says.
func (o *jsonOutput) end() (mail.Verdict, error) {
	if o.a == nil {
		if err := o.parse(); err != nil {
			return 0, err
		}
	}
	if o.a.Body == "replace" {
		if err := o.m.finish(); err != nil {
			return 0, err
		}
	}
	if err := o.a.reply(o.i); err != nil {
		return 0, fmt.Errorf("its reply: %w", err)
	}
	for n := range o.a.Ops {
		if err := o.a.Ops[n].do(o.i); err != nil {
			return 0, fmt.Errorf("op %d, %s: %w", n, o.a.Ops[n].Op, err)
		}
	}
	return o.a.verdict()
}

// do does one op, if phase and grant allow it.
func (p *op) do(i *instance) error {
	im := i.stage.host.imports
	run, f := im.operations[p.Op], im.known[p.Op]
	if run == nil {
		return fmt.Errorf("it is unknown; known are %s", strings.Join(sorted(im.operations), ", "))
	}
	need := needs(&f)
	switch {
	case f.Phases>>uint(i.hook.Phase())&1 == 0:
		return fmt.Errorf("%w, %v", abi.ErrWrongPhase, i.hook.Phase())
	case need != 0 && need&i.stage.powers == 0:
		return fmt.Errorf("%w; it needs the grant %s", abi.ErrDenied, f.Grant)
	case !i.spend(len(p.Value) + len(p.ValueB64) + len(p.Text)):
		return abi.ErrLimit
	}
	return run(i, p)
}
