// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// answer is the line of JSON that a command writes. All members may be left out.
//
//	member      what
//	verdict     its name; absent is continue
//	code        of the reply, 400 to 599; absent is the usual one
//	enhanced    status of the reply, "5.7.1"
//	text        of the reply
//	ops         list of edits, done in their order; an op that fails is a failure
//	            of the stage, and none is done
//	body        "replace": a message follows behind the line; the ops are done on
//	            that one. "keep", or absent: nothing may follow
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
//	rcpt_add      address*
//	rcpt_set      a recipient: index, or rcpt (its address); address*
//	rcpt_del      a recipient
//	rcpt_verdict  a recipient; verdict, code, enhanced, text
//	sender_set    address*
//	reply         code, enhanced, text
//	score         symbol, milli
//	meta_set      key, value*, scope ("message", which is the default, or "session")
//	route_set     a recipient, or none for all; name (of a route) or next_hop
//	queue_set     key ("not_before", "expires", "priority", "dsn"), val
//	split         rcpts, a list of indexes; handles are 1, 2, … in order
//	use           handle
//	emit          sender*, recipients, header*, body*, or body_of_message: true
//	ehlo_set      action ("add" or "remove"), line
type answer struct {
	Verdict  string `json:"verdict"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Text     string `json:"text"`
	Ops      []op   `json:"ops"`
	Body     string `json:"body"`
}

// op is one edit. Which members count depends on Op.
type op struct {
	Op   string `json:"op"`
	Name string `json:"name"`
	Pos  *int32 `json:"pos"`
	ID   *int   `json:"id"`

	Index    *int   `json:"index"`
	Rcpt     string `json:"rcpt"`
	Verdict  string `json:"verdict"`
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Text     string `json:"text"`

	Symbol  string `json:"symbol"`
	Milli   int32  `json:"milli"`
	Scope   string `json:"scope"`
	Key     string `json:"key"`
	Val     int64  `json:"val"`
	NextHop string `json:"next_hop"`
	Rcpts   []int  `json:"rcpts"`
	Handle  int    `json:"handle"`
	Action  string `json:"action"`
	Line    string `json:"line"`

	Recipients []mail.Address `json:"recipients"`
	OfMessage  bool           `json:"body_of_message"`

	Value      string `json:"value"`
	ValueB64   []byte `json:"value_b64"`
	Address    string `json:"address"`
	AddressB64 []byte `json:"address_b64"`
	Sender     string `json:"sender"`
	SenderB64  []byte `json:"sender_b64"`
	Header     string `json:"header"`
	HeaderB64  []byte `json:"header_b64"`
	Body       string `json:"body"`
	BodyB64    []byte `json:"body_b64"`
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
		return nil, fmt.Errorf("the first line that it wrote is no answer: %w", err)
	}
	if d.More() {
		return nil, errors.New("the first line that it wrote has more than one JSON value")
	}
	if a.Body != "" && a.Body != "keep" && a.Body != "replace" {
		return nil, fmt.Errorf("its answer has body %q; known are keep and replace", a.Body)
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

// reply returns the reply that goes with the verdict, nil for the usual one.
func (a *answer) reply() *op {
	if a.Code == 0 && a.Text == "" && a.Enhanced == "" {
		return nil
	}
	return &op{Op: "reply", Code: a.Code, Enhanced: a.Enhanced, Text: a.Text}
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
	if r := o.a.reply(); r != nil {
		if err := r.do(o.i); err != nil {
			return 0, fmt.Errorf("its reply: %w", err)
		}
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
