// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// A module can bring its own tests, in the custom section postroad.fixtures. They
// are run before a stage of it serves, each in an instance of its own: with the
// configuration that the fixture has, everything granted that the manifest wants,
// and services that know what the fixture says, so that nothing outside is
// touched and the operator's configuration makes no difference.

// Bounds of the self-tests of a module. Deadlines are wide, for a busy machine
// must not refuse a good plugin: its fuel is what it may use.
const (
	selfTestTime     = 30 * time.Second // of all together
	selfTestDeadline = 5 * time.Second  // of a call, at least
)

// selfTest runs the fixtures of a module. An error says which one does not hold,
// and why.
func (m *Module) selfTest(ctx context.Context, o StageOptions) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestTime)
	defer cancel()
	for n := range m.code.manifest.fixtures {
		f := &m.code.manifest.fixtures[n]
		if err := m.runFixture(ctx, o, f); err != nil {
			return fmt.Errorf("its self-test %q%w; this build of it does not do what its author says: if that is you, correct it; else use another build", f.About, err)
		}
	}
	return nil
}

// runFixture runs one fixture.
func (m *Module) runFixture(ctx context.Context, o StageOptions, f *fixture.Fixture) error {
	clock := fixture.NewClock()
	s, err := m.testStage(ctx, o, f, clock)
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	defer s.Close()
	r := fixture.NewRunner(s, s.name, clock.Now, nil)
	defer r.Close()
	for n := range f.Runs {
		if err := check(ctx, r, &f.Runs[n], clock); err != nil {
			return fmt.Errorf(", message %d: %w", n+1, err)
		}
	}
	return nil
}

// check runs one message and holds what happened against what was expected.
func check(ctx context.Context, r *fixture.Runner, m *fixture.Message, clock *fixture.Clock) error {
	clock.Advance(m.Wait())
	got, err := fixture.Observe(r.Run(ctx, m))
	if err != nil {
		return err
	}
	if diff := fixture.Differ(m.Expect, got); diff != "" {
		return fmt.Errorf("%s", diff)
	}
	return nil
}

// testStage makes the stage that a fixture runs in.
func (m *Module) testStage(ctx context.Context, o StageOptions, f *fixture.Fixture, clock *fixture.Clock) (*Stage, error) {
	config, _ := f.JSON() // checked when the section was read
	grant := m.testGrant()
	test := StageOptions{Name: o.Name, Config: config, Grant: grant, Limits: testLimits(o.Limits), Mode: o.Mode, Logger: hclog.NewNullLogger()}
	test.Stores, test.Buckets = map[string]Store{}, map[string]Bucket{}
	for _, name := range grant.Stores {
		test.Stores[name] = fixture.NewStore(clock, nil)
	}
	for _, name := range grant.Buckets {
		test.Buckets[name] = fixture.NewTokens(clock, fixture.Bucket{})
	}
	test.Serve(f, clock)
	s, err := newStage(m, test)
	if err != nil {
		return nil, err
	}
	s.clock, s.testing = clock, true
	return s, s.open(ctx, 0)
}

// testLimits are the stage's, but for wide deadlines. A plugin is tested in all of
// its phases, whichever the operator allows, so that one which asks for body or
// reset has an instance per message here (see subscribe).
func testLimits(l Limits) Limits {
	l.Deadline, l.MessageDeadline = max(l.Deadline, selfTestDeadline), max(l.MessageDeadline, selfTestDeadline)
	return l
}

// testGrant is all that the manifest wants, and without one all there is.
func (m *Module) testGrant() Grant {
	if w := m.code.manifest.Wants; m.code.manifest.Present {
		return w
	}
	return Grant{
		Read: sorted(readWords), Write: sorted(writeWords), Routes: []string{"*"}, NextHops: []string{"*"}, Stores: []string{"*"},
		Buckets: []string{"*"}, DNS: true, HTTP: []string{"*"}, Emit: true, Secrets: []string{"*"}, Tick: AnyTick,
	}
}

// Serve makes the services of a stage know what a fixture says they do. Stores
// and buckets that it does not name stay as they are.
func (o *StageOptions) Serve(f *fixture.Fixture, clock Clock) {
	o.DNS, o.HTTP, o.Secrets = testResolver{f}, testClient{f}, f.Secrets
	for name, m := range f.Stores {
		o.Stores[name] = fixture.NewStore(clock, m)
	}
	for name, b := range f.Buckets {
		o.Buckets[name] = fixture.NewTokens(clock, b)
	}
}

// testResolver is the DNS of a fixture.
type testResolver struct{ f *fixture.Fixture }

// Lookup implements Resolver.
func (r testResolver) Lookup(_ context.Context, name string, rrtype uint16) (Answer, error) {
	var a Answer
	for _, rec := range r.f.Lookup(name, rrtype) {
		a.Records = append(a.Records, Record{TTL: time.Hour, Data: []byte(rec.Data), Preference: rec.Preference})
	}
	if len(a.Records) == 0 {
		return Answer{}, ErrNoRecords
	}
	return a, nil
}

// testClient answers the HTTP requests of a fixture.
type testClient struct{ f *fixture.Fixture }

// Do implements HTTPClient.
func (c testClient) Do(_ context.Context, r HTTPRequest) (*HTTPResponse, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	answer, ok := c.f.HTTP[strings.ToUpper(method)+" "+r.URL]
	switch {
	case !ok:
		return nil, fmt.Errorf("the fixture has no answer to %s %s: %w", method, r.URL, abi.ErrIO)
	case int64(len(answer.Body)) > r.MaxBody:
		return nil, abi.ErrLimit
	}
	header := map[string][]string{}
	for name, values := range answer.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	return &HTTPResponse{Status: answer.Status, Header: header, Body: []byte(answer.Body)}, nil
}

// Check implements HTTPQueue.
func (c testClient) Check(HTTPRequest) error { return nil }

// Queue implements HTTPQueue.
func (c testClient) Queue(HTTPRequest) {}
