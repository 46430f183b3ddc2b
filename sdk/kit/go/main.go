// SPDX-License-Identifier: Apache-2.0

//go:build wasip1

// The conformance guest in Go: it uses every function of the SDK and writes down
// what came of it. kit_test.go says what must come.
package main

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
	"github.com/postroad-mail/postroad/sdk/go"
)

func init() { postroad.Register(&kit{}) }

func main() {}

type kit struct {
	store  postroad.Store
	bucket postroad.Bucket
	out    strings.Builder
}

func (k *kit) Init(env *postroad.Env, config []byte) (postroad.Phases, error) {
	k.note("config", string(config), nil)
	var err error
	k.store, err = env.Store("kept")
	k.note("store", "", err)
	_, err = env.Store("other")
	k.note("store denied", "", err)
	k.bucket, err = env.Bucket("slow")
	k.note("bucket", "", err)
	_, err = env.Bucket("other")
	k.note("bucket denied", "", err)
	v, err := env.Secret("key")
	k.note("secret", v, err)
	_, err = env.Secret("other")
	k.note("secret denied", "", err)
	return postroad.In(postroad.Helo, postroad.Mail, postroad.Rcpt, postroad.Message), nil
}

func (k *kit) On(h *postroad.Hook) (postroad.Verdict, error) {
	switch h.Phase() {
	case postroad.Helo:
		return k.helo(h)
	case postroad.Mail:
		return k.mail(h)
	case postroad.Rcpt:
		return postroad.Continue, h.SetRecipient(h.Arg(), "arg"+strconv.Itoa(h.Arg())+"@example.test")
	}
	return k.message(h)
}

func (k *kit) helo(h *postroad.Hook) (postroad.Verdict, error) {
	k.note("remove", "", h.RemoveEHLO("8bitmime"))
	k.note("remove again", "", h.RemoveEHLO("8bitmime"))
	k.note("add", "", h.AddEHLO("X-KIT 1"))
	return postroad.Continue, h.SetMeta(postroad.WithSession, "helo", "done")
}

func (k *kit) mail(h *postroad.Hook) (postroad.Verdict, error) {
	_, err := h.Header("Subject")
	k.note("header in mail", "", err)
	k.note("recipient in mail", "", h.SetRecipient(0, "a@b"))
	if s, _ := h.Sender(); s == "panic@example.org" {
		panic("as asked")
	}
	if s, _ := h.Sender(); s == "error@example.org" {
		return postroad.Continue, abi.ErrLimit
	}
	return postroad.Continue, h.SetSender("mapped@example.org")
}

func (k *kit) message(h *postroad.Hook) (postroad.Verdict, error) {
	k.facts(h)
	k.header(h)
	k.envelope(h)
	k.body(h)
	h.Log(postroad.Info, k.out.String()) // a line of the log has room for 1,024 octets
	k.out.Reset()
	k.state(h)
	k.queue(h)
	k.outside(h)
	k.snapshot(h)
	h.Log(postroad.Info, k.out.String())
	return postroad.Quarantine, h.Reply(550, postroad.Enhanced{5, 7, 0}, "kept for the kit")
}

func (k *kit) facts(h *postroad.Hook) {
	for _, f := range []int{abi.FieldClientIP, abi.FieldHelo, abi.FieldRDNS, abi.FieldListener, abi.FieldOriginalSender, abi.FieldStage, 99} {
		v, err := h.Get(f)
		k.note("field "+strconv.Itoa(f), v, err)
	}
	s, err := h.Sender()
	k.note("sender", s, err)
	k.note("count", strconv.Itoa(h.RecipientCount()), nil)
	a, err := h.Recipient(1)
	k.note("recipient", a, err)
	a, err = h.OriginalRecipient(1)
	k.note("original", a, err)
	a, err = h.Recipient(9)
	k.note("no recipient", a, err)
	n, ok := h.GetInt(abi.FieldDeclaredSize)
	k.note("declared "+strconv.FormatBool(ok), strconv.FormatInt(n, 10), nil)
	k.note("log on", strconv.FormatBool(h.LogOn(postroad.Error)), nil)
	k.note("now", strconv.FormatInt(h.Now().UnixMilli(), 10), nil)
}

