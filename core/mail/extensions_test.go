// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"testing"
	"time"
)

func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestParseDeliverBy(t *testing.T) {
	for s, want := range map[string]ByTime{
		"120;R":        {120, true, false},
		"120;RT":       {120, true, true},
		"+120;n":       {120, false, false},
		"-30;N":        {-30, false, false},
		"0;NT":         {0, false, true},
		"999999999;rt": {999999999, true, true},
		"007;R":        {7, true, false},
	} {
		if got, err := ParseDeliverBy(s); err != nil || got != want {
			t.Errorf("BY=%s: %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "120", ";R", "120;", "120;X", "120;TR", "120;RTT", "120;R;T", "0;R", "-1;R", "1000000000;N", "+-1;N", "--1;N",
		"1 ;R", "1.5;R", "120;T", "0x10;R", "120;R ", "+;N", "-;N"} {
		if got, err := ParseDeliverBy(s); !errors.Is(err, ErrDeliverBy) {
			t.Errorf("BY=%s: %+v, %v", s, got, err)
		}
	}
}

func TestDeliverByGoesOnWithWhatIsLeft(t *testing.T) {
	now := moment("2030-01-31T08:00:00Z")
	for want, d := range map[string]DeliverBy{
		"90;R":         {now.Add(90 * time.Second), true, false},
		"90;NT":        {now.Add(90*time.Second + 400*time.Millisecond), false, true},
		"-60;N":        {now.Add(-time.Minute), false, false},
		"1;RT":         {now.Add(-time.Minute), true, true},
		"999999999;R":  {now.AddDate(200, 0, 0), true, false},
		"-999999999;N": {now.AddDate(-200, 0, 0), false, false},
	} {
		if got := d.String(now); got != want {
			t.Errorf("%+v: %s, want %s", d, got, want)
		}
	}
}

func TestParseHold(t *testing.T) {
	for s, want := range map[string]time.Duration{"1": time.Second, "86400": 24 * time.Hour, "999999999": 999999999 * time.Second} {
		if got, err := ParseHoldFor(s); err != nil || got != want {
			t.Errorf("HOLDFOR=%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "01", "-1", "+1", "1000000000", "1s", "1.5", " 1"} {
		if got, err := ParseHoldFor(s); !errors.Is(err, ErrHoldFor) {
			t.Errorf("HOLDFOR=%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"2030-01-31T08:00:00Z", "2030-01-31t08:00:00z", "2030-01-31T08:00:00.25Z"} {
		if got, err := ParseHoldUntil(s); err != nil || got.Unix() != moment("2030-01-31T08:00:00Z").Unix() {
			t.Errorf("HOLDUNTIL=%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "2030-01-31", "2030-01-31T08:00:00", "2030-01-31T08:00:00+01:00", "2030-02-31T08:00:00Z", "2030-01-31 08:00:00Z",
		"2030-01-31T08:00:00,5Z", "9999-01-31T08:00:00Z", "1600-01-31T08:00:00Z", "30-01-31T08:00:00Z"} {
		if got, err := ParseHoldUntil(s); !errors.Is(err, ErrHoldUntil) {
			t.Errorf("HOLDUNTIL=%s: %v, %v", s, got, err)
		}
	}
}

func TestMTPriority(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "9": 99, "-9": -99, "1": 11, "-3": -33} {
		got, err := ParseMTPriority(s)
		if err != nil || got != want || FormatMTPriority(got) != s {
			t.Errorf("MT-PRIORITY=%s: %d, %v, back %s", s, got, err, FormatMTPriority(got))
		}
	}
	for _, s := range []string{"", "-0", "+1", "10", "-10", "01", "1.0", "a", "--1", "- 1"} {
		if got, err := ParseMTPriority(s); !errors.Is(err, ErrMTPriority) {
			t.Errorf("MT-PRIORITY=%s: %d, %v", s, got, err)
		}
	}
	for priority, want := range map[int]string{100: "9", -100: "-9", 10: "0", -10: "0", 50: "4", -50: "-4"} {
		if got := FormatMTPriority(priority); got != want {
			t.Errorf("priority %d: %s, want %s", priority, got, want)
		}
	}
}

func TestParseValidSince(t *testing.T) {
	at := moment("2014-04-03T23:01:00Z")
	for s, want := range map[string]ValidSince{
		"2014-04-03T23:01:00Z":        {at, false},
		"2014-04-03T23:01:00Z;R":      {at, false},
		"2014-04-03T23:01:00Z;c":      {at, true},
		"2014-04-04T01:01:00+02:00;C": {at, true},
	} {
		got, err := ParseValidSince(s)
		if err != nil || got != want {
			t.Errorf("RRVS=%s: %+v, %v", s, got, err)
		}
		if again, err := ParseValidSince(got.String()); err != nil || again != want {
			t.Errorf("RRVS=%s: passed on as %s", s, got)
		}
	}
	for _, s := range []string{"", ";C", "2014-04-03", "2014-04-03T23:01:00Z;", "2014-04-03T23:01:00Z;X", "2014-04-03T23:01:00Z;CR", "yesterday"} {
		if got, err := ParseValidSince(s); !errors.Is(err, ErrValidSince) {
			t.Errorf("RRVS=%s: %+v, %v", s, got, err)
		}
	}
}

// FuzzExtensions holds each parser to this: what it takes, it takes again as it
// is passed on, and means the same.
func FuzzExtensions(f *testing.F) {
	for _, s := range []string{"120;RT", "-1;N", "86400", "2030-01-31T08:00:00Z", "-9", "2014-04-03T23:01:00Z;C"} {
		f.Add(s)
	}
	now := moment("2030-01-31T08:00:00Z")
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := ParseDeliverBy(s); err == nil {
			d := b.From(now)
			if again, err := ParseDeliverBy(d.String(now)); err != nil || again != b {
				t.Errorf("BY=%q: %+v, then %+v, %v", s, b, again, err)
			}
		}
		if d, err := ParseHoldFor(s); err == nil && (d < time.Second || d > 999999999*time.Second) {
			t.Errorf("HOLDFOR=%q: %v", s, d)
		}
		if at, err := ParseHoldUntil(s); err == nil && at.Location() != time.UTC {
			t.Errorf("HOLDUNTIL=%q: %v", s, at)
		}
		if p, err := ParseMTPriority(s); err == nil && FormatMTPriority(p) != s {
			t.Errorf("MT-PRIORITY=%q: %d", s, p)
		}
		if v, err := ParseValidSince(s); err == nil {
			if again, err := ParseValidSince(v.String()); err != nil || again.Continue != v.Continue || again.At.Unix() != v.At.Unix() {
				t.Errorf("RRVS=%q: %v, then %v, %v", s, v, again, err)
			}
		}
	})
}