func (k *kit) header(h *postroad.Hook) {
	v, err := h.Header("subject")
	k.note("subject", v, err)
	v, err = h.Header("X-None")
	k.note("no field", v, err)
	id, _, err := h.FindHeader("", postroad.None)
	k.note("first", "", err)
	second, ok, err := h.FindHeader("X-A", id)
	k.note("second", strconv.FormatBool(ok), err)
	for _, part := range []int{abi.HdrName, abi.HdrRaw, abi.HdrUnfolded, abi.HdrDecoded} {
		v, err := h.HeaderPart(second, part)
		k.note("part", v, err)
	}
	for _, at := range []postroad.Place{postroad.Top, postroad.End, postroad.Before(second), postroad.After(second)} {
		_, err := h.AddHeader(at, "X-New", "é")
		k.note("add", "", err)
	}
	k.note("set", "", h.SetHeader(second, "changed"))
	k.note("delete", "", h.DeleteHeader(id))
	k.note("deleted", "", h.DeleteHeader(id))
	k.note("bad value", "", h.SetHeader(second, "a\r\nb"))
}

func (k *kit) envelope(h *postroad.Hook) {
	i, err := h.AddRecipient("added@example.test")
	k.note("add recipient", strconv.Itoa(i), err)
	k.note("set recipient", "", h.SetRecipient(i, "changed@example.test"))
	k.note("bad recipient", "", h.SetRecipient(i, "no address"))
	k.note("delete recipient", "", h.DeleteRecipient(0))
	k.note("verdict", "", h.RecipientVerdict(1, postroad.Tempfail, 451, postroad.Enhanced{4, 2, 0}, "one only"))
	k.note("sender", "", h.SetSender(""))
	k.note("route", "", h.SetRoute(postroad.All, "plugintest"))
	k.note("hop", "", h.SetNextHop(i, "mx.example.test:25"))
	k.note("hop denied", "", h.SetNextHop(i, "127.0.0.1:25"))
	k.note("meta", "", h.SetMeta(postroad.WithMessage, "k", "v"))
	v, err := h.Meta(postroad.WithMessage, "k")
	k.note("own note", v, err)
	v, err = h.Meta(postroad.WithMessage, "other.note")
	k.note("other note", v, err)
	v, err = h.Meta(postroad.WithSession, "k")
	k.note("no note", v, err)
}

func (k *kit) body(h *postroad.Hook) {
	for _, view := range []postroad.View{postroad.WholeMessage, postroad.BodyOnly} {
		n, err := h.Size(view)
		k.note("size", strconv.FormatInt(n, 10), err)
	}
	p := make([]byte, 4)
	n, err := h.ReadAt(postroad.BodyOnly, p, 1)
	k.note("read", string(p[:n]), err)
	n, err = h.ReadAt(postroad.BodyOnly, p, 1<<40)
	k.note("end", strconv.Itoa(n), eof(err))
	k.note("write", "", h.WriteBody([]byte("thrown away"), false))
	k.note("write", "", h.WriteBody([]byte("new "), true))
	k.note("write", "", h.WriteBody([]byte("body\n"), false))
	k.note("write NUL", "", h.WriteBody([]byte{0}, false))
	parts, err := h.PartCount()
	k.note("parts", strconv.Itoa(parts), err)
	for _, f := range []int{abi.PartType, abi.PartDepth, abi.PartFilename, abi.PartSize} {
		v, err := h.Part(0, f)
		k.note("part", v, err)
	}
}

func eof(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func (k *kit) state(h *postroad.Hook) {
	k.note("put", "", k.store.Put("a", []byte("1"), 0))
	v, ok, err := k.store.Get("a")
	k.note("get "+strconv.FormatBool(ok), string(v), err)
	k.note("put again", "", k.store.PutIfAbsent("a", []byte("2"), 0))
	k.note("swap", "", k.store.CompareAndSwap("a", []byte("1"), []byte("3"), 0))
	k.note("swap again", "", k.store.CompareAndSwap("a", []byte("1"), []byte("4"), 0))
	n, err := k.store.Add("n", -7, 0)
	k.note("add", strconv.FormatInt(n, 10), err)
	k.note("del", "", k.store.Delete("a"))
	_, ok, err = k.store.Get("a")
	k.note("gone", strconv.FormatBool(!ok), err)
	for range 2 {
		ok, wait, err := k.bucket.Take("k", 1)
		k.note("take "+strconv.FormatBool(ok), strconv.FormatInt(wait.Milliseconds(), 10), err)
	}
}

func (k *kit) queue(h *postroad.Hook) {
	k.note("score", "", h.AddScore("KIT", 1500))
	n, _ := h.GetInt(abi.FieldScore)
	k.note("sum", strconv.FormatInt(n, 10), nil)
	k.note("bad symbol", "", h.AddScore("two words", 1))
	_, err := h.Split(9)
	k.note("split nobody", "", err)
	k.note("parent", "", h.Use(postroad.Parent))
	k.note("no child", "", h.Use(7))
	k.note("priority", "", h.SetPriority(5))
	k.note("bad priority", "", h.SetPriority(500))
	k.note("report", "", h.SetReport(false))
	k.note("tenant", "", h.SetTenant("shop-17"))
	v, err := h.Get(abi.FieldTenant)
	k.note("own tenant", v, err)
	k.note("campaign", "", h.SetCampaign("spring"))
	k.note("bad campaign", "", h.SetCampaign("two words"))
	k.note("no campaign", "", h.SetCampaign(""))
	_, err = h.Get(abi.FieldCampaign)
	k.note("it is gone", "", err)
	k.note("emit", "", h.Emit(postroad.Emission{Recipients: []string{"postmaster@example.test"}, Header: "Subject: report\r\n", Body: "one\r\n"}))
	k.note("copy", "", h.Emit(postroad.Emission{
		Sender: "ann@example.org", Recipients: []string{"a@example.test", "b@example.test"}, Header: "Subject: copy\r\n", BodyOfMessage: true,
	}))
	k.note("emit to nobody", "", h.Emit(postroad.Emission{Header: "Subject: x\r\n"}))
	p := make([]byte, 4)
	m, err := h.ReadPartAt(0, postroad.TextPart, p, 1)
	k.note("part", string(p[:m]), err)
	_, err = h.ReadPartAt(9, postroad.DecodedPart, p, 0)
	k.note("no part", "", err)
}

func (k *kit) outside(h *postroad.Hook) {
	a, err := h.Lookup(postroad.TypeMX, "example.test")
	k.note("records", strconv.Itoa(len(a.Records)), err)
	for _, r := range a.Records {
		k.note("record "+strconv.Itoa(r.Preference), r.Data, nil)
	}
	a, err = h.Lookup(postroad.TypeA, "none.test")
	k.note("no records", strconv.Itoa(len(a.Records)), err)
	r, err := h.Do(postroad.Request{Method: "POST", URL: "https://api.example.test/", Header: []string{"X-A: b"}, Body: "hi", Timeout: time.Second})
	k.note("fetch", "", err)
	if err == nil {
		k.response(r)
	}
	k.note("send", "", h.Send(postroad.Request{URL: "https://api.example.test/hook"}))
	k.note("count", "", h.Count("seen", 2, "by=kit"))
	k.note("gauge", "", h.SetGauge("level", -1))
	k.note("observe", "", h.Observe("took", 7))
	k.note("bad metric", "", h.Count("Two Words", 1))
	p := make([]byte, 16)
	k.note("random", "", h.Random(p))
}

func (k *kit) response(r *postroad.Response) {
	k.note("status", strconv.Itoa(r.Status), nil)
	k.note("octets", strconv.FormatInt(r.Size, 10), nil)
	v, err := r.Header("x-kind")
	k.note("kind", v, err)
	v, err = r.Header("X-None")
	k.note("no kind", v, err)
	body, err := io.ReadAll(r.Body())
	k.note("body", string(body), err)
}

func (k *kit) snapshot(h *postroad.Hook) {
	s, err := h.Snapshot()
	k.note("snapshot", "", err)
	if err != nil {
		return
	}
	v, _ := s.Get(abi.FieldClientIP)
	k.note("client", v, nil)
	n, _ := s.GetInt(abi.FieldScore)
	k.note("sum", strconv.FormatInt(n, 10), nil)
	for _, r := range s.Recipients {
		v, _ := r.Get(abi.FieldRcpt)
		k.note("recipient "+strconv.Itoa(r.Index), v, nil)
	}
	k.note("fields", strconv.Itoa(len(s.Header)), nil)
	for _, y := range s.Symbols {
		k.note("symbol "+y.Name, strconv.Itoa(y.Milli), nil)
	}
	b, err := h.SnapshotJSON()
	k.note("object", strconv.FormatBool(len(b) > 2 && b[0] == '{'), err)
}

// note writes "what=value" or "what!words of the error".
func (k *kit) note(what, value string, err error) {
	k.out.WriteString(what)
	var e abi.Errno
	switch {
	case errors.As(err, &e):
		k.out.WriteString("!" + strconv.Itoa(int(e)))
	case err != nil:
		k.out.WriteString("!" + err.Error())
	default:
		k.out.WriteString("=" + strings.ReplaceAll(value, "\r\n", "~"))
	}
	k.out.WriteByte('|')
}
